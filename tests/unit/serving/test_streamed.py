"""A streamed answer ends in one order: what makes the pieces is closed, then its lease is given back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from registry.errors import ModelFault
from serving.exchange import JsonOutput, Output
from serving.protocols.request import Encoded
from serving.routing.split import Decision
from serving.streams import Streamed

pytestmark = pytest.mark.anyio
PIECE = Encoded("application/json", b"1")


class Stage:
    """A stream, and what happened in which order."""

    def __init__(self, encode: Callable[[], Encoded] = lambda: PIECE, *, stubborn: bool = False) -> None:
        self.told: list[str] = []
        self._encode, self._stubborn = encode, stubborn
        self.rest = self._pieces()

    async def _pieces(self) -> AsyncGenerator[Output, None]:
        try:
            while True:
                yield JsonOutput(1)
        finally:
            self.told.append("closed")
            if self._stubborn:
                raise ModelFault("model_error", "it would not be closed")

    def streamed(self, decision: Decision) -> Streamed:
        """Return the stream; its first piece is there."""

        async def encode(_: Output) -> Encoded:
            return self._encode()

        def ended(error: BaseException | None) -> None:
            self.told.append(type(error).__name__)

        return Streamed(decision, PIECE, self.rest, encode, most=60.0, ended=ended)


@pytest.fixture
def decision() -> Decision:
    """Return whoever: nobody asks."""
    return object.__new__(Decision)


async def test_a_stream_that_is_left_is_closed_before_its_lease_is_released(decision: Decision) -> None:
    """Once: a second time changes nothing."""
    stage = Stage()
    streamed = stage.streamed(decision)
    assert [await anext(streamed), await anext(streamed)] == [PIECE, PIECE]
    await streamed.aclose()
    await streamed.aclose()
    assert stage.told == ["closed", "CancelledError"]


async def test_a_stream_that_fails_is_closed_before_its_lease_is_released(decision: Decision) -> None:
    """Here a piece that cannot be written."""

    def fail() -> Encoded:
        raise ModelFault("model_output_invalid", "no JSON")

    stage = Stage(fail)
    streamed = stage.streamed(decision)
    await anext(streamed)
    with pytest.raises(ModelFault, match="no JSON"):
        await anext(streamed)
    assert stage.told == ["closed", "ModelFault"]


async def test_a_lease_comes_back_even_where_closing_fails(decision: Decision) -> None:
    """Whatever the model does to whoever leaves."""
    stage = Stage(stubborn=True)
    streamed = stage.streamed(decision)
    await anext(streamed)
    await anext(streamed)
    with pytest.raises(ModelFault, match="would not"):
        await streamed.aclose()
    assert stage.told == ["closed", "CancelledError"]
