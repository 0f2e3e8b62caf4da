"""Uploads, over HTTP: declared first, verified on arrival, visible only when whole."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.registry_app import MLMODEL, V1, RegistryInMemory, code

GOOD = {"path": "MLmodel", "size": len(MLMODEL), "sha256": hashlib.sha256(MLMODEL).hexdigest()}


@pytest.fixture
def registry() -> RegistryInMemory:
    """An empty registry."""
    return RegistryInMemory()


def begin(registry: RegistryInMemory, *files: dict[str, object]) -> str:
    """Begin an upload; return the path of its routes."""
    answer = registry.ask("POST", f"{V1}/uploads", json={"files": list(files)})
    assert answer.status_code == 201
    return f"{V1}/uploads/{answer.json()['upload']['id']}"


def test_interrupted_upload_goes_on(registry: RegistryInMemory) -> None:
    """What has arrived is told, so that only the rest is sent again."""
    other = {"path": "b", "size": 1, "sha256": hashlib.sha256(b"b").hexdigest()}
    upload = begin(registry, GOOD, other)
    registry.ask("PUT", f"{upload}/files/MLmodel", content=MLMODEL)
    arrived = {f["path"]: f["arrived"] for f in registry.ask("GET", upload).json()["upload"]["files"]}
    assert arrived == {"MLmodel": True, "b": False}
    assert code(registry.ask("POST", f"{upload}/commit")) == (409, "not_ready")
    registry.ask("PUT", f"{upload}/files/b", content=b"b")
    assert registry.ask("POST", f"{upload}/commit").json()["upload"]["committed"]


@pytest.mark.parametrize("content", [b"", MLMODEL[:-1], MLMODEL + b"x", b"y" * len(MLMODEL)])
def test_other_bytes_than_declared_are_refused(registry: RegistryInMemory, content: bytes) -> None:
    """A file of another size or hash is not stored, and can be sent again."""
    upload = begin(registry, GOOD)
    assert code(registry.ask("PUT", f"{upload}/files/MLmodel", content=content)) == (422, "digest_mismatch")
    assert not registry.artifacts.objects
    assert registry.ask("PUT", f"{upload}/files/MLmodel", content=MLMODEL).status_code == 200


@pytest.mark.parametrize(
    "files",
    [
        [],
        [{**GOOD, "path": "x"}],
        [GOOD, {**GOOD, "path": "../x"}],
        [GOOD, {**GOOD, "path": "mlmodel"}],
        [{**GOOD, "size": -1}],
        [{**GOOD, "sha256": "x"}],
        [{**GOOD, "sha256": "A" * 64}],
        [GOOD, {**GOOD, "path": ".git/config"}],
        [{**GOOD, "more": 1}],
    ],
)
def test_directory_that_is_no_model_is_refused(registry: RegistryInMemory, files: list[object]) -> None:
    """Odd paths, sizes and hashes, or a directory without MLmodel, are refused before a byte is sent."""
    assert code(registry.ask("POST", f"{V1}/uploads", json={"files": files})) == (400, "invalid_argument")


def test_upload_over_the_quota_is_refused_when_declared(registry: RegistryInMemory) -> None:
    """A model larger than the limit is 413 at once, with nothing written."""
    files = [GOOD, {**GOOD, "path": "big", "size": 10**9}]
    assert code(registry.ask("POST", f"{V1}/uploads", json={"files": files})) == (413, "quota_exceeded")


def test_undeclared_file_and_unknown_upload_are_404(registry: RegistryInMemory) -> None:
    """Only what was declared can be sent, and only to an upload that exists."""
    upload = begin(registry, GOOD)
    assert code(registry.ask("PUT", f"{upload}/files/other", content=b"")) == (404, "not_found")
    assert code(registry.ask("PUT", f"{V1}/uploads/{'0' * 32}/files/x", content=b"")) == (404, "unknown_upload")
    assert code(registry.ask("GET", f"{V1}/uploads/nonsense")) == (404, "unknown_upload")
    assert code(registry.ask("POST", f"{V1}/models/m/versions", json={"upload": "0" * 32})) == (404, "unknown_upload")


def test_uncommitted_upload_cannot_be_registered(registry: RegistryInMemory) -> None:
    """Registering waits for the commit."""
    upload = registry.upload({"MLmodel": MLMODEL}, commit=False)
    assert code(registry.ask("POST", f"{V1}/models/m/versions", json={"upload": upload})) == (409, "not_ready")


def test_abandoned_upload_is_swept(registry: RegistryInMemory) -> None:
    """An upload that was never committed goes after its time, with its bytes; a committed one stays."""
    registry.upload({"MLmodel": MLMODEL}, commit=False)
    kept = registry.upload({"MLmodel": MLMODEL})
    registry.operations.sweep_uploads(2**62)
    assert [k for k in registry.artifacts.objects if kept not in k] == []
