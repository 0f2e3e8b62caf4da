"""The Open Inference Protocol's own nouns: tensors, what is asked for, what a model takes. Values only.

REST with JSON, REST with binary tensors and gRPC are three spellings of these; what they mean for a model is said once
(``inputs.py``, ``outputs.py``, ``metadata.py``). Not here: any bytes but those of a tensor.

Source: kserve/open-inference-protocol, ``inference_rest.md`` and ``open_inference_grpc.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from serving.exchange import Array
from serving.values import value

Parameters = Mapping[str, bool | int | float | str]


@value
class InferTensor:
    """One input tensor as its caller sent it.

    Attributes:
        name: Its name.
        datatype: ``FP32``, ``BYTES`` …, as it was spelt.
        shape: Its declared shape.
        data: Either its values as JSON or protobuf has them, nested or flat; or, where ``raw``, its bytes as the binary
            extension lays them out: little-endian, row-major, without padding, BYTES with a length before each.
        raw: Which of the two.
        parameters: Its own, such as ``content_type``.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Any] | memoryview
    raw: bool = False
    parameters: Parameters = field(default_factory=dict)


@value
class WantedOutput:
    """An output that was asked for by name.

    Attributes:
        name: Its name.
        classes: How many of the largest values to answer as labels (the classification extension); 0 for none.
        binary: Whether its bytes shall follow the JSON; None where only the request as a whole says.
        parameters: All that came with it.
    """

    name: str
    classes: int = 0
    binary: bool | None = None
    parameters: Parameters = field(default_factory=dict)


@value
class Inference:
    """One ModelInfer request.

    Attributes:
        inputs: At least one.
        outputs: Those that were asked for; empty for all.
        id: What its caller calls it; echoed. Empty where it was not given.
        parameters: Of the request as a whole, reserved ones included.
        unnamed: Whether it is a raw binary request: one tensor, no JSON; ``inputs[0]`` then has neither name, datatype
            nor shape, which the model's metadata give.
    """

    inputs: tuple[InferTensor, ...]
    outputs: tuple[WantedOutput, ...] = ()
    id: str = ""
    parameters: Parameters = field(default_factory=dict)
    unnamed: bool = False


@value
class OutputTensor:
    """One output tensor: an array whose dtype is ``datatype``'s; object arrays hold str or bytes (BYTES)."""

    name: str
    datatype: str
    array: Array
    parameters: Parameters = field(default_factory=dict)


@value
class TensorMetadata:
    """What a model says of one of its tensors; -1 in ``shape`` is any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@value
class ModelMetadata:
    """What a version takes and answers, in tensors. ``outputs`` are empty where nobody knows before it has answered."""

    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
