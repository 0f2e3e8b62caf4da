"""The messages of ``open_inference.proto`` as classes, in a pool of descriptors of their own.

MLServer has the repository's methods in a service of their own too, in messages of the same fields: that service is
made here, of ours.

Importing this costs what protobuf costs (some 20 ms); nothing on the HTTP side does. Not here: what they mean.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from serving.grpc.proto import read_proto

FILE = "open_inference.proto"
SERVICE = "inference.GRPCInferenceService"
REPOSITORY_SERVICE = "inference.model_repository.ModelRepositoryService"
Message = Any
"""A message: its fields are the file's, which no type checker reads."""


def _repository_service(described: FileDescriptorProto) -> FileDescriptorProto:
    package, _, name = REPOSITORY_SERVICE.rpartition(".")
    again = FileDescriptorProto(name="model_repository.proto", package=package, dependency=[FILE], syntax="proto3")
    methods = [method for method in described.service[0].method if method.name.startswith("Repository")]
    again.service.add(name=name, method=methods)
    return again


_DESCRIBED = read_proto(files("serving.grpc").joinpath(FILE).read_text(encoding="utf-8"), FILE)
POOL = DescriptorPool()
POOL.Add(_DESCRIBED)
POOL.Add(_repository_service(_DESCRIBED))
_CLASSES = {
    name: GetMessageClass(descriptor) for name, descriptor in POOL.FindFileByName(FILE).message_types_by_name.items()
}


def message(name: str) -> Message:
    """Return the class of a message of the file by its name there."""
    return _CLASSES[name]
