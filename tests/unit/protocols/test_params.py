"""Inference parameters: typed, with defaults, none unknown."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from serving.protocols.native import shape
from tests.unit.protocols.signatures import LIMITS, NOTHING, parse, refusal, signed


def param(kind: str, default: Any = None, *, many: bool = False) -> list[dict[str, Any]]:
    """Return the parameter ``p`` as MLmodel has it."""
    return [{"name": "p", "type": kind, "default": default, "shape": [-1] if many else None}]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [("double", 1, 1.0), ("float", 0.1, 0.1), ("long", 5, 5), ("integer", 5, 5), ("string", "x", "x"),
     ("boolean", True, True), ("double", None, None),
     ("datetime", "2024-01-01T10:00:00", datetime.datetime(2024, 1, 1, 10)), ("object", {"a": 1}, {"a": 1})],
)  # fmt: skip
def test_values_take_their_declared_type(kind: str, given: Any, value: Any) -> None:
    """Values become what MLflow hands to the model: Python's own types."""
    call = shape(parse({"inputs": [1], "params": {"p": given}}), signed(params=param(kind)), None, LIMITS)
    assert call.params == {"p": value}
    assert type(call.params["p"]) is type(value)


def test_absent_parameters_get_their_default() -> None:
    """Defaults fill in, also for lists, and where no params were sent at all."""
    assert shape(parse({"inputs": [1]}), signed(params=param("long", 7)), None, LIMITS).params == {"p": 7}
    many = param("double", [1.0, 2.0], many=True)
    assert shape(parse({"inputs": [1], "params": {}}), signed(params=many), None, LIMITS).params == {"p": [1.0, 2.0]}
    assert shape(parse({"inputs": [1], "params": None}), NOTHING, None, LIMITS).params == {}


@pytest.mark.parametrize(
    ("kind", "given", "many"),
    [("long", 1.5, False), ("long", "1", False), ("long", True, False), ("integer", 2**31, False),
     ("double", "x", False), ("string", 1, False), ("boolean", 1, False), ("long", [1], False),
     ("datetime", "soon", False), ("datetime", 5, False), ("object", 5, False), ("long", 1, True),
     ("long", [1, "2"], True)],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(kind: str, given: Any, many: bool) -> None:
    """A parameter of the wrong type or shape is refused with its path."""
    error = refusal({"inputs": [1], "params": {"p": given}}, signed(params=param(kind, 1, many=many)))
    assert error.code == "invalid_input"
    assert str(error.details["path"]).startswith("params.p")


def test_unknown_parameters_are_refused() -> None:
    """A misspelt parameter is named, also where the signature has none at all."""
    error = refusal({"inputs": [1], "params": {"q": 1}}, signed(params=param("long", 1)))
    assert (error.details["column"], error.details["reason"]) == ("q", "unknown")
    assert refusal({"inputs": [1], "params": {"q": 1}}).code == "invalid_input"
