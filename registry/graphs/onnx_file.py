"""Reads an ONNX file into values: nodes, weights' shapes, inputs, outputs. Pure; weights themselves are not touched.

Strict on purpose: a field that is not known here, or stands twice where the schema has one, is a reason to say no.
Two readers that see different graphs in one file are how guards are passed; where this one is unsure, the file goes
to a process of its own. Not here: which operators are harmless (``operators.py``), how large things get
(``shapes.py``).
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from registry.graphs.wire import BYTES, WINDOW_BYTES, Budget, Field, Message, Unfit, decode, number, packed

FLOAT, INT32, INT64, STRING, BOOL = 1, 6, 7, 8, 9
ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
"""Bytes of an element by ONNX's number of its type; text has no fixed size, and more exotic types are not taken."""
FREE = -1
MAX_ATTRIBUTE_BYTES = 24 << 20
_KNOWN_INTS = 4096
# Not possessive (`++`), though nothing here can be read in two ways: Python 3.11.2 ends such matches at a wrong place.
_RUNS = {
    0x3D: re.compile(rb"(?:\x3d[\x00-\xff]{4})+"),
    0x40: re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+"),
    0x4A: re.compile(rb"(?:\x4a(?:\x0aBRANCH_(?:LEQ|GTE|NEQ)|\x09BRANCH_(?:LT|GT|EQ)|\x04LEAF))+"),
}
_UNPACKED = re.compile(rb"\x40([\x80-\xff]{0,9}[\x00-\x7f])")
_MODE = re.compile(rb"\x4a[\x04\x09\x0a]")


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor in the file. ``ints`` are its values where they are few integers; ``place`` (file, offset, bytes) where
    they lie outside; ``longest`` is its longest text."""

    name: str
    dtype: int
    dims: tuple[int, ...]
    ints: tuple[int, ...] | None = None
    place: tuple[str, int, int] | None = None
    longest: int = 0


@dataclass(slots=True)
class Attribute:
    """One argument of a node, of any kind; of long lists, only what a rule asks for.

    ``distinct`` holds each integer that occurs, as it is encoded; ``ints`` all of them where they are few; ``longest``
    the length of the longest text; ``nested`` whether it is a graph.
    """

    name: str = ""
    i: int | None = None
    s: bytes | None = None
    tensor: Weight | None = None
    floats: int = 0
    ints: list[int] = field(default_factory=list)
    distinct: set[bytes] = field(default_factory=set)
    int_count: int = 0
    strings: int = 0
    longest: int = 0
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Declared:
    """A graph's input: its element type and its shape, FREE where a length is open."""

    name: str
    dtype: int
    dims: tuple[int, ...]


