"""What the model repository's routes are asked."""

from __future__ import annotations

import pytest

from registry.errors import HeadgateError, InvalidRequest
from serving.protocols.limits import Limits
from serving.protocols.oip.orders import parameters_of, read_order, refuse_overrides, wants_ready
from tests.support.mutation import mutated

SEEDS = (
    b"",
    b'{"ready": true}',
    b'{"parameters": {"unload_dependents": false}}',
    b'{"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}',
)


def test_no_body_is_an_empty_order() -> None:
    """Clients send nothing, or an empty object."""
    for body in (b"", b" \n", b"{}"):
        assert read_order(body, Limits()) == {}


def test_an_index_is_of_all_unless_it_says_otherwise() -> None:
    """Only true asks for those that are ready; what is no bool is refused."""
    assert [wants_ready(order) for order in ({}, {"ready": False}, {"ready": True})] == [False, False, True]
    with pytest.raises(InvalidRequest):
        wants_ready({"ready": 1})


@pytest.mark.parametrize("key", ["config", "file:1/model.onnx", "file:"])
def test_a_load_brings_nothing_of_its_own(key: str) -> None:
    """What would override the registered version is refused; anything else is left out."""
    with pytest.raises(InvalidRequest, match="a version never changes"):
        refuse_overrides({"mine": 1, key: "x"})
    refuse_overrides({"mine": 1, "configuration": 2})


def test_damaged_orders_are_refused_or_read() -> None:
    """Any bytes give an order or a proper error."""
    for body in mutated(SEEDS):
        try:
            order = read_order(body, Limits())
            wants_ready(order)
            refuse_overrides(parameters_of(order))
        except HeadgateError as error:
            assert isinstance(error, InvalidRequest)
