"""Names, paths and versions nobody should send: group N of the abuse catalogue, and methods and hosts of group H."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry.edge.gate import Message
from tests.support.serving_node import FakeWorld, churn, running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node that knows churn."""
    async with running(tmp_path, churn()) as world:
        yield world


async def ask(world: FakeWorld, path: str, raw: bytes | None = None, method: str = "POST", **headers: str) -> int:
    """Return the status of a request whose path is exactly this; an error must have the contract's shape."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"inputs": {"a": [1.0], "b": [2.0]}}', "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    fields = {"host": "127.0.0.1:8080"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode() if raw is None else raw,
        "query_string": b"",
        "root_path": "",
        "http_version": "1.1",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items() if value],
    }
    await world.node.app(scope, receive, send)
    status: int = sent[0]["status"]
    body = b"".join(m.get("body", b"") for m in sent[1:])
    if status >= 400 and method != "HEAD":
        assert body.startswith(b'{"error": {"code": "')
        assert len(body) < 2500
        assert body.isascii()
    return status


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/models/../predict", b"/models/%2e%2e/predict"),
        ("/models/./predict", b"/models/./predict"),
        ("/models//predict", b"/models//predict"),
        ("/models/a/b/predict", b"/models/a%2fb/predict"),
        ("/models/..\\x/predict", b"/models/..%5cx/predict"),
        ("/models/%2e%2e/predict", b"/models/%252e%252e/predict"),
        ("/models/a\x00/predict", b"/models/a%00/predict"),
        ("/models/a\r\nx: y/predict", b"/models/a%0d%0ax:%20y/predict"),
        ("/models/\ufffd/predict", b"/models/%ff/predict"),
        ("/models/" + "a" * 9000 + "/predict", None),
        ("/models/.../predict", None),
        ("/models/-a/predict", None),
        ("/models/.a/predict", None),
        ("/models/mod\u0435l/predict", None),
        ("/models/caf\u00e9/predict", None),
        ("/models/a\u202eb/predict", None),
        ("/models/a\u200bb/predict", None),
        ("/models/\U0001f600/predict", None),
        ("/models/=1+1/predict", None),
        ("/models/<script>/predict", None),
        ("/models/{{7*7}}/predict", None),
        ("/models/${jndi:x}/predict", None),
        ("/models/'; DROP/predict", None),
        ("/models/churn;x=1/predict", None),
        ("/models/churn?/predict", None),
        ("/models/churn /predict", None),
    ],
)
async def test_a_name_outside_the_grammar_is_refused(world: FakeWorld, path: str, raw: bytes | None) -> None:
    """Nothing but the grammar's names gets past the lane: 400 or 404."""
    assert await ask(world, path, path.encode() if raw is None else raw) in (400, 404)
    assert world.runtime.loads.total() == 0


@pytest.mark.parametrize(
    "spelling", ["01", "+1", "-1", "1_0", " 1", "1 ", "١", "1e3", "1.0", "0", "1" * 20, "latest", "v1", "1\n"]
)
async def test_a_version_has_one_spelling(world: FakeWorld, spelling: str) -> None:
    """Every other spelling is 404, or 400 where it holds a control character; none reaches a version."""
    expected = 400 if "\n" in spelling else 404
    assert await ask(world, f"/models/churn/versions/{spelling}/predict") == expected
    assert world.runtime.loads.total() == 0


@pytest.mark.parametrize("alias", ["latest", "v2", "1", "-a", "a b", "é", "a" * 64])
async def test_an_alias_outside_the_grammar_is_refused(world: FakeWorld, alias: str) -> None:
    """Aliases that could be taken for something else do not exist."""
    assert await ask(world, f"/models/churn/aliases/{alias}/predict") == 400


@pytest.mark.parametrize("name", ["versions", "metrics", "latest", "con", "__proto__", "predict", "CHURN"])
async def test_words_with_a_meaning_elsewhere_are_harmless_as_names(world: FakeWorld, name: str) -> None:
    """They are names like others, or none, and no such model exists."""
    assert await ask(world, f"/models/{name}/predict") in (400, 404)


@pytest.mark.parametrize(
    "path",
    ["/models/churn/predict/", "/models/churn/predict;x", "/Models/churn/predict", "/models/churn/predict/x", "/x"],
)
async def test_what_is_not_in_the_table_is_nowhere(world: FakeWorld, path: str) -> None:
    """No redirect, no guess: 404."""
    assert await ask(world, path) == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
async def test_only_post_predicts(world: FakeWorld, method: str) -> None:
    """Every other method is 405, whatever an override header says."""
    assert await ask(world, "/models/churn/predict", method=method, x_http_method_override="POST") == 405


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "a/?x=", "a, b", "10.evil.com"])
async def test_a_host_that_is_not_us_is_refused(world: FakeWorld, host: str) -> None:
    """Rebinding and nonsense hosts are 400."""
    assert await ask(world, "/models/churn/predict", host=host) == 400
