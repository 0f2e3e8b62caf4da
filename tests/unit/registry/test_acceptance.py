"""What a version takes of what another one's callers send: the rules, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from registry.signature import parse_signature
from registry.traffic.acceptance import Misfit, misfits

SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
WIDENS = {("integer", "long"), ("integer", "double"), ("long", "double"), ("float", "double")}


def column(kind: str, name: str | None = "a", *, required: bool = True, **more: Any) -> dict[str, Any]:
    """Return a column as MLflow writes it."""
    named = {} if name is None else {"name": name}
    return {"type": kind, "required": required, **named, **more}


def array(items: Any, **more: Any) -> dict[str, Any]:
    """Return a column of arrays."""
    return column("array", items=items, **more)


def record(properties: Any, **more: Any) -> dict[str, Any]:
    """Return a column of objects."""
    return column("object", properties=properties, **more)


def tensor(dtype: str, shape: list[int], name: str | None = None) -> dict[str, Any]:
    """Return a tensor as MLflow writes it."""
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
    return spec if name is None else {**spec, "name": name}


def param(kind: str, name: str = "p", shape: list[int] | None = None, default: Any = 1) -> dict[str, Any]:
    """Return a parameter as MLflow writes it."""
    return {"name": name, "type": kind, "default": default, "shape": shape}


def compare(given: Any, taken: Any, part: str = "inputs") -> list[Misfit]:
    """Return what does not fit where stable has ``given`` and another version has ``taken``."""
    return list(misfits(parse_signature({part: given}), parse_signature({part: taken})))


@pytest.mark.parametrize("given", SCALARS)
@pytest.mark.parametrize("taken", SCALARS)
def test_types_widen_where_every_value_stays_what_it_is(given: str, taken: str) -> None:
    """An integer is taken for a long or a double, a long or a float for a double, and nothing else for another."""
    fits = given == taken or (given, taken) in WIDENS
    assert compare([column(given)], [column(taken)]) == ([] if fits else [Misfit("a", taken, given)])


A, B = column("double", "a"), column("double", "b")
MAYBE_B = column("double", "b", required=False)
DOUBLES, LONGS = array({"type": "double"}), array({"type": "long"})
STREET = {"street": {"type": "string", "required": True}}
SPARK = column("sparkml_vector")
MAP_OF_DOUBLES = column("map", values={"type": "double"})


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([A], [A]),
        ([A], [A, MAYBE_B]),  # nobody has to send it
        ([A, B], [A, MAYBE_B]),
        ([A, MAYBE_B], [A, MAYBE_B]),
        ([column("double", None)], [column("double", None)]),
        ([column("double", 0)], [column("double", 0)]),  # type: ignore[arg-type]  # names of a DataFrame without names
        ([LONGS], [DOUBLES]),
        ([LONGS], [array({"type": "any"})]),
        ([DOUBLES], [SPARK]),
        ([SPARK], [DOUBLES]),
        (
            [array({"type": "array", "items": {"type": "integer"}})],
            [array({"type": "array", "items": {"type": "long"}})],
        ),
        ([record(STREET)], [record(STREET)]),
        ([record(STREET)], [record({**STREET, "no": {"type": "long", "required": False}})]),
        ([column("map", values={"type": "long"})], [MAP_OF_DOUBLES]),
        ([column("any")], [column("any")]),
        ([B, column("string")], [B, column("any")]),
        ([tensor("float32", [-1, 4])], [tensor("float64", [-1, 4])]),
        ([tensor("uint8", [-1, 4])], [tensor("int16", [-1, -1])]),
        ([tensor("int32", [2, 4])], [tensor("float64", [-1, 4])]),
        ([tensor("str", [-1])], [tensor("object", [-1])]),
        (
            [tensor("int64", [-1], "x"), tensor("bool", [-1], "y")],
            [tensor("bool", [-1], "y"), tensor("int64", [-1], "x")],
        ),
        (None, None),
        ([A], None),  # a version that declares nothing takes anything
        ([], []),
    ],
)
def test_what_fits(given: Any, taken: Any) -> None:
    """What every caller of the first sends is taken by the second."""
    assert compare(given, taken) == []


@pytest.mark.parametrize(
    ("given", "taken", "expected"),
    [
        ([A], [A, B], Misfit("b", "double, always", "nothing")),
        ([A, B], [A], Misfit("b", "no such column", "double")),
        ([A, MAYBE_B], [A], Misfit("b", "no such column", "double")),
        ([A, MAYBE_B], [A, B], Misfit("b", "double, always", "double, or nothing")),
        ([A, B], [B, A], Misfit("b", "it as column 1", "it as column 2; rows without names go by place")),
        ([A], [column("double", None)], Misfit("a", "columns by position, without names", "columns by name")),
        ([column("double", None)], [A], Misfit("a", "columns by name", "columns by position, without names")),
        ([column("double", None)] * 2, [column("double", None)], Misfit("1", "no such column", "double")),
        ([DOUBLES], [LONGS], Misfit("a[]", "long", "double")),
        ([DOUBLES], [column("double")], Misfit("a", "double", "array of double")),
        ([array({"type": "any"})], [DOUBLES], Misfit("a[]", "double", "any")),
        ([column("string")], [column("any")], Misfit("a", "lists as single values", "lists as rows")),
        ([DOUBLES], [column("any")], Misfit("a", "lists as rows", "lists as single values")),
        ([B], [B, array({"type": "double"}, required=False)], Misfit("a", "lists as single values", "lists as rows")),
        ([record(STREET)], [record({})], Misfit("a.street", "no such property", "string")),
        ([record({})], [record(STREET)], Misfit("a.street", "string, always", "nothing")),
        (
            [record({"no": {"type": "long", "required": False}})],
            [record({"no": {"type": "long"}})],
            Misfit("a.no", "long, always", "long, or nothing"),
        ),
        ([MAP_OF_DOUBLES], [column("map", values={"type": "long"})], Misfit("a.*", "long", "double")),
        ([tensor("float64", [-1, 4])], [tensor("float32", [-1, 4])], Misfit("inputs", "float32", "float64")),
        ([tensor("int64", [-1])], [tensor("float32", [-1])], Misfit("inputs", "float32", "int64")),
        ([tensor("bool", [-1])], [tensor("int8", [-1])], Misfit("inputs", "int8", "bool")),
        ([tensor("no such", [-1])], [tensor("int8", [-1])], Misfit("inputs", "int8", "no such")),
        ([tensor("int8", [-1, 4])], [tensor("int8", [-1, 5])], Misfit("inputs", "shape [-1, 5]", "shape [-1, 4]")),
        ([tensor("int8", [-1, 4])], [tensor("int8", [1, 4])], Misfit("inputs", "shape [1, 4]", "shape [-1, 4]")),
        ([tensor("int8", [-1, 4])], [tensor("int8", [-1])], Misfit("inputs", "shape [-1]", "shape [-1, 4]")),
        ([tensor("int8", [-1], "x")], [tensor("int8", [-1], "y")], Misfit("x", "'y'", "this one")),
        ([A], [tensor("double", [-1, 1])], Misfit("a", "tensors", "columns")),
        ([tensor("double", [-1, 1], "x")], [A], Misfit("x", "columns", "tensors")),
    ],
)  # fmt: skip
def test_what_does_not_fit(given: Any, taken: Any, expected: Misfit) -> None:
    """The first thing that some caller sends and the other version refuses is named, with both sides of it."""
    assert compare(given, taken)[0] == expected


def test_a_stable_version_without_inputs_shows_nothing() -> None:
    """Where the stable version declares no inputs, nothing shows that its callers send what another one asks for."""
    (found,) = compare(None, [A])
    assert (found.place, found.got) == ("inputs", "anything: the stable version declares no inputs")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (param("long"), param("long")),
        (param("long"), param("double")),
        (param("double", default=0.5), param("float", default=0.5)),  # both are a Python float
        (param("string", default="x"), param("string", default="y")),
        (param("long", shape=[-1], default=[1]), param("double", shape=[-1], default=[1.0])),
        (param("long", shape=[-1], default=None), param("long", shape=[-1], default=None)),
    ],
)
def test_parameters_that_fit(given: Any, taken: Any) -> None:
    """A parameter's type may widen."""
    assert compare([given], [taken], "params") == []


@pytest.mark.parametrize(
    ("given", "taken", "expected"),
    [
        ([param("long")], [], Misfit("params.p", "no such parameter", "long")),
        ([param("long")], None, Misfit("params.p", "no such parameter", "long")),
        ([param("double")], [param("long")], Misfit("params.p", "long", "double")),
        ([param("string")], [param("long")], Misfit("params.p", "long", "string")),
        ([param("long")], [param("long", shape=[-1], default=[1])], Misfit("params.p", "list of long", "long")),
        ([], [param("long", shape=[-1], default=None)], Misfit("params.p", "list of long, always", "nothing")),
    ],
)
def test_parameters_that_do_not_fit(given: Any, taken: Any, expected: Misfit) -> None:
    """A parameter that callers send must exist; one with a default need not be sent."""
    assert compare(given, taken, "params") == [expected]


def test_another_versions_parameter_has_its_default() -> None:
    """A version may have parameters that callers of the stable one know nothing of."""
    assert compare(None, [param("double")], "params") == []


def test_words_quote_no_more_than_they_may() -> None:
    """A name from a model's file is cut and made printable."""
    (found,) = compare([A], [A, column("double", "\n" + "x" * 500)])
    assert len(str(found)) < 200 and "\n" not in str(found)
