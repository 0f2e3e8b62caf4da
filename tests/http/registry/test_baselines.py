"""Baselines, over HTTP: tables that are sent, and those that training runs logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from registry.baselines import Baseline, Origin
from registry.errors import Unavailable
from registry.monitoring.ports import LoggedDataset, LoggedRun, TableForm
from registry.records import ModelName, VersionNumber
from tests.support.registry_app import V1, RegistryInMemory, code, mlmodel
from tests.support.tables import TYPES, table_bytes

CHURN = f"{V1}/models/churn/versions"
MODEL = mlmodel(("age", "double"), ("city?", "string"))
AGES = np.random.default_rng(0).normal(40, 10, 500)
TABLE = {"age": AGES, "city": ["Rome", "Oslo"] * 250, "id": range(500), "prediction": [0.0, 1.0] * 250}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryInMemory]:
    """A registry with a version of churn that is ready; no file of a table is left when a test ends."""
    registry = RegistryInMemory(shelf=tmp_path / "tables")
    registry.log_model("churn", mlmodel=MODEL)
    registry.settle()
    yield registry
    assert not list(tmp_path.rglob("*.*")) and not any((tmp_path / "tables").glob("*"))


def put(
    registry: RegistryInMemory, body: bytes, form: TableForm = TableForm.PARQUET, query: str = ""
) -> httpx.Response:
    """Send a table for version 1."""
    return registry.ask("PUT", f"{CHURN}/1/baseline{query}", content=body, headers={"content-type": TYPES[form]})


def document(registry: RegistryInMemory) -> Baseline:
    """Return the sealed baseline that nodes would read for version 1."""
    (model,) = registry.ledger.snapshots.page(0).models
    digest = model.versions[VersionNumber("1")].baseline
    assert digest is not None
    return Baseline.from_bytes(registry.artifacts.read(digest, 2**24))


def check(registry: RegistryInMemory, version: str = "1") -> str:
    """Return what the version's check says of its baseline."""
    found = {c["name"]: c for c in registry.ask("GET", f"{CHURN}/{version}").json()["checks"]}
    assert found["baseline"]["verdict"] == "passed"
    return str(found["baseline"]["reason"])


@pytest.mark.parametrize("form", TableForm)
def test_a_table_becomes_the_baseline(registry: RegistryInMemory, form: TableForm) -> None:
    """Sent, it is shown feature by feature, with what was ignored, and nodes are told of its document."""
    answer = put(registry, table_bytes(TABLE, form), form)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["model"], told["version"], told["origin"], told["rows"]) == ("churn", "1", "given", 500)
    assert told.pop("ignored") == ["id"]
    assert registry.ask("GET", f"{CHURN}/1/baseline").json() == told
    assert [f["name"] for f in told["features"]] == ["age", "city", "prediction"]
    age, city, _ = told["features"]
    assert (age["min"], age["max"]) == pytest.approx((AGES.min(), AGES.max()))
    ranks = {name: (value >= AGES).mean() * 100 for name, value in age["quantiles"].items()}
    assert ranks == pytest.approx({f"p{share}": share for share in (1, 10, 25, 50, 75, 90, 99)}, abs=0.8)
    assert sum(one["ratio"] for one in age["bins"]) == pytest.approx(1)
    assert city["bins"][0] == {"label": "Oslo", "ratio": 0.5} and city["quantiles"] is None
    assert document(registry).rows == 500
    assert check(registry) == "500 rows of a table that was sent"


def test_a_version_tells_its_baseline(registry: RegistryInMemory) -> None:
    """In short, wherever it is shown; null where it has none, and then the route is 404."""
    assert registry.ask("GET", f"{CHURN}/1").json()["baseline"] is None
    assert code(registry.ask("GET", f"{CHURN}/1/baseline")) == (404, "not_found")
    told = put(registry, table_bytes(TABLE)).json()
    short = {name: told[name] for name in ("origin", "rows", "digest", "at")}
    assert registry.ask("GET", f"{CHURN}/1").json()["baseline"] == short
    assert registry.ask("GET", CHURN).json()["versions"][0]["baseline"] == short
    assert registry.ask("GET", f"{V1}/models/churn").json()["versions"][0]["baseline"] == short
    head = registry.ask("HEAD", f"{CHURN}/1/baseline")
    assert (head.status_code, head.content) == (200, b"")


def test_a_new_table_replaces_the_old_one(registry: RegistryInMemory) -> None:
    """The newest counts; the same again is the same document."""
    first = put(registry, table_bytes(TABLE)).json()["digest"]
    assert put(registry, table_bytes(TABLE)).json()["digest"] == first
    assert put(registry, table_bytes({"age": [1.0, 2.0]})).json()["rows"] == 2


