"""What a node and its table reader say to each other, in the frames that hosts speak: raw buffers and JSON.

    node ──form, limits, body, schema──► reader ──arrays, or the refusal──► node

The reader has touched hostile bytes with a library in C++, so the node believes nothing that it sends: sizes and shapes
are checked, an error is one that a request may cause, and nothing is ever unpickled. Not here: sockets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from registry.errors import HeadgateError, Internal, InvalidRequest
from registry.signature import Schema, parse_signature
from serving.exchange import Call, Input, JsonInput, Table, TensorInput, TensorsInput
from serving.protocols.limits import MAX_COLUMNS, Limits
from serving.protocols.multipart import Part
from serving.protocols.native import Parsed, parse_body
from serving.runtimes.host.calls import pack_call
from serving.runtimes.host.frames import BODY_LIMIT, Buffer, Frame, FrameError, pack, read_array, untag

Pieces = list[Buffer]
"""A frame's bytes, large buffers as they are."""
JSON_BODY = "json"
"""The form of a body that is JSON, whose own form its reader finds."""


def pack_request(parsed: Parsed, schema: Schema | None, limits: Limits) -> Pieces:
    """Return the frame that asks for a table or images to be read (``parsed`` is such) and fitted to ``schema``."""
    if not parsed.is_media:
        return _pack(parsed.form, parsed.value, schema, limits, drops=parsed.drops_unknown)
    parts: Sequence[Part] = parsed.value
    return _pack(parsed.form, b"", schema, limits, parts)


def pack_json(body: bytes, schema: Schema | None, limits: Limits) -> Pieces:
    """Return the frame that asks for a JSON body to be read and fitted to ``schema``."""
    return _pack(JSON_BODY, body, schema, limits)


def _pack(
    form: str, body: bytes, schema: Schema | None, limits: Limits, parts: Sequence[Part] = (), *, drops: bool = False
) -> Pieces:
    buffers: Pieces = [body, *(part.data for part in parts)]
    if schema is not None:
        # Not in the header: a signature may hold numbers that only the standard library writes.
        buffers.append(json.dumps(_describe(schema)).encode())
    named = [(part.name, part.media) for part in parts]
    return pack(0, {"form": form, "limits": asdict(limits), "parts": named, "drops": drops}, buffers)


def read_request(header: Mapping[str, Any], buffers: Sequence[memoryview]) -> tuple[Parsed, Schema | None, Limits]:
    """Return what was packed, JSON parsed; raise InvalidRequest where it cannot be. The node is believed."""
    named = header["parts"]
    rest = buffers[1 + len(named) :]
    schema = _schema(bytes(rest[0])) if rest else None
    limits, form, body = Limits(**header["limits"]), header["form"], bytes(buffers[0])
    if named:
        parts = [Part(name, media, bytes(data)) for (name, media), data in zip(named, buffers[1:], strict=False)]
        return Parsed(form, tuple(parts)), schema, limits
    if form == JSON_BODY:
        return parse_body(None, body, limits), schema, limits
    return Parsed(form, body, drops_unknown=header["drops"]), schema, limits


def pack_input(data: Input, given: Mapping[str, Any] | None = None) -> Pieces:
    """Return the frame that answers with an input, and the parameters that were given with it; raise InvalidRequest
    where it cannot be sent."""
    if isinstance(data, JsonInput):
        raise InvalidRequest("invalid_argument", "JSON as it stands is not read here", {"reason": "unreadable"})
    try:
        frame = pack_call(0, Call(data, given or {}))
    except (TypeError, ValueError) as error:
        raise InvalidRequest("invalid_input", f"the input cannot be given to a model: {error}") from None
    size = sum(map(len, frame))
    if size > BODY_LIMIT:
        raise InvalidRequest(
            "body_too_large",
            f"the table takes {size >> 20} MiB once it is read; at most {BODY_LIMIT >> 20} MiB are accepted. "
            "Send fewer rows at once",
            {"limit": BODY_LIMIT},
        )
    return frame


def pack_error(error: HeadgateError) -> Pieces:
    """Return the frame that answers with a refusal."""
    told = {"code": error.code, "message": error.message, "details": error.details}
    return pack(0, {"op": "refused"}, [json.dumps(told).encode()])


def read_reply(frame: Frame) -> Input:
    """Return the input in an answer; raise the error in it, or FrameError where it is neither."""
    try:
        if frame.header.get("op") == "refused":
            error: HeadgateError = _read_error(json.loads(bytes(frame.buffers[0])))
        else:
            return _read_input(frame.header["input"], frame.buffers)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as broken:
        raise FrameError(f"an answer is damaged: {type(broken).__name__}") from broken
    raise error


def read_given(frame: Frame) -> Mapping[str, Any] | None:
    """Return the parameters in an answer; raise FrameError where it is damaged."""
    try:
        found = frame.header.get("params")
        given = None if found is None else untag(json.loads(bytes(frame.buffers[found])))
    except (IndexError, TypeError, ValueError, RecursionError) as broken:
        raise FrameError(f"an answer is damaged: {type(broken).__name__}") from broken
    if given is not None and not isinstance(given, dict):
        raise FrameError("parameters are no object")
    return given


def _read_error(told: Mapping[str, Any]) -> HeadgateError:
    code, message, details = told["code"], told["message"], told["details"]
    if not isinstance(message, str) or not isinstance(details, dict):
        raise FrameError("an error is damaged")
    if code in InvalidRequest.codes:
        return InvalidRequest(code, message, details)
    return Internal("internal", "the table could not be read, which is a fault of the platform")


def _read_input(spec: Mapping[str, Any], buffers: Sequence[memoryview]) -> Input:
    kind = spec["kind"]
    if kind == "tensor":
        return TensorInput(read_array(spec["array"], buffers))
    if kind == "tensors":
        arrays = [read_array(array, buffers) for array in spec["arrays"]]
        return TensorsInput(dict(zip(_names(spec["names"]), arrays, strict=True)))
    if kind != "table":
        raise FrameError("an answer is of no known kind")
    blocks = [read_array(block, buffers) for block in spec["blocks"]]
    rows = spec["rows"]
    if any(block.ndim != 2 or block.shape[1] != rows or not block.size for block in blocks):
        raise FrameError("a table's columns differ in length, or it has none")
    names = _names(spec["names"])
    if len(names) != sum(map(len, blocks)) or type(spec["named"]) is not bool:
        raise FrameError("a table has other names than columns")
    columns = tuple(column for block in blocks for column in block)
    return Table(names, columns, spec["named"], blocks[0] if len(blocks) == 1 else None)


def _names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not 0 < len(names) <= MAX_COLUMNS or set(map(type, names)) != {str}:
        raise FrameError("names are no names")
    return tuple(names)


def _describe(schema: Schema) -> list[dict[str, Any]]:
    """Return a schema as MLmodel has it."""
    columns = [{**c.spec, "name": c.name, "type": c.type, "required": c.required} for c in schema.columns]
    tensors = [
        {"type": "tensor", "name": t.name, "tensor-spec": {"dtype": t.dtype, "shape": t.shape}} for t in schema.tensors
    ]
    return columns or tensors


@lru_cache(256)  # the same object each time, so that what is worked out from it is worked out once
def _schema(text: bytes) -> Schema | None:
    return parse_signature({"inputs": json.loads(text)}).inputs
