"""Reads our one ``.proto`` file into the descriptor that protobuf makes classes of, so that there is one source of it.

A compiler would add a tool, a generated file that must match the library's version, and a place in the process's one
global pool of descriptors, where whatever else is installed registers the same names (``docs/adr/0021``). It reads what
that file uses: messages, nested ones, enums, ``repeated``, ``map``, ``oneof``, one service. Not here: the classes
(``messages.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

_COMMENT = re.compile(r"//[^\n]*")
_TOKEN = re.compile(r'"[^"]*"|[A-Za-z_][A-Za-z0-9_.]*|[0-9]+|[{}<>=;,()]')
_SCALARS = ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
_KINDS: dict[str, int] = {name: FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}") for name in _SCALARS}


def read_proto(text: str, name: str) -> FileDescriptorProto:
    """Return the descriptor of a file; raise ValueError where it holds what is not read here.

    Args:
        text: The file.
        name: What the descriptor calls it.
    """
    return _Reader(text).file(name)


class _Reader:
    def __init__(self, text: str) -> None:
        self._words: Iterator[str] = iter(_TOKEN.findall(_COMMENT.sub("", text)))
        self._enums = set(re.findall(r"^ *enum (\w+)", text, re.MULTILINE))
        self._package = ""

    def file(self, name: str) -> FileDescriptorProto:
        file = FileDescriptorProto(name=name)
        for word in self._words:
            if word == "syntax":
                _, quoted, _ = self._take(3)
                file.syntax = quoted.strip('"')
            elif word == "package":
                self._package, _ = self._take(2)
                file.package = self._package
            elif word == "service":
                self._service(file)
            elif word == "enum":
                self._enum(file.enum_type.add())
            elif word == "message":
                self._message(file.message_type.add())
            else:
                raise ValueError(f"a file of this kind has no {word!r}")
        return file

    def _take(self, count: int) -> list[str]:
        return [next(self._words) for _ in range(count)]

    def _service(self, file: FileDescriptorProto) -> None:
        name, _ = self._take(2)
        service = file.service.add(name=name)
        for word in self._words:
            if word == "}":
                return
            method = service.method.add(name=next(self._words))
            method.client_streaming, method.input_type = self._in_brackets()
            self._take(1)
            method.server_streaming, method.output_type = self._in_brackets()
            self._take(1)

    def _in_brackets(self) -> tuple[bool, str]:
        self._take(1)
        words = list(takewhile(lambda word: word != ")", self._words))
        return words[0] == "stream", self._named(words[-1])

    def _enum(self, enum: EnumDescriptorProto) -> None:
        enum.name, _ = self._take(2)
        for word in self._words:
            if word == "}":
                return
            _, number, _ = self._take(3)
            enum.value.add(name=word, number=int(number))

    def _message(self, message: DescriptorProto, around: str = "") -> None:
        message.name, _ = self._take(2)
        self._members(message, f"{around}{message.name}.")

    def _members(self, message: DescriptorProto, path: str, oneof: int | None = None) -> None:
        for word in self._words:
            if word == "}":
                return
            if word == "message":
                self._message(message.nested_type.add(), path)
            elif word == "enum":
                self._enum(message.enum_type.add())
            elif word == "oneof":
                name, _ = self._take(2)
                message.oneof_decl.add(name=name)
                self._members(message, path, len(message.oneof_decl) - 1)
            elif word == "map":
                self._map(message, path)
            else:
                repeated = word == "repeated"
                kind = next(self._words) if repeated else word
                nested = kind in [*(m.name for m in message.nested_type), *(e.name for e in message.enum_type)]
                field = self._field(message, path + kind if nested else kind, repeated=repeated)
                if oneof is not None:
                    field.oneof_index = oneof

    def _map(self, message: DescriptorProto, path: str) -> None:
        # A map is a repeated message of its own, by the language's definition.
        _, key, _, value, _ = self._take(5)
        field = self._field(message, "", repeated=True)
        entry: DescriptorProto = message.nested_type.add(name=f"{field.name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        for number, (name, kind) in enumerate((("key", key), ("value", value)), start=1):
            self._typed(entry.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL), kind)
        self._typed(field, path + entry.name)

    def _field(self, message: DescriptorProto, kind: str, *, repeated: bool) -> FieldDescriptorProto:
        name, _, number, _ = self._take(4)
        label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        field = message.field.add(name=name, number=int(number), label=label)
        self._typed(field, kind)
        return field

    def _typed(self, field: FieldDescriptorProto, kind: str) -> None:
        if kind in _KINDS:
            field.type = FieldDescriptorProto.Type.ValueType(_KINDS[kind])
        elif kind:
            enum = kind.rpartition(".")[2] in self._enums
            field.type = FieldDescriptorProto.TYPE_ENUM if enum else FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = self._named(kind)

    def _named(self, kind: str) -> str:
        return f".{self._package}.{kind}"
