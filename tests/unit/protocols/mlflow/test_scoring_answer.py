"""Answers as MLflow's server writes them, from what a host sends, and errors in MLflow's words."""

from __future__ import annotations

import datetime
import io
import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from registry.edge.problems import STATUS
from registry.errors import InvalidRequest, ModelFault, NotFound
from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.limits import Limits
from serving.protocols.mlflow.answer import PROTOCOL_VERSION, encode_scores
from serving.protocols.mlflow.errors import is_scoring, scoring_body, scoring_problem, scoring_status
from serving.runtimes.host.child.values import lay_output
from serving.runtimes.host.frames import Frames, pack, read_output
from tests.support.scoring_models import ANSWERS, NOT_JSON

LIMITS = Limits()


def sent(answer: Any) -> Output:
    """Return a model's answer as the node has it from a host."""
    buffers: list[Any] = []
    header = {"output": lay_output(answer, buffers)}
    (frame,) = Frames().feed(b"".join(bytes(piece) for piece in pack(1, header, buffers)))
    return read_output(frame)


def theirs(answer: Any) -> str:
    """Return what MLflow's server writes."""
    from mlflow.pyfunc.scoring_server import predictions_to_json

    write: Any = predictions_to_json
    sink = io.StringIO()
    write(answer, sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_has_the_bytes_of_mlflow(name: str) -> None:
    """Spaces, digits, escapes, lines of base64, order of keys; but for what is no JSON or no date."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = eval(ANSWERS[name], {"np": np, "pd": pd, "datetime": datetime})
        written = theirs(answer)
    ours = encode_scores(sent(answer), LIMITS).decode()
    assert ours == NOT_JSON.get(name, written)
    assert (ours == written) != (name in NOT_JSON)


def test_a_bare_answer_stands_alone() -> None:
    """What a chat's model answers is the whole body."""
    assert encode_scores(JsonOutput({"choices": [1, "ä"]}), LIMITS, bare=True) == b'{"choices": [1, "\\u00e4"]}'


def test_arrays_inside_of_answers_are_written_as_theirs() -> None:
    """Whatever a runtime in this process leaves inside: arrays, numbers of numpy, dates, bytes."""
    inside = {"a": np.array([1.5, np.nan]), "b": np.float32(0.5), "c": np.datetime64("2024-01-01", "ns"), "d": b"x"}
    body = encode_scores(JsonOutput([inside, datetime.date(2024, 1, 2)]), LIMITS)
    assert json.loads(body)["predictions"] == [
        {"a": [1.5, None], "b": 0.5, "c": "2024-01-01T00:00:00", "d": "eA==\n"},
        "2024-01-02",
    ]


@pytest.mark.parametrize(
    "output",
    [
        ArrayOutput(np.array([1 + 2j])),
        JsonOutput(object()),
        TableOutput(Table(("a", "a"), (np.array([1]), np.array([2])))),
        TensorsOutput({"x": np.zeros(3, "m8[s]")}),
    ],
)
def test_what_json_cannot_say_is_the_models_fault(output: Output) -> None:
    """``model_output_invalid``, never a broken document."""
    with pytest.raises(ModelFault) as caught:
        encode_scores(output, LIMITS)
    assert caught.value.code == "model_output_invalid"


def test_an_answer_has_a_length() -> None:
    """Longer ones are refused, early where their number of values says so."""
    for output in (ArrayOutput(np.zeros(1000)), JsonOutput("x" * 1000), TensorsOutput({"x": np.zeros(1000)})):
        with pytest.raises(ModelFault):
            encode_scores(output, Limits(response_bytes=900))


def test_the_version_is_the_mlflow_that_this_was_held_against() -> None:
    """The protocol's version, the installed one and the differential test's are one."""
    import mlflow

    assert mlflow.__version__ == PROTOCOL_VERSION


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/invocations", True),
        ("/ping", True),
        ("/models/m/invocations", True),
        ("/models/m/invoke", True),
        ("/models/m/versions/3/ping", True),
        ("/models/m/aliases/best/version", True),
        ("/models/ping", False),
        ("/models/m/versions/ping", False),
        ("/models/m/predict", False),
        ("/models/m/versions/3/invoke", False),
        ("/invoke", False),
        ("/v2/health/ping", False),
    ],
)
def test_paths_of_this_protocol_are_told_apart(path: str, expected: bool) -> None:
    """A model that is called ping keeps our own errors."""
    assert is_scoring(path) is expected


def test_statuses_are_mlflows_where_it_has_one() -> None:
    """422 becomes 400; every other code keeps its class."""
    assert {code for code in STATUS if scoring_status(code) != STATUS[code]} == {"invalid_input", "not_servable"}
    assert all(scoring_status(code) // 100 == status // 100 for code, status in STATUS.items())


def test_errors_have_mlflows_names_and_classes() -> None:
    """What MLflow's exceptions of the same kind carry."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import (
        BAD_REQUEST,
        ENDPOINT_NOT_FOUND,
        INVALID_PARAMETER_VALUE,
        RESOURCE_DOES_NOT_EXIST,
    )

    schema = MlflowException("m", INVALID_PARAMETER_VALUE, error_class="SCHEMA_ENFORCEMENT_FAILED")
    pairs: list[tuple[Any, Any]] = [
        (InvalidRequest("malformed_json", "m"), MlflowException("m", BAD_REQUEST)),
        (InvalidRequest("invalid_input", "m"), schema),
        (
            InvalidRequest("invalid_input", "m", {"path": "params.x"}),
            MlflowException("m", INVALID_PARAMETER_VALUE),
        ),
        (NotFound("unknown_model", "m"), MlflowException("m", RESOURCE_DOES_NOT_EXIST)),
        (NotFound("not_found", "m"), MlflowException("m", ENDPOINT_NOT_FOUND)),
    ]
    for ours, mlflows in pairs:
        assert scoring_body(ours).decode() == mlflows.serialize_as_json()
        assert scoring_status(ours.code) == mlflows.get_http_status_code()


def test_media_and_methods_are_refused_in_mlflows_shapes() -> None:
    """415 is plain text, 405 the framework's object; both bear the request's id."""
    status, body, headers = scoring_problem("/ping", InvalidRequest("unsupported_media_type", "no"), "r1")
    assert (status, body, dict(headers)[b"content-type"]) == (415, b"no", b"text/plain; charset=utf-8")
    assert dict(headers)[b"x-request-id"] == b"r1"
    status, body, _ = scoring_problem("/ping", InvalidRequest("method_not_allowed", "no"), "r1")
    assert (status, json.loads(body)) == (405, {"detail": "Method Not Allowed"})
