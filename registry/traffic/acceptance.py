"""What one version takes of what another one's callers send, by their signatures. Pure.

The rules are those that serving enforces (``serving/protocols``: ``columns``, ``nested``, ``tensors``, ``params``), and
a property test holds the two together: a body that fits ``callers``' signature fits ``version``'s where this finds no
misfit. Types widen as numpy's safe casts do (int32 → int64 → float64, float32 → float64). Three spellings are left out
of the judgement, and get 422 where they do not fit: integers beyond 2**53 where a double is asked for, rows without
column names where a version has further optional columns, and flattened tensors in the cells of a table.

Not here: which versions are compared, and what comes of a misfit (``fitness.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.errors import quote
from registry.signature import Column, Param, Schema, Signature, Tensor

_WIDER = {"integer": ("long", "double"), "long": ("double",), "float": ("double",)}
_CELLS = ("array", "object", "sparkml_vector")
_OPEN = ("any", "map")
_NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing that callers send and the version refuses.

    Attributes:
        place: The column or tensor, with the path inside it; ``params.<name>`` for a parameter, ``inputs`` for all.
        expected: What the version takes there.
        got: What callers may send.
    """

    place: str
    expected: str
    got: str

    def __str__(self) -> str:
        """Return it in words, the place quoted."""
        return f"'{quote(self.place)}': it takes {self.expected}, they send {self.got}"


def misfits(callers: Signature, version: Signature) -> Iterator[Misfit]:
    """Yield what callers of a version with the signature ``callers`` may send and ``version`` refuses.

    A version that declares no inputs takes any.
    """
    yield from _params(callers.params or (), version.params or ())
    given, taken = _declared(callers.inputs), _declared(version.inputs)
    if taken is None:
        return
    if given is None:
        yield Misfit("inputs", "what its signature declares", "anything: the stable version declares no inputs")
    elif bool(given.tensors) != bool(taken.tensors):
        kinds = {True: "tensors", False: "columns"}
        yield Misfit(_first(given), kinds[bool(taken.tensors)], kinds[bool(given.tensors)])
    elif taken.tensors:
        yield from _tensors(given.tensors, taken.tensors)
    else:
        yield from _columns(given.columns, taken.columns)


def _declared(schema: Schema | None) -> Schema | None:
    return schema if schema is not None and (schema.columns or schema.tensors) else None


def _first(schema: Schema) -> str:
    first: Column | Tensor = schema.tensors[0] if schema.tensors else schema.columns[0]
    return str(first.name or "inputs")


# -- columns


def _columns(given: Sequence[Column], taken: Sequence[Column]) -> Iterator[Misfit]:
    if (given[0].name is None) != (taken[0].name is None):
        words = {True: "columns by position, without names", False: "columns by name"}
        named = taken[0] if given[0].name is None else given[0]
        yield Misfit(str(named.name), words[taken[0].name is None], words[given[0].name is None])
        return
    theirs, ours = _by_name(given), _by_name(taken)
    for name, column in theirs.items():
        if name not in ours:
            yield Misfit(name, "no such column", _spell(column.spec))
        else:
            yield from _values(column.spec, column.required, ours[name].spec, ours[name].required, name)
    for name, column in ours.items():
        if name not in theirs and column.required:
            yield Misfit(name, f"{_spell(column.spec)}, always", _NOTHING)
    yield from _readings(given, taken)
    if len(theirs) == len(ours):
        # Rows may come without names; then the place says which column a value is, and another order would be misread
        # without a word.
        for at, (here, there) in enumerate(zip(theirs, ours, strict=True)):
            if here != there and there in theirs:
                place = list(theirs).index(there)
                yield Misfit(
                    there, f"it as column {at + 1}", f"it as column {place + 1}; rows without names go by place"
                )
                return


def _by_name(columns: Sequence[Column]) -> dict[str, Column]:
    return {str(at if column.name is None else column.name): column for at, column in enumerate(columns)}


def _readings(given: Sequence[Column], taken: Sequence[Column]) -> Iterator[Misfit]:
    """Yield where ``inputs`` is read as cells by one and as rows by the other: any array or object decides that."""
    nested = [[column for column in columns if column.type in _CELLS] for columns in (given, taken)]
    lone = [columns[0] for columns in (given, taken) if len(columns) == 1 and columns[0].type in _OPEN]
    if bool(nested[0]) != bool(nested[1]):
        column = (nested[0] or nested[1])[0]
    elif len(given) == len(taken) == len(lone) == 1:
        column = lone[0]
    else:
        return
    words = {True: "lists as single values", False: "lists as rows"}
    reads_cells = [column in columns for columns in (given, taken)]
    yield Misfit(str(column.name), words[reads_cells[1]], words[reads_cells[0]])


