"""The Open Inference Protocol over HTTP, as its own clients speak it: every method of ``tritonclient`` and KServe's.

Each client runs in an environment of its own against the running platform; what it got is looked at here.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.control import Control
from tests.e2e.oip_model import HALVES, SCORES, SHOUTED, serve, serve_others, told
from tests.support.models import SavedModels

pytestmark = pytest.mark.e2e
MODEL = "oip-clients"


@pytest.fixture(scope="module")
def where(control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve the model; return the server's host and port."""
    serve(control, saved_models, tmp_path_factory.mktemp("oip") / "model", MODEL)
    return control.platform.serving_url.removeprefix("http://")


@pytest.fixture(scope="module")
def triton(
    control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory, where: str
) -> dict[str, Any]:
    """What ``tritonclient.http`` got."""
    others = serve_others(control, saved_models, tmp_path_factory.mktemp("others"), MODEL)
    return told("tritonclient", "triton_http.py", where, MODEL, *others)


@pytest.fixture(scope="module")
def triton_aio(where: str) -> dict[str, Any]:
    """What ``tritonclient.http.aio`` got."""
    return told("tritonclient", "triton_aio.py", where, MODEL)


@pytest.fixture(scope="module")
def kserve(where: str) -> dict[str, Any]:
    """What ``kserve.InferenceRESTClient`` got."""
    return told("kserve", "kserve_rest.py", f"http://{where}", MODEL)


