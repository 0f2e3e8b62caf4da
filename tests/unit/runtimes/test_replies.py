"""What a host's replies mean."""

from __future__ import annotations

import pytest

from registry.signature import Tensor
from serving.runtimes.host.replies import describe_end, fault, graph_schema


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "together with its parent"),
        (0, "exit status 0"),
        (3, "exit status 3"),
        (-11, "signal 11 (SIGSEGV)"),
        (-9, "want of memory"),
        (-99, "signal 99 (unknown)"),
    ],
)
def test_an_end_is_told_in_words(status: int | None, words: str) -> None:
    """Exit statuses and signals are named."""
    assert words in describe_end(status)


def test_a_models_exception_is_its_type_and_message() -> None:
    """What a model raised is told; an answer that cannot be said has a code of its own."""
    raised = fault({"error": {"code": "model_error", "type": "ValueError", "message": "no"}}, "the model raised")
    assert (raised.code, raised.message) == ("model_error", "the model raised: ValueError: no")
    invalid = fault({"error": {"code": "model_output_invalid", "type": "OutputInvalid", "message": "odd"}}, "x")
    assert (invalid.code, invalid.message) == ("model_output_invalid", "odd")


@pytest.mark.parametrize(
    "header", [{}, {"error": None}, {"error": {"code": "internal"}}, {"error": {"message": "x" * 9999}}]
)
def test_a_damaged_failure_is_a_failure_all_the_same(header: dict[str, object]) -> None:
    """A host cannot choose codes, nor lengths."""
    error = fault(header, "the model raised")
    assert error.code == "model_error"
    assert len(error.message) < 1200


def test_paths_of_this_machine_are_left_out() -> None:
    """Of a path in a model's message only the file's name is shown; fractions and ratios stay."""
    said = "in '/srv/models/a b/m.py' and /etc/passwd: 1/2 m/s/s, a / b"
    error = fault({"error": {"type": "E", "message": said}}, "x")
    assert error.message == "x: E: in 'a b/m.py' and passwd: 1/2 m/s/s, a / b"


def test_a_graphs_inputs_are_tensors() -> None:
    """Names, types and shapes come as they are."""
    schema = graph_schema([{"name": "X", "dtype": "float32", "shape": [-1, 4]}])
    assert schema is not None
    assert schema.tensors == (Tensor("X", "float32", (-1, 4)),)
    assert graph_schema(None) is None
