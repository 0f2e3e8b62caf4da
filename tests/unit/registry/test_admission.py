"""Admission: what a version must pass, in order, and what a store that is away does to it."""

from __future__ import annotations

from threading import Event

import pytest

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.adapters.memory.ledger import memory_ledger
from registry.adapters.memory.resolver import MemoryResolver
from registry.admission.admit import CLAIM_MS, RETRY_MS, SEAL_THREADS, Admission
from registry.errors import HeadgateError, Unavailable
from registry.ports import Ledger, SourceFile
from registry.records import ManifestEntry, ModelName, Tier, Verdict, VersionNumber, VersionRecord, VersionState
from tests.support.ledgers import CHURN, Clock, catalog_version, number

PREFIX = "mlflow/1/models/m-1/artifacts/"
MLMODEL = b"flavors:\n  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}\n  sklearn: {}\n"


class Scene:
    """A version of churn that waits for admission, with the files a test puts there."""

    def __init__(self, **files: bytes) -> None:
        self.clock = Clock()
        self.artifacts = MemoryArtifacts()
        self.ledger: Ledger = memory_ledger(self.clock)
        self.resolver = MemoryResolver()
        self.admission = Admission(self.artifacts, self.ledger.versions, self.clock, resolver=self.resolver)
        for name, data in files.items():
            self.artifacts.put_working_file(PREFIX, name.replace("__", "."), data)
        self.ledger.versions.observe(catalog_version(1))

    def record(self) -> VersionRecord:
        """Return the version's record."""
        found = self.ledger.versions.get(CHURN, number(1))
        assert found is not None
        return found


def good() -> Scene:
    """Return a scene in which admission passes."""
    return Scene(MLmodel=MLMODEL, model__pkl=b"x" * 100, requirements__txt=b"numpy==2.4.6\n")


def test_whole_model_becomes_ready() -> None:
    """A model directory is sealed, read, and ready with all that was learnt."""
    scene = good()
    assert scene.admission.run_once()
    record = scene.record()
    assert record.state is VersionState.READY
    assert record.sealed is not None
    assert (record.sealed.tier, record.sealed.requirements, record.sealed.python) == (
        Tier.CODE,
        ("numpy==2.4.6",),
        "3.11.7",
    )
    assert scene.artifacts.read_manifest(record.sealed.digest).size == record.sealed.size
    assert [c.name for c in record.checks] == ["seal", "mlmodel", "tier", "requirements", "environment", "runtime"]


def test_nothing_to_do_is_said() -> None:
    """Without a version that waits, one turn does nothing."""
    scene = good()
    scene.admission.run_once()
    assert not scene.admission.run_once()


@pytest.mark.parametrize(
    ("files", "step", "words"),
    [
        ({"model__pkl": b"x"}, "seal", "no MLmodel file"),
        ({"MLmodel": b"nonsense: ["}, "mlmodel", "not plain YAML"),
        ({"MLmodel": b"flavors: {sklearn: {}}"}, "mlmodel", "python_function"),
        ({"MLmodel": MLMODEL, "requirements__txt": b"git+https://x/y\n"}, "requirements", "version control"),
        ({"MLmodel": MLMODEL, "requirements__txt": b"\xff\xfe"}, "requirements", "UTF-8"),
        ({"MLmodel": MLMODEL, "CON": b""}, "seal", "device"),
    ],
)
def test_unfit_model_is_rejected_with_the_reason(files: dict[str, bytes], step: str, words: str) -> None:
    """The first check that fails is the last of the list, and says what is wrong."""
    scene = Scene(**files)
    scene.admission.run_once()
    record = scene.record()
    assert record.state is VersionState.REJECTED
    assert (record.checks[-1].name, record.checks[-1].verdict) == (step, Verdict.FAILED)
    assert words in record.reason
    assert record.sealed is None


def test_store_that_is_away_is_no_verdict() -> None:
    """While S3 is away the version keeps waiting, and is admitted once it is back."""
    scene = good()
    scene.artifacts.down = True
    assert scene.admission.run_once()
    assert scene.record().state is VersionState.CHECKING
    scene.artifacts.down = False
    assert not scene.admission.run_once(), "it is not tried again at once"
    scene.clock.now_ms += RETRY_MS + 1
    assert scene.admission.run_once()
    assert scene.record().state is VersionState.READY


def test_claim_of_a_dead_process_runs_out() -> None:
    """A version whose admission died is admitted by somebody else, from the start."""
    scene = good()
    scene.ledger.versions.claim(scene.clock(), scene.clock() + CLAIM_MS)
    assert not scene.admission.run_once()
    scene.clock.now_ms += CLAIM_MS + 1
    assert scene.admission.run_once()
    assert scene.record().state is VersionState.READY