def test_triton_sees_who_is_there(triton: dict[str, Any]) -> None:
    """Health, metadata and configuration, with and without a version."""
    about = triton["about"]
    assert (about["live"], about["ready"], about["model_ready"]) == (True, True, [True, True, False])
    assert about["server"]["name"] == "headgate"
    assert about["model"] == about["version"]
    assert about["model"]["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "h", "datatype": "FP16", "shape": [-1, 1]},
        {"name": "words", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    assert [output["name"] for output in about["model"]["outputs"]] == ["scores", "halves", "shouted"]
    assert about["config"]["input"][2] == {"name": "words", "data_type": "TYPE_STRING", "dims": [-1, 1]}


def test_triton_predicts_in_every_form(triton: dict[str, Any]) -> None:
    """Binary, JSON and mixed, compressed both ways, at once, and by hand: the same numbers."""
    infer = triton["infer"]
    assert infer["binary"] == {
        "model_name": MODEL, "model_version": "1", "id": "mine", "scores": SCORES, "halves": HALVES, "shouted": SHOUTED,
    }  # fmt: skip
    for form in ("json", "mixed"):
        assert (infer[form]["scores"], infer[form]["shouted"]) == (SCORES, SHOUTED)
        assert "halves" not in infer[form]
    assert infer["factor"]["scores"][2] == [3.0, 6.0, 9.0, 12.0, 15.0, 18.0]
    for form in ("priority", "sequence", "gzip", "deflate", "by_hand", *(f"async{n}" for n in range(4))):
        assert [infer[form][name] for name in ("scores", "halves", "shouted")] == [SCORES, HALVES, SHOUTED], form
    assert [infer[f"async{n}"]["id"] for n in range(4)] == ["0", "1", "2", "3"]
    kind, shape, values = infer["classes"]["scores"]
    assert (kind, shape) == ("BYTES", [3, 1])
    assert [text.split(":")[1] for text in values] == ["1", "1", "1"]


def test_triton_sends_every_other_kind(triton: dict[str, Any]) -> None:
    """BF16 is answered as the 32-bit floats that it becomes, BOOL and INT64 as they are, and no elements as none."""
    for form in ("binary", "json"):
        found = triton["kinds"][form]
        assert found["w"] == ["FP32", [2, 1], [2.0, -5.0]], form
        assert found["flag"] == ["BOOL", [2, 1], [False, True]], form
        assert found["n"] == ["INT64", [2, 1], [2**62 - 1, -4]], form
        assert found["none"] == ["FP32", [0, 4], []], form


def test_triton_sends_a_tensor_without_a_word_of_json(triton: dict[str, Any]) -> None:
    """The raw binary request: a header length of 0, and the one tensor's bytes."""
    assert triton["raw"]["sum"] == ["FP32", [1], [3.5]]


def test_triton_counts_what_was_asked(triton: dict[str, Any]) -> None:
    """Statistics of all, of a model and of a version say the same; each request is in them."""
    statistics = triton["statistics"]
    (row,) = statistics["version"]["model_stats"]
    assert (row["name"], row["version"]) == (MODEL, "1")
    stats = row["inference_stats"]
    assert stats["success"]["count"] >= len(triton["infer"])
    assert row["inference_count"] == 3 * stats["success"]["count"]
    assert 0 < row["execution_count"] <= stats["success"]["count"]
    assert sum(batch["compute_infer"]["count"] for batch in row["batch_stats"]) == row["execution_count"]
    assert {batch["batch_size"] % 3 for batch in row["batch_stats"]} == {0}
    (alone,) = statistics["model"]["model_stats"]
    assert alone["inference_count"] == row["inference_count"]
    assert (MODEL, "1") in {(each["name"], each["version"]) for each in statistics["all"]["model_stats"]}


def test_triton_loads_and_unloads(triton: dict[str, Any]) -> None:
    """Readiness and index follow each order at once; a request brings an unloaded model back."""
    repository = triton["repository"]
    for step in ("loaded", "again", "asked"):
        assert repository[step] == [True, ["READY"]], step
    ready, (state,) = repository["unloaded"]
    assert (ready, state in ("UNLOADING", "UNAVAILABLE")) == (False, True)
    for asked in ("config", "files"):
        assert repository[asked][0] == "400"
        assert "version never changes" in repository[asked][1]
    assert repository["unknown"][0] == "404"


STATUS = {
    "unknown_model": "404",
    "unknown_version": "404",
    "unknown_metadata": "404",
    "unknown_config": "404",
    "unknown_statistics": "404",
    "missing_input": "400",
    "unknown_output": "400",
    "timeout": "504",
}


def test_triton_reads_every_refusal(triton: dict[str, Any]) -> None:
    """Each is an InferenceServerException with its status and our words, also for what is not there at all."""
    refusals = triton["refusals"]
    for name, (status, message) in refusals.items():
        assert status == STATUS.get(name, "404"), (name, message)
        assert message, name
        assert "exception occurred in the client" not in message, name
    assert "nobody" in refusals["unknown_model"][1]
    assert "h" in refusals["missing_input"][1]


def test_tritons_asynchronous_client_does_the_same(triton_aio: dict[str, Any]) -> None:
    """Health, metadata, predictions in every form, statistics, load and unload, refusals."""
    assert (triton_aio["live"], triton_aio["ready"], triton_aio["model_ready"]) == (True, True, [True, False])
    assert (triton_aio["server"], triton_aio["model"], triton_aio["config"]) == ("headgate", MODEL, MODEL)
    assert triton_aio["index"] == ["READY"]
    for at, answer in enumerate(triton_aio["binary"]):
        assert (answer["id"], answer["scores"], answer["shouted"]) == (str(at), SCORES, SHOUTED)
    for form in ("json", "gzip", "deflate"):
        assert triton_aio[form]["scores"] == SCORES
    assert triton_aio["counted"] >= 11
    assert triton_aio["unloaded"] is False
    for name, (status, message) in triton_aio["refusals"].items():
        assert status == ("400" if name == "missing" else "404"), (name, message)
        assert "exception occurred in the client" not in message, name


def test_kserves_client_does_the_same(kserve: dict[str, Any]) -> None:
    """Health, predictions with binary tensors and mixed ones, the arm in the headers; refusals are its HTTP errors."""
    assert (kserve["live"], kserve["ready"], kserve["model_ready"]) == (True, True, [True, False])
    assert (kserve["binary"]["scores"], kserve["binary"]["shouted"]) == (SCORES, SHOUTED)
    for form in ("wanted", "mixed"):
        assert kserve[form] == {"scores": SCORES, "id": "mine", "model_name": MODEL}
    assert kserve["arm"] == "stable"
    refusals = kserve["refusals"]
    assert (refusals["unknown"][0], refusals["missing"][0]) == (404, 400)
    assert "no model is called nobody" in refusals["unknown"][1]
    assert refusals["explain"][0] == "UnsupportedProtocol"
