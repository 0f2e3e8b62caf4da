"""The messages of ``open_inference.proto`` as classes, in a pool of descriptors of their own.

Importing this costs what protobuf costs (some 20 ms); nothing on the HTTP side does. Not here: what they mean.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from serving.grpc.proto import read_proto

FILE = "open_inference.proto"
SERVICE = "inference.GRPCInferenceService"
Message = Any
"""A message: its fields are the file's, which no type checker reads."""

POOL = DescriptorPool()
POOL.Add(read_proto(files("serving.grpc").joinpath(FILE).read_text(encoding="utf-8"), FILE))
_CLASSES = {
    name: GetMessageClass(descriptor) for name, descriptor in POOL.FindFileByName(FILE).message_types_by_name.items()
}


def message(name: str) -> Message:
    """Return the class of a message of the file by its name there."""
    return _CLASSES[name]
