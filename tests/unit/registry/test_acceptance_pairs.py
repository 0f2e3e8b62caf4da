"""The judgement of signatures, held against serving's code for every pair of many types.

Each signature is asked about each of many bodies once; then a version fits where it takes every body that stable takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from registry.errors import InvalidRequest
from registry.signature import parse_signature
from registry.traffic.acceptance import misfits
from serving.protocols.limits import Limits
from serving.protocols.native import parse_body, shape

LIMITS = Limits()
INTEGERS = [0, -1, 127, 128, 256, 70_000, 2**31, -(2**31) - 1, 2**53]
PLAIN = [*INTEGERS, 0.5, 1e30, 1e39, 1e300, True, None, "x", "YQ==", "2026-01-31"]
LISTS = [[], [1], [0.5], ["x"], [None], [True], [[1]], [[0.5]], [2**31]]
OBJECTS = [{}, {"u": 1}, {"u": 0.5}, {"u": None}, {"u": 1, "v": 1}, {"u": 1, "w": 1}, {"v": 1}, {"k": 2**31}]
SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")


def of_objects(**properties: tuple[str, bool]) -> dict[str, Any]:
    """Return a type of objects: each property's type, and whether it is required."""
    parts = {name: {"type": kind, "required": required} for name, (kind, required) in properties.items()}
    return {"type": "object", "properties": parts}


NESTED: list[dict[str, Any]] = [
    {"type": "any"},
    {"type": "sparkml_vector"},
    *({"type": "array", "items": {"type": kind}} for kind in ("boolean", "integer", "long", "double", "string", "any")),
    {"type": "array", "items": {"type": "array", "items": {"type": "long"}}},
    {"type": "array", "items": {"type": "array", "items": {"type": "double"}}},
    of_objects(u=("long", True)),
    of_objects(u=("long", False)),
    of_objects(u=("double", False)),
    of_objects(u=("double", True), v=("long", True)),
    of_objects(u=("double", True), v=("long", False)),
    {"type": "map", "values": {"type": "integer"}},
    {"type": "map", "values": {"type": "double"}},
    {"type": "map", "values": {"type": "any"}},
]
TYPES = [*({"type": kind} for kind in SCALARS), *NESTED]
Z = {"name": "z", "type": "double", "required": True}


def schemas() -> Iterator[str]:
    """Yield schemas as JSON: one column of each type, alone and beside another, required and not."""
    for spec in TYPES:
        for required in (True, False):
            column = {**spec, "name": "a", "required": required}
            yield json.dumps([column])
            yield json.dumps([Z, column])
    yield json.dumps([Z])


def bodies() -> list[dict[str, Any]]:
    """Return bodies that name their columns, in every form."""
    found: list[dict[str, Any]] = [{"inputs": [{"z": 1.0}]}, {"inputs": {"z": [1.0, 2.0]}}, {"inputs": {"z": 1.0}}]
    for cell in (*PLAIN, *LISTS, *OBJECTS):
        found += [
            {"dataframe_split": {"columns": ["a"], "data": [[cell]]}},
            {"inputs": [{"a": cell}]},
            {"inputs": {"a": cell}},
            {"inputs": {"a": [cell]}},
            {"instances": [{"a": cell, "z": 1.0}]},
            {"dataframe_records": [{"a": cell, "z": 1.0}, {"z": 1.0}]},
            {"inputs": {"a": [cell], "z": [1.0]}},
            {"inputs": {"a": cell, "z": 1.0}},
        ]
    return found


def without_names() -> list[dict[str, Any]]:
    """Return bodies of one column without a name."""
    cells = (*PLAIN, *LISTS, *OBJECTS)
    return [{"inputs": [cell]} for cell in cells] + [{"inputs": [[cell]]} for cell in cells]


BODIES = [json.dumps(body).encode() for body in bodies()]
NAMELESS = [json.dumps(body).encode() for body in without_names()]


