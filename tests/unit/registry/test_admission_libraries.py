"""Admission and libraries: what is locked, whose Python it is, and what an index that is away does to a version."""

from __future__ import annotations

import pytest

from registry.adapters.memory.artifacts import MemoryArtifacts
from registry.adapters.memory.ledger import memory_ledger
from registry.adapters.memory.resolver import MemoryResolver
from registry.admission.admit import Admission
from registry.admission.libraries import python_of
from registry.admission.waiting import PATIENCE_MS, PAUSE_MS
from registry.digest import sha256_digest
from registry.errors import InvalidRequest
from registry.layout import blob_key
from registry.ports import Locked
from registry.records import Check, Verdict, VersionRecord, VersionState
from tests.support.ledgers import CHURN, Clock, catalog_version, number

PREFIX = "mlflow/1/models/m-1/artifacts/"
MLMODEL = b"flavors:\n  python_function: {loader_module: mlflow.sklearn}\n  sklearn: {}\n"
LINE = "omega==1.0"
LOCK = Locked(b"omega==1.0 \\\n    --hash=sha256:" + b"a" * 64 + b"\n", "3.11", 34)


class Scene:
    """A version of churn that asks for omega, which the platform does not have."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.artifacts = MemoryArtifacts()
        self.ledger = memory_ledger(self.clock)
        self.resolver = MemoryResolver()
        self.resolver.locks[LINE,] = LOCK
        self.admission = Admission(self.artifacts, self.ledger.versions, self.clock, resolver=self.resolver)
        for path, data in (("MLmodel", MLMODEL), ("requirements.txt", LINE.encode()), ("model.pkl", b"x")):
            self.artifacts.put_working_file(PREFIX, path, data)
        self.ledger.versions.observe(catalog_version(1))

    def admit(self) -> VersionRecord:
        """Do one turn and return the version's record."""
        assert self.admission.run_once()
        found = self.ledger.versions.get(CHURN, number(1))
        assert found is not None
        return found


def environment(record: VersionRecord) -> Check:
    """Return the check of a version's environment."""
    return next(check for check in record.checks if check.name == "environment")


def test_a_lock_is_sealed_and_told_to_nodes() -> None:
    """It lies in the bucket under its digest, which stands in the record and in the snapshot, with its Python."""
    scene = Scene()
    record = scene.admit()
    assert record.sealed is not None
    assert environment(record) == Check("environment", Verdict.PASSED, "locked 34 packages for Python 3.11")
    assert record.sealed.lock == sha256_digest(LOCK.text)
    assert scene.artifacts.objects[blob_key(record.sealed.lock)] == LOCK.text
    assert record.sealed.python == "3.11", "the model did not say; what was locked is for this one"
    (model,) = scene.ledger.snapshots.page(0).models
    assert model.versions[number(1)].lock == record.sealed.lock


def test_what_the_platform_satisfies_has_no_lock() -> None:
    """The check says so, and nothing is stored."""
    scene = Scene()
    scene.resolver.locks.clear()
    record = scene.admit()
    assert record.sealed is not None and record.sealed.lock is None
    assert environment(record).reason == "uses the platform's environment"


def test_libraries_that_cannot_be_had_reject_a_version() -> None:
    """The reason is the resolver's sentence."""
    scene = Scene()
    scene.resolver.refused[LINE,] = "its libraries cannot be installed: there is no version of omega==1.0"
    record = scene.admit()
    assert (record.state, record.checks[-1].name) == (VersionState.REJECTED, "environment")
    assert "no version of omega" in record.reason


def test_an_index_that_is_away_is_waited_for() -> None:
    """The version is tried again, without sealing its files again, and is ready once the index is back."""
    scene = Scene()
    scene.resolver.dark = True
    assert scene.admit().state is VersionState.CHECKING
    assert not scene.admission.run_once(), "it is not tried again at once"
    scene.artifacts.put_working_file(PREFIX, "model.pkl", b"changed meanwhile")
    scene.resolver.dark = False
    scene.clock.now_ms += PAUSE_MS + 1
    record = scene.admit()
    assert record.state is VersionState.READY
    assert record.sealed is not None
    sealed = scene.artifacts.read_manifest(record.sealed.digest)
    assert sha256_digest(b"x") in {entry.digest for entry in sealed.entries}


def test_it_is_not_waited_for_for_ever() -> None:
    """After ten minutes who registered the version is told, and may have it admitted again."""
    scene = Scene()
    scene.resolver.dark = True
    began = scene.clock.now_ms
    while (record := scene.admit()).state is VersionState.CHECKING:
        scene.clock.now_ms += PAUSE_MS + 1
    assert record.state is VersionState.REJECTED
    assert PATIENCE_MS <= scene.clock.now_ms - began <= PATIENCE_MS + 2 * PAUSE_MS
    assert record.reason.endswith("does not answer; admit it again once it can be used")
    scene.ledger.versions.settle(CHURN, number(1), VersionState.CHECKING, (), None)
    assert scene.admit().state is VersionState.CHECKING, "a new try has its own ten minutes"


def test_a_version_that_is_retired_meanwhile_is_forgotten() -> None:
    """Nobody waits for the index on behalf of a version that is gone."""
    scene = Scene()
    scene.resolver.dark = True
    resolve = scene.resolver.resolve

    def retire_then_fail(requirements: object, python: str | None) -> object:
        scene.ledger.versions.retire(CHURN, number(1))
        return resolve((LINE,), python)

    scene.resolver.resolve = retire_then_fail  # type: ignore[method-assign,assignment]  # draws the race
    assert scene.admit().state is VersionState.RETIRED
    assert not scene.admission._waiting._waits


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("", "3.11.7"),
        ("python: 3.9.18\nbuild_dependencies: [pip]\ndependencies: ['-r requirements.txt']\n", "3.9.18"),
        ("python: '3.12'\n", "3.12"),
        ("python: 3.12\n", "3.12"),
        ("dependencies: []\n", "3.11.7"),
        ("# nothing\n", "3.11.7"),
    ],
)
def test_python_env_yaml_names_the_python(text: str, python: str) -> None:
    """What it says goes before what the MLmodel file says."""
    assert python_of(text, "3.11.7") == python


@pytest.mark.parametrize("text", ["python: '>=3.9'\n", "python: 3.9; rm -rf\n", "python: [3]\n", "python: 3\n", "{["])
def test_a_python_that_is_none_is_refused(text: str) -> None:
    """Only a version may reach the command that looks for it."""
    with pytest.raises(InvalidRequest, match=r"python_env\.yaml") as caught:
        python_of(text, None)
    assert caught.value.code == "not_servable"