def test_the_prediction_can_be_named(registry: RegistryInMemory) -> None:
    """``?prediction=`` says which column it is; one that is not there is refused."""
    answer = put(registry, table_bytes({"age": [1.0, 2.0], "p": [0.5, 0.7]}), query="?prediction=p").json()
    assert [f["name"] for f in answer["features"]] == ["age", "prediction"]
    refused = put(registry, table_bytes({"age": [1.0]}), query="?prediction=p")
    assert code(refused) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("body", "form", "expected"),
    [
        (b"", TableForm.CSV, (422, "invalid_input")),
        (b"city\nRome\n", TableForm.CSV, (422, "invalid_input")),
        (b"age\nold\n", TableForm.CSV, (422, "invalid_input")),
        (b"PAR1 nothing", TableForm.PARQUET, (422, "invalid_input")),
        (b"age\n" + b"1\n" * 600_000, TableForm.CSV, (413, "body_too_large")),
    ],
)
def test_tables_that_cannot_be(
    registry: RegistryInMemory, body: bytes, form: TableForm, expected: tuple[int, str]
) -> None:
    """Empty, wrong, damaged and too large ones are refused, and change nothing."""
    revision = registry.ledger.snapshots.revision()
    assert code(put(registry, body, form)) == expected
    assert registry.ledger.snapshots.revision() == revision


def test_other_bodies_and_versions_are_refused(registry: RegistryInMemory) -> None:
    """A content type that is no table, one that is packed, a version that does not exist, and one that is not ready."""
    wrong = registry.ask("PUT", f"{CHURN}/1/baseline", content=b"{}", headers={"content-type": "application/json"})
    assert code(wrong) == (415, "unsupported_media_type")
    squeezed = {"content-type": "text/csv", "content-encoding": "gzip"}
    packed = registry.ask("PUT", f"{CHURN}/1/baseline", content=b"age", headers=squeezed)
    assert code(packed) == (415, "unsupported_media_type")
    csv = {"content": b"age\n1\n", "headers": {"content-type": "text/csv; charset=utf-8"}}
    assert code(registry.ask("PUT", f"{CHURN}/9/baseline", **csv)) == (404, "unknown_version")
    assert code(registry.ask("PUT", f"{V1}/models/no/versions/1/baseline", **csv)) == (404, "unknown_model")
    assert registry.ask("PUT", f"{CHURN}/1/baseline", **csv).status_code == 200
    registry.ask("POST", f"{CHURN}/1/retire")
    assert code(registry.ask("PUT", f"{CHURN}/1/baseline", **csv)) == (409, "not_ready")


def test_an_image_model_takes_no_table(registry: RegistryInMemory) -> None:
    """A signature of images is refused in words that say what happens instead."""
    spec = '{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 8, 8, 3]}}'
    registry.log_model("churn", mlmodel=MODEL.split(b"signature")[0] + f"signature: {{inputs: '[{spec}]'}}\n".encode())
    registry.settle()
    body = {"content": b"a\n1\n", "headers": {"content-type": "text/csv"}}
    refused = registry.ask("PUT", f"{CHURN}/2/baseline", **body)
    assert code(refused) == (422, "invalid_input")
    assert "provisional" in refused.json()["error"]["message"]


def registered(
    registry: RegistryInMemory, *datasets: LoggedDataset, metrics: dict[str, float] | None = None, **files: bytes
) -> str:
    """Register a version of a run with these inputs and artifacts (``__`` for the slash); return its number."""
    run_id = registry.catalog.user_creates_run("ana")
    folder = f"1/{run_id}/artifacts"
    registry.runs.runs[run_id] = LoggedRun(run_id, f"mlflow-artifacts:/{folder}", metrics or {}, datasets)
    for name, data in files.items():
        path = name.replace("__", "/").replace("_", ".")
        registry.artifacts.put_working_file(f"mlflow/{folder}/", path, data)
    registry.artifacts.put_working_file(f"mlflow/{folder}/model/", "MLmodel", MODEL)
    source = f"mlflow-artifacts:/{folder}/model"
    version = registry.catalog.create_version(ModelName("churn"), source, run_id, {}).version
    registry.settle()
    return str(version)


def of_run(
    registry: RegistryInMemory, *datasets: LoggedDataset, metrics: dict[str, float] | None = None, **files: bytes
) -> str:
    """Do the same, and have the registry look at it."""
    version = registered(registry, *datasets, metrics=metrics, **files)
    registry.baselines.look()
    return version


