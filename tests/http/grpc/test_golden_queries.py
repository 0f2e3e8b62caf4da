"""The methods beside predicting, by the golden files of ``tests/wire/grpc-queries``: what clients send, byte by byte.

Triton's, KServe's and MLServer's differ in where a model's name stands, and in the name of the service.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from serving.grpc.messages import POOL, SERVICE, message
from serving.grpc.methods import METHODS
from tests.http.serving.test_oip_routes import matches
from tests.support.grpc_calls import Rpc, answering, raw_infer

pytestmark = pytest.mark.anyio
GOLDEN: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted((Path(__file__).parents[2] / "wire" / "grpc-queries").glob("*.json"))
}


async def test_answers_are_what_the_golden_files_say(tmp_path: Path) -> None:
    """Message or status of each; what counts comes late, and what changes something last."""
    async with answering(tmp_path) as (_, rpc):
        for name, golden in sorted(GOLDEN.items(), key=lambda each: (order(each[1]), each[0])):
            if golden.get("after_infer"):
                assert (await rpc.call("ModelInfer", raw_infer())).code == "OK"
            assert matches(golden["outcome"], await outcome(rpc, golden)), name


def order(golden: dict[str, Any]) -> int:
    """Return what comes when: 0 is first."""
    return 2 if "Load" in golden["method"] or "Unload" in golden["method"] else int("after_infer" in golden)


async def outcome(rpc: Rpc, golden: dict[str, Any]) -> dict[str, Any]:
    """Return what comes of a request: the answer, where that is frozen also as its bytes; or the refusal."""
    method = golden["method"]
    said = await rpc.call_bytes(method, bytes.fromhex(golden["bytes"]), service=golden.get("service", SERVICE))
    if said.code != "OK":
        return {"code": said.code, "message": said.message}
    answer = message(f"{method}Response").FromString(said.answer)
    shown: dict[str, Any] = {"answer": MessageToDict(answer, preserving_proto_field_name=True)}
    if "bytes" in golden["outcome"]:
        shown["bytes"] = said.answer.hex()
    return shown


@pytest.mark.parametrize("name", GOLDEN)
def test_requests_are_what_the_files_say(name: str) -> None:
    """The bytes are of the message beside them, as our file reads it."""
    golden = GOLDEN[name]
    if "request" in golden:
        asked = message(f"{golden['method']}Request").FromString(bytes.fromhex(golden["bytes"]))
        assert MessageToDict(asked, preserving_proto_field_name=True) == golden["request"]


def test_every_method_has_a_golden_file() -> None:
    """Also each of the repository's own service."""
    asked = {(golden.get("service", SERVICE), golden["method"]) for golden in GOLDEN.values()}
    own = {(SERVICE, method.name) for method in METHODS if not method.name.startswith(("ModelInfer", "ModelStream"))}
    again = POOL.FindFileByName("model_repository.proto").services_by_name.values()
    assert asked >= own | {(service.full_name, method.name) for service in again for method in service.methods}