@dataclass(slots=True)
class Graph:
    """A file's graph."""

    opsets: dict[str, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    inputs: list[Declared] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def read_graph(data: bytes) -> Graph:
    """Read a file; raise Unfit where it is damaged, or holds what no simple graph needs."""
    model = Message(data, 0, len(data), Budget())
    graph, found = Graph(), False
    for part in model.fields():
        if part.number == 7 and not found:
            found = True
            _read_graph(model.inner(part), graph)
        elif part.number == 8:
            domain, version = _opset(model.inner(part))
            if graph.opsets.setdefault(domain, version) != version:
                raise Unfit(f"it asks for two versions of {domain_name(domain)}")
        elif part.number == 25:
            raise Unfit("it defines functions of its own")
        elif part.number not in (1, 2, 3, 4, 5, 6, 14):
            raise Unfit("it holds parts that are not known here")
    if not found:
        raise Unfit("it holds no graph")
    return graph


def domain_name(domain: str) -> str:
    """Return an operator set's name for people."""
    return domain or "ai.onnx"


def _read_graph(message: Message, graph: Graph) -> None:
    for part in message.fields():
        if part.number == 1:
            graph.nodes.append(_node(message.inner(part)))
        elif part.number == 5:
            graph.weights.append(_weight(message.inner(part)))
        elif part.number == 11:
            graph.inputs.append(_declared(message.inner(part)))
        elif part.number == 12:
            graph.outputs.append(_named(message.inner(part)))
        elif part.number not in (2, 10, 13, 16):
            raise Unfit("its graph holds parts that are not known here")


def _opset(message: Message) -> tuple[str, int]:
    parts = _once(message, (1, 2))
    domain = message.text(parts[1]) if 1 in parts else ""
    return "" if domain == "ai.onnx" else domain, number(parts[2]) if 2 in parts else 0


def _once(message: Message, known: tuple[int, ...]) -> dict[int, Field]:
    found: dict[int, Field] = {}
    for part in message.fields():
        if part.number in found or part.number not in known:
            raise Unfit("it holds parts that are not known here")
        found[part.number] = part
    return found


def _node(message: Message) -> Node:
    inputs, outputs, attributes = [], [], {}
    op = domain = None
    for part in message.fields():
        if part.number == 1:
            inputs.append(message.text(part))
        elif part.number == 2:
            outputs.append(message.text(part))
        elif part.number == 4 and op is None:
            op = message.text(part)
        elif part.number == 7 and domain is None:
            domain = message.text(part)
        elif part.number == 5:
            attribute = _attribute(message.inner(part))
            if attribute.name in attributes:
                raise Unfit("an operator has an argument twice")
            attributes[attribute.name] = attribute
        elif part.number not in (3, 6, 9):
            raise Unfit("an operator has parts that are not known here")
    domain = "" if domain in (None, "ai.onnx") else domain
    return Node(op or "", domain or "", tuple(inputs), tuple(outputs), attributes)


def _attribute(message: Message) -> Attribute:
    found, seen = Attribute(), set()
    if message.end - message.start > MAX_ATTRIBUTE_BYTES:
        raise Unfit(f"an argument of an operator is larger than {MAX_ATTRIBUTE_BYTES >> 20} MiB")
    at = message.start
    while at < message.end:
        lead = message.data[at]
        run = _RUNS[lead].match(message.data, at, min(message.end, at + WINDOW_BYTES)) if lead in _RUNS else None
        if run is not None:
            _take_run(found, lead >> 3, run[0])
            at = run.end()
            continue
        part, at = message.field_at(at)
        if part.number in (1, 2, 3, 4, 5, 13, 20):
            if part.number in seen:
                raise Unfit("an argument of an operator stands twice")
            seen.add(part.number)
        _take(found, message, part)
    return found


def _take(found: Attribute, message: Message, part: Field) -> None:
    if part.number == 1:
        found.name = message.text(part)
    elif part.number == 3:
        found.i = number(part)
    elif part.number == 4:
        found.s = message.bytes(part)
        found.longest = max(found.longest, len(found.s))
    elif part.number == 5:
        found.tensor = _weight(message.inner(part))
    elif part.number == 7 and part.kind == BYTES:
        found.floats += (part.end - part.start) // 4
    elif part.number == 8 and part.kind == BYTES:
        for some in packed(message.bytes(part)):
            _take_ints(found, some)
    elif part.number == 9:
        found.strings += 1
        found.longest = max(found.longest, part.end - part.start)
    elif part.number in (6, 11):
        found.nested = True  # not opened: how deep it goes is no concern of ours
    elif part.number not in (2, 13, 20):
        raise Unfit("an argument of an operator is of a kind that is not known here")


def _take_run(found: Attribute, kind: int, run: bytes) -> None:
    if kind == 7:
        found.floats += len(run) // 5
    elif kind == 8:
        _take_ints(found, _UNPACKED.findall(run))
    else:
        found.strings += len(_MODE.findall(run))
        found.longest = max(found.longest, 10)


def _take_ints(found: Attribute, encoded: list[bytes]) -> None:
    found.int_count += len(encoded)
    found.distinct.update(encoded)
    if found.int_count <= _KNOWN_INTS:
        found.ints.extend(map(decode, encoded))


def _weight(message: Message) -> Weight:
    dims: list[int] = []
    name, dtype, raw, longest, outside = "", 0, None, 0, False
    values: list[int] = []
    entries: dict[str, str] = {}
    seen = set()
    for part in message.fields():
        if part.number in (2, 8, 9, 12, 14):
            if part.number in seen:
                raise Unfit("a weight has a part twice")
            seen.add(part.number)
        if part.number == 1:
            dims.extend(_integers(message, part))
        elif part.number == 2:
            dtype = number(part)
        elif part.number == 8:
            name = message.text(part)
        elif part.number == 9:
            raw = part
        elif part.number == 13:
            pair = _once(message.inner(part), (1, 2))
            entries[message.text(pair[1])] = message.text(pair[2]) if {1, 2} <= pair.keys() else ""
        elif part.number == 14:
            outside = number(part) == 1
        elif part.number == 6:
            longest = max(longest, part.end - part.start)
        elif part.number in (5, 7) and part.kind == BYTES and part.end - part.start <= 10 * _KNOWN_INTS:
            values.extend(_integers(message, part))
        elif part.number not in (4, 5, 7, 10, 11, 12, 16):
            raise Unfit("a weight has parts that are not known here")
    size = _size(dtype, dims)
    if raw is not None and not outside:
        if raw.end - raw.start != size:
            raise Unfit("a weight's bytes do not fill its shape")
        values = _raw_ints(message.data[raw.start : raw.end], dtype) if size <= 8 * _KNOWN_INTS else []
    known = dtype in (INT32, INT64) and len(values) == math.prod(dims) and not outside
    place = _place(entries, size) if outside else None
    return Weight(name, dtype, tuple(dims), tuple(values) if known else None, place, longest)


def _integers(message: Message, part: Field) -> list[int]:
    if part.kind != BYTES:
        return [number(part)]
    return [decode(each) for some in packed(message.bytes(part)) for each in some]


def _size(dtype: int, dims: list[int]) -> int:
    if dtype != STRING and dtype not in ITEM_BYTES:
        raise Unfit("a weight is of an element type that is not known here")
    if len(dims) > 8 or any(not 0 <= d < 1 << 31 for d in dims):
        raise Unfit("a weight's shape is out of bounds")
    size = math.prod(dims) * ITEM_BYTES.get(dtype, 1)
    if size > 1 << 31:
        raise Unfit("a weight claims more memory than any weight may have")
    return size


def _raw_ints(raw: bytes, dtype: int) -> list[int]:
    if dtype not in (INT32, INT64):
        return []
    return list(struct.unpack(f"<{len(raw) // ITEM_BYTES[dtype]}{'q' if dtype == INT64 else 'i'}", raw))


def _place(entries: Mapping[str, str], size: int) -> tuple[str, int, int]:
    file, offset, length = entries.get("location", ""), entries.get("offset", "0"), entries.get("length", str(size))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", file) or not set(entries) <= _PLACE_KEYS:
        raise Unfit("a weight lies in a file that is not beside the graph")
    if not re.fullmatch(r"[0-9]{1,12}", offset) or length != str(size):
        raise Unfit("a weight's bytes in its file do not fill its shape")
    return file, int(offset), size


_PLACE_KEYS = frozenset({"location", "offset", "length", "checksum"})


def _named(message: Message) -> str:
    for part in message.fields():
        if part.number == 1:
            return message.text(part)
    raise Unfit("an output has no name")


def _declared(message: Message) -> Declared:
    parts = _once(message, (1, 2, 3, 4))
    if not {1, 2} <= parts.keys():
        raise Unfit("an input has no name or no type")
    name = message.text(parts[1])
    kind = message.inner(parts[2])
    types = _once(kind, (1, 4, 5, 6, 8, 9))
    if 1 not in types or not types.keys() <= {1, 6}:
        raise Unfit("an input is no tensor")
    tensor = kind.inner(types[1])
    inner = _once(tensor, (1, 2))
    if not {1, 2} <= inner.keys():
        raise Unfit("an input has no shape")
    dims = []
    for part in (shape := tensor.inner(inner[2])).fields():
        if part.number != 1:
            raise Unfit("an input's shape is not known here")
        dim = _once(shape.inner(part), (1, 2, 3))
        dims.append(number(dim[1]) if 1 in dim and 2 not in dim else FREE)
    return Declared(name, number(inner[1]), tuple(d if d > 0 else FREE for d in dims))
