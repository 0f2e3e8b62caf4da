"""Uploads, over HTTP: declared first, verified on arrival, visible only when whole."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import anyio.to_thread
import httpx
import pytest

from registry.edge.gate import Message
from registry.http.uploads import AT_ONCE
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


def test_upload_is_swept_by_its_last_arrival(registry: RegistryInMemory) -> None:
    """An upload of which files still come is not swept, however long ago it was begun."""
    registry.clock.now_ms = 2**60
    upload = registry.upload({"MLmodel": MLMODEL, "b": b"b"}, commit=False)
    registry.operations.sweep_uploads(2**60)
    assert registry.ask("POST", f"{V1}/uploads/{upload}/commit").status_code == 200


def test_upload_swept_while_a_file_comes_leaves_nothing(registry: RegistryInMemory) -> None:
    """A file whose upload is given up before it is whole is refused, and its bytes go too."""
    upload = begin(registry, GOOD)

    def swept_meanwhile() -> AsyncIterator[bytes]:
        async def chunks() -> AsyncIterator[bytes]:
            yield MLMODEL
            registry.operations.sweep_uploads(2**62)

        return chunks()

    answer = registry.ask("PUT", f"{upload}/files/MLmodel", content=swept_meanwhile())
    assert code(answer) == (404, "unknown_upload")
    assert not registry.artifacts.objects
    assert code(registry.ask("POST", f"{upload}/commit")) == (404, "unknown_upload")


def test_slow_uploads_hold_up_nobody_else(registry: RegistryInMemory) -> None:
    """While more files than are received at once trickle in, nodes get their snapshot; then all files arrive."""
    registry.ready("churn")
    files = [{"path": f"f{i}", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()} for i in range(AT_ONCE + 4)]
    upload = begin(registry, GOOD, *files)

    async def story() -> set[int]:
        go, begun = asyncio.Event(), asyncio.Semaphore(0)

        async def body() -> AsyncIterator[bytes]:
            begun.release()
            await go.wait()
            yield b"x"

        transport = httpx.ASGITransport(registry.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            sending = [asyncio.create_task(client.put(f"{upload}/files/{f['path']}", content=body())) for f in files]
            for _ in range(AT_ONCE):
                await asyncio.wait_for(begun.acquire(), 10)
            told = await asyncio.wait_for(client.get(f"{V1}/snapshot?since=1&wait=1"), 10)
            assert told.json()["revision"] == registry.ledger.snapshots.revision()
            go.set()
            return {answer.status_code for answer in await asyncio.gather(*sending)}

    assert asyncio.run(story()) == {200}


def test_client_that_leaves_is_no_fault_of_ours(registry: RegistryInMemory, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends in the middle of a file is a request that did not arrive, and no failure in the log."""
    path = f"{begin(registry, GOOD)}/files/MLmodel"
    scope = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    coming: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]
    answered: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0) if len(coming) > 1 else coming[0]

    async def send(message: Message) -> None:
        answered.append(message)

    asyncio.run(registry.app(scope, receive, send))
    assert answered[0]["status"] == 408
    assert not caplog.records
    assert not registry.artifacts.objects


def test_metrics_need_no_thread(registry: RegistryInMemory) -> None:
    """Metrics can be read while every thread waits for the database."""

    async def story() -> int:
        threads = anyio.to_thread.current_default_thread_limiter()
        for _ in range(int(threads.total_tokens)):
            threads.acquire_on_behalf_of_nowait(object())
        transport = httpx.ASGITransport(registry.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await asyncio.wait_for(client.get("/metrics"), 10)).status_code

    assert asyncio.run(story()) == 200