def test_the_runs_dataset_becomes_the_baseline(registry: RegistryInMemory) -> None:
    """A logged dataset whose file the run logged too is read once the version is ready, with the run's quality."""
    dataset = LoggedDataset("train", "local", "/home/ana/train.parquet", "training")
    version = of_run(registry, dataset, metrics={"test_accuracy": 0.9}, train_parquet=table_bytes(TABLE))
    told = registry.ask("GET", f"{CHURN}/{version}/baseline").json()
    assert (told["origin"], told["rows"], told["quality"]) == ("run", 500, {"accuracy": 0.9})
    assert check(registry, version) == "500 rows of 'train.parquet' (the run's logged dataset)"


def test_the_conventional_artifact_becomes_the_baseline(registry: RegistryInMemory) -> None:
    """Without a dataset, ``headgate/baseline.parquet`` of the run is read."""
    version = of_run(registry, headgate__baseline_parquet=table_bytes(TABLE))
    assert registry.ask("GET", f"{CHURN}/{version}").json()["baseline"]["origin"] == "run"
    assert "headgate/baseline.parquet" in check(registry, version)


def test_what_was_found_or_not_is_said(registry: RegistryInMemory) -> None:
    """A version without a run, a run without a table, and a table that does not fit: each in words; never a failure."""
    registry.baselines.look()
    assert check(registry) == "none: the version came from no run"
    version = of_run(registry, LoggedDataset("t", "http", "http://somewhere/train.parquet"))
    assert check(registry, version) == "none: the run logged no table of its own"
    version = of_run(registry, headgate__baseline_csv=b"x\n1\n")
    assert check(registry, version).startswith("none: 'headgate/baseline.csv' (an artifact of the run): the table has")
    shown = registry.ask("GET", f"{CHURN}/{version}").json()
    assert (shown["state"], shown["reason"]) == ("ready", "")
    assert not registry.baselines.due() or not registry.ledger.baselines.unlooked(9)


def test_looking_is_done_once(registry: RegistryInMemory) -> None:
    """Who has looked does not look again before something changes; what was given is not replaced by the run's."""
    version = of_run(registry, headgate__baseline_csv=b"age\n1\n")
    before = len(registry.tables.orders)
    registry.baselines.look()
    registry.baselines.look()
    assert len(registry.tables.orders) == before and not registry.baselines.due()
    put(registry, table_bytes(TABLE))
    record = registry.ledger.baselines.get(ModelName("churn"), VersionNumber(version))
    assert record is not None and record.origin is Origin.RUN


def test_a_store_that_is_gone_is_asked_again(registry: RegistryInMemory) -> None:
    """An outage is no verdict: nothing is noted, and the next turn looks again."""
    version = registered(registry, headgate__baseline_csv=b"age\n1\n")
    registry.artifacts.down = True
    with pytest.raises(Unavailable):
        registry.baselines.look()
    registry.artifacts.down = False
    registry.baselines.look()
    assert check(registry, version) == "1 rows of 'headgate/baseline.csv' (an artifact of the run)"


def test_a_fault_of_ours_stops_nobody(registry: RegistryInMemory) -> None:
    """A reader that fails is said to have failed; the next version is looked at all the same."""
    registry.tables.broken = True
    version = of_run(registry, headgate__baseline_csv=b"age\n1\n")
    assert "the platform itself failed" in check(registry, version)
    assert check(registry) == "none: the version came from no run"


def test_a_table_of_the_upload_can_be_named(registry: RegistryInMemory) -> None:
    """``baseline`` of a registration names a file of the model: it is given, and beats what the run logged."""
    upload = registry.upload({"MLmodel": MODEL, "train.csv": b"age,p\n1,0\n2,1\n"})
    body: dict[str, Any] = {"upload": upload, "baseline": {"path": "train.csv", "prediction": "p"}}
    assert registry.ask("POST", CHURN, json=body).status_code == 201
    registry.settle()
    registry.baselines.look()
    told = registry.ask("GET", f"{CHURN}/2/baseline").json()
    assert (told["origin"], [f["name"] for f in told["features"]]) == ("given", ["age", "prediction"])
    assert check(registry, "2") == "2 rows of 'train.csv' (the model's own files)"
    missing = {**body, "baseline": {"path": "no.csv"}}
    assert code(registry.ask("POST", CHURN, json=missing)) == (400, "invalid_argument")


def test_the_size_of_a_full_disk_is_our_problem(registry: RegistryInMemory, tmp_path: Path) -> None:
    """Where a table cannot be kept, the sender is told to come again, not that the table is wrong."""
    blocked = tmp_path / "tables"
    blocked.symlink_to("/dev/null")
    assert code(put(registry, table_bytes(TABLE))) == (503, "no_capacity")
    blocked.unlink()