def test_version_retired_meanwhile_stays_retired() -> None:
    """Admission that is overtaken by a deletion does not bring the version back."""
    scene = good()
    seal = scene.artifacts.write_manifest

    def retire_then_write(manifest: object) -> object:
        scene.ledger.versions.retire(CHURN, number(1))
        return seal(manifest)  # type: ignore[arg-type]  # a manifest: this stands in for the method

    scene.artifacts.write_manifest = retire_then_write  # type: ignore[method-assign,assignment]  # draws the race
    scene.admission.run_once()
    assert scene.record().state is VersionState.RETIRED


def test_same_bytes_have_the_same_identity() -> None:
    """Two versions with equal files have equal digests, and their blobs are stored once."""
    scene = good()
    for path, data in (("MLmodel", MLMODEL), ("model.pkl", b"x" * 100), ("requirements.txt", b"numpy==2.4.6\n")):
        scene.artifacts.put_working_file(PREFIX.replace("m-1", "m-2"), path, data)
    scene.ledger.versions.observe(catalog_version(2))
    scene.admission.run_once()
    blobs = len(scene.artifacts.objects)
    scene.admission.run_once()
    second = scene.ledger.versions.get(CHURN, number(2))
    first = scene.record()
    assert first.sealed is not None and second is not None and second.sealed is not None
    assert first.sealed.digest == second.sealed.digest
    assert len(scene.artifacts.objects) == blobs


def test_claim_lost_to_a_deletion_ends_quietly() -> None:
    """Where the version is retired during a long check, the renewing of its claim ends, once, and is no crash."""
    scene, lost, refused = good(), Event(), []
    renew, listing = scene.ledger.versions.renew, scene.artifacts.list_files

    def note(model: ModelName, version: VersionNumber, until_ms: int) -> None:
        try:
            renew(model, version, until_ms)
        except HeadgateError as error:
            refused.append(error.code)
            lost.set()
            raise

    def retired_meanwhile(prefix: str) -> object:
        scene.ledger.versions.retire(CHURN, number(1))
        assert lost.wait(10)
        return listing(prefix)

    scene.ledger.versions.renew = note  # type: ignore[method-assign]  # watches the thread at work
    scene.artifacts.list_files = retired_meanwhile  # type: ignore[method-assign,assignment]  # draws the race
    scene.admission = Admission(
        scene.artifacts, scene.ledger.versions, scene.clock, resolver=scene.resolver, claim_ms=3
    )
    assert scene.admission.run_once()
    assert len(refused) == 1
    assert scene.record().state is VersionState.RETIRED


def test_version_retired_while_the_store_is_away_is_left_alone() -> None:
    """A check that cannot be done and need not be done any more is over."""
    scene = good()

    def retire_then_fail(prefix: str) -> object:
        scene.ledger.versions.retire(CHURN, number(1))
        raise Unavailable("artifact_unavailable", "away")

    scene.artifacts.list_files = retire_then_fail  # type: ignore[method-assign,assignment]  # draws the race
    assert scene.admission.run_once()
    assert scene.record().state is VersionState.RETIRED


def test_database_away_at_the_commit_point_is_no_verdict(caplog: pytest.LogCaptureFixture) -> None:
    """A verdict that could not be written is found again later; nobody says that somebody else was faster."""
    scene = good()
    settle = scene.ledger.versions.settle

    def away(*_: object) -> None:
        scene.ledger.versions.settle = settle  # type: ignore[method-assign]  # it comes back
        raise Unavailable("registry_unavailable", "away")

    scene.ledger.versions.settle = away  # type: ignore[method-assign,assignment]  # draws an outage at this very step
    with caplog.at_level("INFO", "headgate"):
        assert scene.admission.run_once()
    assert [record.message for record in caplog.records] == ["admission.postponed"]
    scene.clock.now_ms += RETRY_MS + 1
    assert scene.admission.run_once()
    assert scene.record().state is VersionState.READY


def test_stop_ends_sealing_after_the_file_in_hand() -> None:
    """A registry that stops does not seal a large model to its end first; the next one begins again."""
    scene = good()
    for i in range(100):
        scene.artifacts.put_working_file(PREFIX, f"part-{i}", b"%d" % i)
    seal, sealed = scene.artifacts.seal, []

    def stopped_meanwhile(prefix: str, file: SourceFile) -> ManifestEntry:
        scene.admission.stop()
        sealed.append(file.path)
        return seal(prefix, file)

    scene.artifacts.seal = stopped_meanwhile  # type: ignore[method-assign]  # draws the moment of the stop
    assert scene.admission.run_once()
    assert len(sealed) <= SEAL_THREADS
    assert scene.record().state is VersionState.CHECKING