def _values(
    given: Mapping[str, Any], always: bool, taken: Mapping[str, Any], required: bool, place: str
) -> Iterator[Misfit]:
    """Compare one value's type with another's; ``always`` and ``required`` say that it is never absent or null."""
    if required and not always:
        yield Misfit(place, f"{_spell(taken)}, always", f"{_spell(given)}, or {_NOTHING}")
        return
    there = _type(taken)
    if there == "any":
        return
    if _type(given) == "sparkml_vector":
        given = {"type": "array", "items": {"type": "double"}}
    if there == "sparkml_vector":
        taken, there = {"type": "array", "items": {"type": "double"}}, "array"
    here = _type(given)
    if here != there and there not in _WIDER.get(here, ()):
        yield Misfit(place, _spell(taken), _spell(given))
    elif here == there == "object":
        yield from _properties(given.get("properties") or {}, taken.get("properties") or {}, place)
    elif here == there == "array":
        yield from _values(given.get("items") or {}, always, taken.get("items") or {}, required, f"{place}[]")
    elif here == there == "map":
        yield from _values(given.get("values") or {}, always, taken.get("values") or {}, required, f"{place}.*")


def _properties(
    given: Mapping[str, Mapping[str, Any]], taken: Mapping[str, Mapping[str, Any]], place: str
) -> Iterator[Misfit]:
    for key, part in given.items():
        path = f"{place}.{key}"
        if key not in taken:
            yield Misfit(path, "no such property", _spell(part))
        else:
            other = taken[key]
            yield from _values(part, bool(part.get("required", True)), other, bool(other.get("required", True)), path)
    for key, part in taken.items():
        if key not in given and part.get("required", True):
            yield Misfit(f"{place}.{key}", f"{_spell(part)}, always", _NOTHING)


def _type(spec: Mapping[str, Any]) -> str:
    return str(spec.get("type")).lower()


def _spell(spec: Mapping[str, Any]) -> str:
    name = _type(spec)
    return f"array of {_spell(spec.get('items') or {})}" if name == "array" else quote(name)


# -- tensors


def _tensors(given: Sequence[Tensor], taken: Sequence[Tensor]) -> Iterator[Misfit]:
    theirs = {str(tensor.name or "inputs"): tensor for tensor in given}
    ours = {str(tensor.name or "inputs"): tensor for tensor in taken}
    for name, tensor in theirs.items():
        if name not in ours or (ours[name].name is None) != (tensor.name is None):
            yield Misfit(name, f"'{quote(next(iter(ours)))}'", "this one")
        elif not _casts(tensor.dtype, ours[name].dtype):
            yield Misfit(name, quote(ours[name].dtype), quote(tensor.dtype))
        elif not _holds(tensor.shape, ours[name].shape):
            yield Misfit(name, f"shape {list(ours[name].shape)}", f"shape {list(tensor.shape)}")
    for name, tensor in ours.items():
        if name not in theirs:
            yield Misfit(name, f"{quote(tensor.dtype)} of shape {list(tensor.shape)}", _NOTHING)


def _casts(given: str, taken: str) -> bool:
    if given == taken:
        return True
    try:
        here, there = np.dtype(given), np.dtype(taken)
    except TypeError:
        return False
    if here.kind in "iuf" and there.kind in "iuf":
        return np.can_cast(here, there, "safe")
    texts = ("U", "O")  # text both
    return here.kind == there.kind or (here.kind in texts and there.kind in texts)


def _holds(given: Sequence[int], taken: Sequence[int]) -> bool:
    return len(given) == len(taken) and all(want in (-1, have) for have, want in zip(given, taken, strict=True))


# -- parameters


def _params(given: Sequence[Param], taken: Sequence[Param]) -> Iterator[Misfit]:
    theirs, ours = {param.name: param for param in given}, {param.name: param for param in taken}
    for name, param in theirs.items():
        place = f"params.{name}"
        if name not in ours:
            yield Misfit(place, "no such parameter", _spell_param(param))
        elif not _fits_param(param, ours[name]):
            yield Misfit(place, _spell_param(ours[name]), _spell_param(param))
    for name, param in ours.items():
        if _must_be_sent(param) and (name not in theirs or not _must_be_sent(theirs[name])):
            yield Misfit(f"params.{name}", f"{_spell_param(param)}, always", _NOTHING)


def _fits_param(given: Param, taken: Param) -> bool:
    if (given.shape is None) != (taken.shape is None):
        return False
    floats = ("float", "double")  # a parameter is a Python float, whatever its type is called
    numbers = ("integer", "long", *floats)
    if taken.type in floats:
        return given.type in numbers
    return given.type == taken.type or taken.type in _WIDER.get(given.type, ())


def _must_be_sent(param: Param) -> bool:
    return param.shape is not None and not isinstance(param.default, list)


def _spell_param(param: Param) -> str:
    return quote(param.type) if param.shape is None else f"list of {quote(param.type)}"