@cache
def taken(schema: str, *, nameless: bool = False) -> frozenset[bytes]:
    """Return which bodies serving takes for a schema."""
    signature = parse_signature({"inputs": json.loads(schema)})
    return frozenset(body for body in (NAMELESS if nameless else BODIES) if takes(signature, body))


def takes(signature: Any, body: bytes) -> bool:
    """Tell whether serving takes one body."""
    try:
        shape(parse_body(None, body, LIMITS), signature, None, LIMITS)
    except InvalidRequest:
        return False
    return True


@cache
def fits(given: str, other: str) -> bool:
    """Tell whether no misfit is found."""
    return not any(
        misfits(parse_signature({"inputs": json.loads(given)}), parse_signature({"inputs": json.loads(other)}))
    )


def test_what_fits_takes_all_that_stable_takes() -> None:
    """For every pair of column types, alone and beside another, required and optional."""
    wrong = []
    for given in schemas():
        for other in schemas():
            if fits(given, other):
                refused = taken(given) - taken(other)
                if len(json.loads(given)) == len(json.loads(other)):
                    refused |= taken(given, nameless=True) - taken(other, nameless=True)
                wrong += [(given, other, body) for body in sorted(refused)[:1]]
    assert wrong == []


def test_what_does_not_fit_has_a_body_that_shows_it() -> None:
    """No pair of scalar columns is refused without need; but for those that only typed tables tell apart."""
    # There an integer beyond 2**24 is no float32, and dates and bytes are no text.
    only_in_tables = {("integer", "float"), ("long", "float"), ("datetime", "string"), ("binary", "string")}
    needless = set()
    for given in SCALARS:
        for other in SCALARS:
            pair = [json.dumps([Z, {"name": "a", "type": kind, "required": True}]) for kind in (given, other)]
            if not fits(*pair) and taken(pair[0]) <= taken(pair[1]):
                needless.add((given, other))
    assert needless == only_in_tables


def test_optional_columns_fit_as_serving_has_it() -> None:
    """One that is not required may be added, and one that is may become optional; never the other way round."""
    alone = json.dumps([Z])
    for kind in SCALARS:
        optional, required = (json.dumps([Z, {"name": "a", "type": kind, "required": r}]) for r in (False, True))
        assert fits(alone, optional) and taken(alone) <= taken(optional)
        assert fits(required, optional)
        assert not fits(alone, required) and not taken(alone) <= taken(required)
        assert not fits(optional, required) and not taken(optional) <= taken(required)
        assert not fits(optional, alone) and not taken(optional) <= taken(alone)


DTYPES = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bool",
    "str",
    "object",
)
SHAPES: tuple[tuple[int, ...], ...] = ((), (-1,), (2,), (-1, 2), (-1, -1), (1, 2), (-1, 1))


def blocks() -> Iterator[bytes]:
    """Yield nested lists of several shapes and values, as bodies."""
    for leaf in PLAIN:
        for rows, columns in ((0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (1, 2), (2, 2), (3, 3)):
            row: Any = [leaf] * columns if columns else leaf
            for value in ([row] * rows if rows else leaf,):
                yield json.dumps({"inputs": value}).encode()


def tensor_schemas() -> Iterator[str]:
    """Yield schemas of one tensor without a name."""
    for dtype in DTYPES:
        for dims in SHAPES:
            yield json.dumps([{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(dims)}}])


def test_tensors_that_fit_take_all_that_stable_takes() -> None:
    """For every pair of dtypes and shapes."""
    sent = list(blocks())
    accepted = {}
    for schema in tensor_schemas():
        signature = parse_signature({"inputs": json.loads(schema)})
        accepted[schema] = {body for body in sent if takes(signature, body)}
        assert accepted[schema], schema
    wrong = [
        (given, other, sorted(accepted[given] - accepted[other])[:1])
        for given in accepted
        for other in accepted
        if not accepted[given] <= accepted[other] and fits(given, other)
    ]
    assert wrong == []
