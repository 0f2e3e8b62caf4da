"""The context of classify and regress, which belongs to every example and so multiplies what a body holds."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

import pytest

from registry.errors import InvalidRequest
from registry.signature import parse_signature
from serving.exchange import Table
from serving.protocols.limits import HEAVY_BYTES, Limits
from serving.protocols.request import Head
from serving.protocols.tfs.examples import read_examples, weigh_examples

SIGNATURE = parse_signature({"inputs": [{"type": "double", "name": name, "required": True} for name in "ab"]})


def body(context: Any, examples: list[Any]) -> bytes:
    """Return a body."""
    return json.dumps({"context": context, "examples": examples}).encode()


def test_what_it_holds_counts_once_for_each_example() -> None:
    """Values inside of its lists and objects count like any others."""
    limits = Limits(values=10_000)
    for context in ({"x": [0] * 200}, {"x": {"y": [[0, 1]] * 100}}):
        with pytest.raises(InvalidRequest) as refused:
            read_examples("classify", body(context, [{}] * 100), Head(), limits)
        assert refused.value.code == "too_many_values"


def test_it_is_refused_before_anything_is_made_of_it() -> None:
    """A short body that would be millions of values costs no time."""
    sent = body({f"c{at}": 0 for at in range(4000)}, [{}] * 4000)
    begun = process_time()
    with pytest.raises(InvalidRequest) as refused:
        read_examples("regress", sent, Head(), Limits())
    assert refused.value.code == "too_many_values"
    assert process_time() - begun < 0.1


def test_it_is_joined_to_the_examples_only_while_they_are_fitted() -> None:
    """What is kept of a request is as large as its body; the model gets the context with each example."""
    request = read_examples("regress", body({"a": 1.0}, [{"b": 2.0}, {"b": 3.0}]), Head(), Limits())
    assert request.parsed.value == [{"b": 2.0}, {"b": 3.0}]
    data = request.shape(SIGNATURE, None, Limits()).data
    assert isinstance(data, Table)
    assert [array.tolist() for array in data.arrays] == [[1.0, 1.0], [2.0, 3.0]]


def test_a_body_weighs_what_its_context_makes_of_it() -> None:
    """However the key is spelt: what takes long is worked on beside the event loop."""
    sent = body({f"c{at}": 0 for at in range(1000)}, [{}] * 1000)
    assert len(sent) < HEAVY_BYTES < weigh_examples(sent, Head())
    assert weigh_examples(sent.replace(b"context", b"c\\u006fntext"), Head()) > HEAVY_BYTES
    plain = json.dumps({"examples": [{"a": 1}] * 1000}).encode()
    assert weigh_examples(plain, Head()) == len(plain)
