"""Bodies for the models of ``scoring_models.py``, sorted by how our answer relates to that of MLflow's own server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Body = Any
Bodies = Mapping[str, Sequence[Body]]


def split(columns: Any, *rows: list[Any]) -> dict[str, Any]:
    """Return a dataframe_split body."""
    return {"dataframe_split": {"columns": list(columns), "data": list(rows)}}


def records(*rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataframe_records body."""
    return {"dataframe_records": list(rows)}


def raw(body: Body) -> bytes:
    """Return a body's bytes; bytes are themselves."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def cases(bodies: Bodies) -> list[tuple[str, bytes]]:
    """Return each model with each of its bodies."""
    return [(kind, raw(body)) for kind, each in bodies.items() for body in each]


ROW = {"a": 1, "b": 2, "c": "x", "d": True}
ONE = records({"a": 1})
TALK = [{"role": "user", "content": "hi"}]
CELLS = {"x": [1, 2], "o": {"role": "u", "content": "c"}}

SAME: Bodies = {
    "mixed": [
        split("abcd", [1.5, 2, "x", True], [2, 3, "y", False]),
        split("dcba", [True, "x", 2, 1.5]),
        split("abcdz", [1.5, 2, "x", True, 9]),
        {"dataframe_split": {"columns": list("abcd"), "index": [7], "data": [[1.5, 2, "x", True]]}},
        records(ROW),
        records({**ROW, "extra": [1]}),
        records({**ROW, "b": 2.0}),
        records({**ROW, "d": 1}),
        records({**ROW, "a": True}),
        {"inputs": {"a": [1.5], "b": [2], "c": ["x"], "d": [True]}},
        {"inputs": {"a": [1.5], "b": [2.0], "c": ["x"], "d": [True]}},
        {"inputs": {"a": 1.5, "b": 2, "c": "x", "d": True}},
        {"inputs": [ROW]},
        {"instances": [ROW]},
        {"instances": {"a": [1.5], "b": [2], "c": ["x"], "d": [True]}},
        {**records(ROW), "other": ["thing"], "signature_name": "x"},
        {**records(ROW), "params": {"unknown": 1}},
        {**records(ROW), "params": [1]},
        {**records(ROW), "params": None},
    ],
    "types": [records({"a": 0.1, "b": 2, "c": "x", "d": True, "t": "2024-01-01T10:00:00"})],
    "optional": [ONE, {"inputs": {"a": [1, 2]}}, {"inputs": {"a": 1}}],
    "dates": [records({"t": text}) for text in ("2024-01-01", "2024-01-01T10:00:00", "2024-01-01 10:00:00.25")],
    "binary": [records({"x": "aGVsbG8="}), records({"x": "AAECAwQ="}), records({"x": "AAAA" * 60})],
    "nested": [records(CELLS), records({**CELLS, "x": []}), {"inputs": CELLS}, {"inputs": [CELLS]}],
    "unsigned": [
        split("ab", [1, 2.5], [2, 3]),
        split("ab", ["x", True]),
        split([0, 1], [1, 2]),
        records({"t": "2024-01-01"}),
        {"dataframe_split": {"data": [[1, 2]]}},
        {"inputs": [1, 2]},
        {"inputs": [[1, 2.5]]},
        {"inputs": ["u"]},
        {"inputs": {"a": [1, 2]}},
        {"inputs": {"a": 1}},
        {"inputs": "text"},
        {"inputs": 5},
        {"instances": [1]},
        {"instances": [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}]},
    ],
    "tensor": [{"inputs": [[1, 2], [3, 4]]}, {"instances": [[0.1, 2]]}, {"inputs": [[True, 1]]}, split("pq", [1, 2])],
    "tensors": [
        {"inputs": {"x": [[1, 2]], "y": [3]}},
        {"inputs": {"x": [[1, 2]], "y": [3], "z": [1]}},
        {"inputs": {"x": [[1, 2]], "y": [3.0]}},
        {"instances": [{"x": [1, 2], "y": 3}]},
        {"instances": [{"x": [1, 2], "y": 3, "z": 1}]},
    ],
    "params": [
        ONE,
        {**ONE, "params": None},
        {**ONE, "params": {"times": 5}},
        {**ONE, "params": {"times": 0.5, "zz": 1}},
        {**ONE, "params": {"words": ["q"], "times": 1.5}},
        {**ONE, "params": {"words": []}},
    ],
    "chat": [
        {"messages": TALK},
        {"messages": TALK, "temperature": 0.5},
        {"messages": TALK, "temperature": 1},
        {"messages": TALK, "times": 3},
        {"messages": TALK, "unknown": 3},
        {"messages": [], "inputs": [1]},
        {"messages": TALK, "params": {"times": 9}},
        {"inputs": {"messages": TALK}},
        records({"messages": TALK}),
    ],
    "embed": [
        {"input": "a"},
        {"input": ["a", "b"]},
        {"input": ["a"], "user": "me"},
        {"input": "a", "model": "m", "n": 1},
    ],
    "bare": [
        {"prompt": "x", "max_tokens": 3},
        {"prompt": "x", "times": 3},
        {"input": [1, 2.5, None, {"deep": [True]}]},
        {"input": None},
    ],
    "hinted": [{"inputs": [{"a": 1}]}, {"inputs": [{"a": 1, "s": "q"}, {"a": 2}]}],
}
"""Byte for byte MLflow's answer."""

