"""Reads YAML that came with a model, where the parser itself must not be trusted. Pure.

libyaml's composer is recursive in C: 100,000 brackets end the process, and no exception says so. So the event stream,
which is iterative, is walked first, and only a document that is small, shallow and free of alias bombs is composed.
The constructor is Python, and fails in many ways at scalars that lie about their type; a number of a million digits
costs it minutes. So long numbers are refused before, and whatever it raises is one refusal.
"""

from __future__ import annotations

import re

import yaml

MAX_BYTES = 2**20
MAX_DEPTH = 64
MAX_ALIASES = 64
MAX_NODES = 200_000
MAX_NUMBER_CHARS = 64

_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
# What a number, however written, is made of: 1_000, 0xff, 1:59:59, 1.5e-3.
_LIKE_A_NUMBER = re.compile(r"[-+]?[0-9.][0-9A-Fa-fxXo_:.+-]*")
_STRING = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"


def load_plain_yaml(data: bytes) -> object:
    """Return the document as dicts, lists and scalars; raise ValueError saying in words why it will not be read."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    document = _compose(data, _problem(data))
    _count(document)
    return document


def _compose(data: bytes, problem: str) -> object:
    if problem:
        raise ValueError(problem)
    try:
        return yaml.load(data, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"is not plain YAML ({type(error).__name__})") from error


def _problem(data: bytes) -> str:
    """Walk the events; say why the document must not be composed, or nothing."""
    depth = aliases = 0
    try:
        for event in yaml.parse(data, Loader=yaml.CSafeLoader):
            depth += isinstance(event, _STARTS) - isinstance(event, _ENDS)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > MAX_DEPTH:
                return f"nests deeper than {MAX_DEPTH} levels"
            if aliases > MAX_ALIASES:
                return f"holds more than {MAX_ALIASES} YAML aliases"
            if isinstance(event, yaml.ScalarEvent) and _is_merge(event):
                return "uses YAML merge keys (<<)"
            if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
                return f"holds a number of more than {MAX_NUMBER_CHARS} characters"
    except (yaml.YAMLError, ValueError) as error:
        return f"is not plain YAML ({type(error).__name__})"
    return ""


def _is_merge(scalar: yaml.ScalarEvent) -> bool:
    # Merging copies what each alias stands for: sixty in sixteen levels are billions before anything is counted.
    return bool(scalar.tag == _MERGE or (scalar.value == "<<" and scalar.implicit[0]))


def _is_long_number(scalar: yaml.ScalarEvent) -> bool:
    if len(scalar.value) <= MAX_NUMBER_CHARS:
        return False
    if scalar.tag is not None:
        return bool(scalar.tag != _STRING)
    return bool(scalar.implicit[0]) and _LIKE_A_NUMBER.fullmatch(scalar.value) is not None


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
