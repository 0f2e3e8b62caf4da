"""gRPC as its own clients speak it: every method of ``tritonclient.grpc``, blocking and asynchronous, and of KServe's.

Each client runs in an environment of its own against the running platform; what it got is looked at here.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.control import Control
from tests.e2e.oip_model import HALVES, SCORES, SHOUTED, serve, told
from tests.support.models import SavedModels

pytestmark = pytest.mark.e2e
MODEL, STREAMING = "grpc-clients", "grpc-pieces"


@pytest.fixture(scope="module")
def where(control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Serve the model, and one that answers piece by piece; return where gRPC is spoken."""
    serve(control, saved_models, tmp_path_factory.mktemp("grpc") / "model", MODEL)
    control.promote(STREAMING, control.add(STREAMING, saved_models.get("stream_counting").directory))
    return control.platform.grpc_address


@pytest.fixture(scope="module")
def triton(where: str) -> dict[str, Any]:
    """What ``tritonclient.grpc`` got."""
    return told("tritonclient", "triton_grpc.py", where, MODEL)


@pytest.fixture(scope="module")
def triton_aio(where: str) -> dict[str, Any]:
    """What ``tritonclient.grpc.aio`` got."""
    return told("tritonclient", "triton_grpc_aio.py", where, MODEL)


@pytest.fixture(scope="module")
def kserve(where: str) -> dict[str, Any]:
    """What ``kserve.InferenceGRPCClient`` got."""
    return told("kserve", "kserve_grpc.py", where, MODEL)


def test_triton_predicts_in_every_form(triton: dict[str, Any]) -> None:
    """Plain, of a version, compressed, asynchronous: the same numbers, read by the client itself."""
    infer = triton["infer"]
    assert infer["plain"] == {
        "model_name": MODEL, "model_version": "1", "id": "mine", "scores": SCORES, "halves": HALVES, "shouted": SHOUTED,
    }  # fmt: skip
    assert (infer["wanted"]["scores"], infer["wanted"]["shouted"]) == (SCORES, SHOUTED)
    assert "halves" not in infer["wanted"]
    assert infer["factor"]["scores"][2] == [1.5 * value for value in SCORES[2]]
    for form in ("priority", "sequence", "gzip", "deflate", "async"):
        assert [infer[form][name] for name in ("scores", "halves", "shouted")] == [SCORES, HALVES, SHOUTED], form
    kind, shape, values = infer["classes"]["scores"]
    assert (kind, shape) == ("BYTES", [3, 1])
    assert [text.split(":")[1] for text in values] == ["1", "1", "1"]


def test_triton_streams(triton: dict[str, Any], triton_aio: dict[str, Any]) -> None:
    """Answers come in the order of the requests, an error among them."""
    for answers in (triton["stream"], triton_aio["stream"]):
        assert [answers[n] for n in (0, 1, 3, 4, 5)] == [[str(n), SCORES] for n in (0, 1, 3, 4, 5)]
        assert "no model is called nobody" in answers[2][1]
    assert triton["stream"][6] == ["final", SCORES]


def test_triton_reads_pieces_until_the_last(where: str) -> None:
    """A model that answers piece by piece has an answer for each, and an empty last one that says so."""
    found = told("tritonclient", "triton_pieces.py", where, STREAMING)["pieces"]
    assert found == [["p", ["xx"], False]] * 3 + [["p", [], True]]


def test_triton_sees_what_is_there(triton: dict[str, Any]) -> None:
    """Health, metadata, configuration, statistics and the repository."""
    about, repository = triton["about"], triton["repository"]
    assert (about["live"], about["ready"], about["model_ready"]) == (True, True, [True, True])
    assert about["unknown_ready"] == [False, False]
    assert about["server"]["name"] == "headgate"
    assert [tensor["datatype"] for tensor in about["model"]["inputs"]] == ["FP32", "FP16", "BYTES"]
    assert about["config"]["input"][2] == {"name": "words", "data_type": "TYPE_STRING", "dims": ["-1", "1"]}
    (row,) = about["statistics"]
    assert int(row["inference_stats"]["success"]["count"]) >= len(triton["infer"])
    assert (repository["loaded"], repository["again"]) == ([True, ["READY"]], [True, ["READY"]])
    ready, (state,) = repository["unloaded"]
    assert (ready, state in ("UNLOADING", "UNAVAILABLE")) == (False, True)
    assert repository["config"][0] == repository["files"][0] == "StatusCode.INVALID_ARGUMENT"
    assert repository["unknown"][0] == "StatusCode.NOT_FOUND"


STATUS = {
    **dict.fromkeys(("missing_input", "unknown_output", "missing"), "INVALID_ARGUMENT"),
    **dict.fromkeys(("timeout", "deadline"), "DEADLINE_EXCEEDED"),
    **dict.fromkeys(("trace", "log", "shared", "cuda"), "UNIMPLEMENTED"),
    **dict.fromkeys(("trace_get", "trace_set", "log_get", "log_set", "share", "unshare"), "UNIMPLEMENTED"),
    **dict.fromkeys(("cuda_share", "cuda_unshare"), "UNIMPLEMENTED"),
}


def test_triton_reads_every_refusal(triton: dict[str, Any], triton_aio: dict[str, Any]) -> None:
    """Each is an InferenceServerException with its status and our words, also for what is not there at all."""
    for refusals in (triton["refusals"], triton_aio["refusals"]):
        for name, (status, message) in refusals.items():
            assert (status, bool(message)) == (f"StatusCode.{STATUS.get(name, 'NOT_FOUND')}", True), (name, message)


def test_tritons_asynchronous_client_does_the_same(triton_aio: dict[str, Any]) -> None:
    """Health, metadata, predictions, statistics, load and unload."""
    assert (triton_aio["live"], triton_aio["ready"], triton_aio["model_ready"]) == (True, True, True)
    assert (triton_aio["server"], triton_aio["model"], triton_aio["config"]) == ("headgate", MODEL, MODEL)
    assert triton_aio["index"] == ["READY"]
    for at, answer in enumerate(triton_aio["plain"]):
        assert (answer["id"], answer["scores"], answer["halves"]) == (str(at), SCORES, HALVES)
    assert triton_aio["wanted"]["shouted"] == triton_aio["gzip"]["shouted"] == SHOUTED
    assert triton_aio["counted"] >= 10
    assert triton_aio["unloaded"] is False


def test_kserves_client_does_the_same(kserve: dict[str, Any]) -> None:
    """Health, raw and typed predictions, and the repository by its own field numbers."""
    assert (kserve["live"], kserve["ready"], kserve["model_ready"]) == (True, True, True)
    assert kserve["unknown_ready"] is False
    assert (kserve["raw"]["scores"], kserve["raw"]["halves"], kserve["raw"]["shouted"]) == (SCORES, HALVES, SHOUTED)
    for form in ("wanted", "typed"):
        assert kserve[form] == {"scores": SCORES, "id": "mine", "model_name": MODEL}
    assert kserve["repository"] == [MODEL, True, MODEL, True]
    assert (kserve["server"], kserve["model"]) == ("headgate", MODEL)
    assert {status for status, _ in kserve["refusals"].values()} == {"NOT_FOUND"}