REFUSED: Bodies = {
    "mixed": [
        *({}, [], 5, "x", None, b"", b"{", b"\xff", {"a": 1}),
        {**records(ROW), "inputs": 1},
        records({"a": 1, "b": 2, "c": "x"}),
        records({**ROW, "a": "q"}),
        records({**ROW, "b": None}),
        b'{"dataframe_records": [{"a": 1, "b": NaN, "c": "x", "d": true}]}',
        {"dataframe_records": []},
        {"dataframe_records": {}},
        {"dataframe_split": {"columns": ["a"]}},
        {"dataframe_split": []},
        split("abcd", [1, 2, "x"]),
        {"dataframe_split": {"columns": list("abcd"), "data": [[1.5, 2, "x", True]], "zz": 1}},
    ],
    "optional": [records({"b": 1})],
    "dates": [records({"t": "x"})],
    "binary": [records({"x": "aGVsbG8"})],
    "nested": [
        records({**CELLS, "x": [1.5]}),
        records({**CELLS, "o": {"role": "u"}}),
        records({**CELLS, "o": {"role": "u", "content": "c", "z": 1}}),
    ],
    "unsigned": [{"inputs": [[1], [2, 3]]}],
    "tensor": [{"inputs": [1, 2]}, {"inputs": [[1, 2, 3]]}, {"inputs": {"a": [1]}}, {"inputs": []}, {"inputs": 5}],
    "tensors": [{"inputs": {"x": [[1, 2]]}}],
    "params": [
        *({**ONE, "params": {"times": "x"}}, {**ONE, "params": {"count": 1.5}}, {**ONE, "params": {"word": 5}}),
        *({**ONE, "params": {"flag": 1}}, {**ONE, "params": {"words": "q"}}, {**ONE, "params": []}),
        {**ONE, "params": "x"},
    ],
    "chat": [{"messages": "x"}, {"messages": [{"role": "user"}]}, {"prompt": "x"}, {"messages": TALK, "times": "x"}],
    "bare": [{"messages": TALK, "times": "x"}],
}
"""Both refuse, with 400 and an error of the same keys."""

STRICTER: Bodies = {
    "mixed": [
        records(ROW, {"a": 1, "b": 2, "c": "x"}),  # it makes true of a boolean that is missing
        records({**ROW, "b": 2.5}),  # … 2 of 2.5
        records({**ROW, "a": "1"}),
        records({**ROW, "c": 5}),  # … and hands the model a number for a text
        records({**ROW, "a": 2**60 + 1}),  # … another number
        b'{"dataframe_records": [{"a": 1, "a": 1, "b": 2, "c": "x", "d": true}]}',  # … the last of two
    ],
    "dates": [records({"t": 1_700_000_000_000_000_000}), records({"t": "01/02/2024"})],
    "binary": [records({"x": "AA==AA=="})],
    "unsigned": [{"inputs": [1, "x"]}, {"inputs": [True, 1]}, {"inputs": []}, {"inputs": None}],
    "tensor": [{"inputs": [["1", "2"]]}],
    "tensors": [{"inputs": {"x": [[1, 2]], "y": [3.5]}}],
    "embed": [{"input": ["a", 5]}],
}
"""MLflow answers what is lost on the way or can be read in two ways; we refuse with 400."""

KINDER: Bodies = {
    "mixed": [{"inputs": [[1.5, 2, "x", True]]}, {"dataframe_split": {"data": [[1.5, 2, "x", True]]}}],
    "unsigned": [{"instances": {"a": [1, 2], "b": [1]}}],
}
"""MLflow refuses; we take rows by position, and named arrays of any length."""

_NO_A = '{"predictions": [{"a": null, "b": 2, "c": "x", "d": true}]}'
DIFFERENT: Sequence[tuple[str, Body, str]] = (
    ("mixed", records({**ROW, "a": None}), _NO_A),
    ("mixed", raw(records(ROW)).replace(b"1", b"NaN", 1), _NO_A),
    ("mixed", raw(records(ROW)).replace(b"1", b"-Infinity", 1), _NO_A),
    ("mixed", raw(records(ROW)).replace(b'"x"', b"NaN", 1), _NO_A.replace("null", "1.0").replace('"x"', "null")),
    ("optional", records({"a": 1, "b": 2}, {"a": 3}), '{"predictions": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": null}]}'),
    ("dates", records({"t": None}), '{"predictions": [{"t": null}]}'),
    ("binary", {"inputs": {"x": ["aGVsbG8="]}}, '{"predictions": [{"x": "aGVsbG8=\\n"}]}'),
    ("unsigned", b'{"inputs": [1.0, NaN]}', '{"predictions": [1.0, null]}'),
    ("unsigned", {"inputs": [1, None]}, '{"predictions": [1.0, null]}'),
    ("tensor", {"inputs": [[1, None]]}, '{"predictions": [[2.0, null]]}'),
)  # fmt: skip
"""Both answer. NaN and NaT are null in ours; binary in ``inputs`` is base64 as everywhere; null makes floats."""
