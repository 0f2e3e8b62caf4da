"""The golden exchanges of ``tests/wire/{sse,sagemaker,mlflow-routes,oip-http}``: bytes sent to the whole gated node,
and the bytes that come back.

The node knows churn, which adds up its columns ``a`` and ``b``, and chat, which has no signature and answers what it
is asked. Each request bears the id ``r``. Not here: bodies of one protocol alone, which its own tests read
(``test_scoring.py``, ``tests/unit/protocols``), and the routes of ``/v2`` beside predicting (``test_oip_routes.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry.errors import ModelFault
from serving.exchange import JsonOutput
from tests.support.serving_fakes import FakeLoaded, servable, settle, snapshot
from tests.support.serving_node import FakeWorld, churn, running

pytestmark = pytest.mark.anyio
FOLDERS = ("sse", "sagemaker", "mlflow-routes", "oip-http")
CASES = sorted(path for folder in FOLDERS for path in (Path(__file__).parents[2] / "wire" / folder).glob("*.json"))


def joined(parts: Sequence[dict[str, str]]) -> bytes:
    """Return a body from its parts: text, or bytes in hexadecimal."""
    return b"".join(part["text"].encode() if "text" in part else bytes.fromhex(part["hex"]) for part in parts)


async def asked(world: FakeWorld, request: dict[str, Any]) -> httpx.Response:
    """Send a request, or one of those that come before it."""
    headers = {"x-request-id": "r", **request.get("headers", {})}
    body = joined(request.get("body", ()))
    answer = await world.client.request(request["method"], request["path"], content=body, headers=headers)
    await settle()
    return answer


async def give_pieces(world: FakeWorld, pieces: list[Any], fault: str) -> None:
    """Have churn's stable version loaded, with pieces to stream and perhaps an error after them."""
    await world.client.post("/models/churn/versions/2/load")
    copy = world.copy_of("2")
    assert isinstance(copy, FakeLoaded)
    copy.pieces = [*map(JsonOutput, pieces), *([ModelFault("model_error", fault)] if fault else [])]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_a_frozen_exchange(path: Path, tmp_path: Path) -> None:
    """Status, the headers that the file names, and the body byte for byte, after decompression; of most errors the
    keys alone, for the words are ours."""
    case = json.loads(path.read_text())
    chat = snapshot("chat", versions={"1": servable("1", "chat 1")})
    async with running(tmp_path, churn(), chat, **case.get("settings", {})) as world:
        if "pieces" in case:
            await give_pieces(world, case["pieces"], case.get("fault", ""))
        for request in case.get("before", ()):
            assert (await asked(world, request)).is_success
        answer, wanted = await asked(world, case["request"]), case["answer"]
    assert answer.status_code == wanted["status"], answer.text
    if "keys" in wanted:
        assert sorted(answer.json()) == wanted["keys"]
    else:
        assert answer.content == joined(wanted["body"])
    assert {name: answer.headers.get(name) for name in wanted["headers"]} == wanted["headers"]


def test_every_folder_is_there() -> None:
    """A folder that is not found would test nothing."""
    assert {path.parent.name for path in CASES} == set(FOLDERS)
