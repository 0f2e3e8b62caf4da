"""Reads YAML that came with a model, where the parser itself must not be trusted. Pure.

libyaml's composer is recursive in C: 100,000 brackets end the process, and no exception says so. So the event stream,
which is iterative, is walked first, and only a document that is small, shallow and free of alias bombs is composed.
"""

from __future__ import annotations

import yaml

MAX_BYTES = 2**20
MAX_DEPTH = 64
MAX_ALIASES = 64
MAX_NODES = 200_000

_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def load_plain_yaml(data: bytes) -> object:
    """Return the document as dicts, lists and scalars; raise ValueError saying in words why it will not be read."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    try:
        _walk(data)
        document = yaml.load(data, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"is not plain YAML ({type(error).__name__})") from error
    _count(document)
    return document


def _walk(data: bytes) -> None:
    depth = aliases = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        depth += isinstance(event, _STARTS) - isinstance(event, _ENDS)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nests deeper than {MAX_DEPTH} levels")
        if aliases > MAX_ALIASES:
            raise ValueError(f"holds more than {MAX_ALIASES} YAML aliases")


def _count(document: object) -> None:
    """Refuse a document that is small as text but large once its aliases are followed."""
    nodes, stack = 0, [document]
    while stack:
        nodes += 1
        if nodes > MAX_NODES:
            raise ValueError(f"holds more than {MAX_NODES} values")
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
