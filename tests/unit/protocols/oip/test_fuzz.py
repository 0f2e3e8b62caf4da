"""Damaged infer requests of every form: an answer or a proper refusal, and nothing else."""

from __future__ import annotations

import json
import struct

import numpy as np

from registry.errors import HeadgateError
from registry.signature import Column, Schema, Signature, Tensor
from serving.exchange import JsonOutput
from serving.protocols.limits import Limits
from serving.protocols.oip.body import HEADER_LENGTH
from serving.protocols.oip.request import read_oip
from serving.protocols.request import Head, Told
from tests.support.mutation import mutated

LIMITS = Limits()
COLUMNS = Signature(
    Schema(
        columns=(
            Column("a", "double", True, {}),
            Column("b", "string", False, {}),
            Column("c", "array", False, {"type": "array", "items": {"type": "long"}}),
            Column("d", "datetime", False, {}),
            Column("e", "map", False, {"type": "map", "values": {"type": "any"}}),
        )
    )
)
TENSORS = Signature(Schema(tensors=(Tensor("a", "float32", (-1, 2)), Tensor("b", "str", (-1,)))))
ONE = Signature(Schema(tensors=(Tensor(None, "int64", (-1, 2)),)))
SIGNATURES = (COLUMNS, TENSORS, ONE, Signature())
ANSWERS = (JsonOutput([1.5, None]), JsonOutput({"y": [[1, 2]], "z": ["a", {"b": None}]}))

SEEDS = [
    json.dumps(document).encode()
    for document in (
        {
            "id": "1",
            "parameters": {"priority": 1, "timeout": 1000, "binary_data_output": True},
            "inputs": [
                {"name": "a", "shape": [2], "datatype": "FP64", "data": [1.5, None]},
                {"name": "b", "shape": [2, 1], "datatype": "BYTES", "data": [["x"], [""]]},
                {"name": "c", "shape": [2, 2], "datatype": "INT32", "data": [[1, 2], [3, 4]]},
                {"name": "d", "shape": [2], "datatype": "BYTES", "data": ["2026-01-31", "2026-01-31T12:00:00"]},
                {"name": "e", "shape": [2], "datatype": "BYTES", "data": ['{"a": [1]}', "{}"]},
            ],
            "outputs": [{"name": "output-1", "parameters": {"classification": 2, "binary_data": False}}],
        },
        {
            "inputs": [
                {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
                {
                    "name": "b",
                    "shape": [1],
                    "datatype": "BYTES",
                    "data": ["YQ=="],
                    "parameters": {"content_type": "base64"},
                },
            ]
        },
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "UINT8", "data": [[255, 0]]}], "outputs": []},
        {"inputs": [{"name": "x", "shape": [2], "datatype": "BOOL", "data": [True, False]}], "model_name": "m"},
    )
]
BLOBS = struct.pack("<ff", 1.0, 2.0) + struct.pack("<I1s", 1, b"a")
HEADER = json.dumps(
    {
        "inputs": [
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "b", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}},
        ]
    }
).encode()


def ask(body: bytes, signature: Signature, length: bytes | None = None) -> None:
    """Read, shape and answer; let nothing but refusals pass."""
    fields = {} if length is None else {HEADER_LENGTH: length}
    try:
        request = read_oip(body, Head(None, None, fields), LIMITS)
        call = request.shape(signature, None, LIMITS)
        assert call.data.rows >= 0
        for output in ANSWERS:
            request.encode(output, Told("m", "1", "r", "stable", 1, signature), LIMITS)
    except HeadgateError:
        pass


def test_damaged_json_is_answered_or_refused() -> None:
    """No JSON body gets anything but an answer or a refusal, whatever the signature."""
    for at, body in enumerate(mutated(SEEDS)):
        ask(body, SIGNATURES[at % len(SIGNATURES)])


def test_damaged_binary_is_answered_or_refused() -> None:
    """Neither a damaged header, nor damaged blobs, nor a length that is off gets anything else."""
    for at, body in enumerate(mutated([HEADER + BLOBS])):
        length = len(HEADER) + (0, 0, 0, len(body) - len(HEADER + BLOBS), 1, -1)[at % 6]
        ask(body, SIGNATURES[at % len(SIGNATURES)], b"%d" % length)


def test_damaged_raw_requests_are_answered_or_refused() -> None:
    """A body without any JSON is the model's one tensor or refused."""
    for at, body in enumerate(mutated([np.arange(20.0).tobytes(), b"text", BLOBS])):
        ask(body, SIGNATURES[at % len(SIGNATURES)], b"0")


def test_damaged_header_lengths_are_refused() -> None:
    """What is no length is refused, as text and as number."""
    for length in mutated([b"%d" % len(HEADER), b"0", b"-1"]):
        ask(HEADER + BLOBS, TENSORS, length)
