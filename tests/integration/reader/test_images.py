"""Images read by the table reader's process: the very pixels, in its confinement, and within its bounds."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from registry.errors import InvalidRequest
from serving.exchange import Call, TensorInput, TensorsInput
from serving.protocols.images import FORMATS
from serving.protocols.limits import Limits
from serving.protocols.media import OCTETS
from serving.reader.reader import ReaderBounds
from tests.support.pictures import EXACT, drawn, form, huge_png, huge_webp, pixels
from tests.support.table_reader import Tables, table_reader
from tests.unit.protocols.signatures import column, signed, tensor

pytestmark = pytest.mark.integration
PNG = "image/png"
PIXELS = signed(tensor(None, "uint8", -1, 8, 8, 3))
ANY = signed(tensor(None, "float32", -1, -1, -1, 3))


def array(call: Call) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the one array of a call."""
    assert isinstance(call.data, TensorInput)
    return call.data.array


@pytest.mark.parametrize("media", sorted(FORMATS))
def test_every_format_is_read_in_confinement(tables: Tables, media: str) -> None:
    """Nothing that decoding needs has to be loaded once the process is confined."""
    got = array(tables.read(media, drawn(pixels(), media), PIXELS))
    assert got.shape == (1, 8, 8, 3)
    assert got.dtype == "uint8"
    if media in EXACT:
        assert (got[0] == pixels()).all()


def test_a_form_is_read(tables: Tables) -> None:
    """Names, types and parameters of parts survive the way to the reader and back."""
    params = [{"name": "size", "type": "long", "default": 3, "shape": None}]
    signature = signed(tensor("image", "float32", -1, 3, 8, 8), tensor("limit", "float64", -1), params=params)
    parts: dict[str, bytes | tuple[str, bytes]] = {
        "limit": b"[0.5]",
        "image": (PNG, drawn(pixels())),
        "params": b'{"size": 5}',
    }
    call = tables.read(*form(parts), signature)
    assert isinstance(call.data, TensorsInput)
    assert (call.data.arrays["image"][0] == pixels().transpose(2, 0, 1)).all()
    assert call.data.arrays["limit"].tolist() == [0.5]
    assert call.params == {"size": 5}


def test_bytes_need_no_process() -> None:
    """What a model takes as it is, or cannot take at all, starts no reader."""
    with table_reader() as tables:
        assert tables.read(PNG, b"x", signed(column("x", "binary"))).data.rows == 1
        assert tables.read(OCTETS, b"x").data.rows == 1
        assert tables.refused(PNG, b"x", signed(tensor(None, "float64", -1, 4))).code == "invalid_input"
        assert tables.refused(*form({"a": b"x", "b": b"y"}), PIXELS).code == "invalid_input"
        assert tables.reader.pids == []


def test_refusals_come_from_the_reader_in_words(tables: Tables) -> None:
    """Bombs, damage and other sizes are refused, and the reader that saw them goes on."""
    tables.read(PNG, drawn(pixels()), PIXELS)
    before = tables.reader.pids
    for body, code in (
        (huge_png(), "too_many_values"), (huge_webp(), "too_many_values"), (drawn(pixels())[:80], "invalid_input"),
        (b"no image", "invalid_input"), (drawn(pixels(9, 9)) + b"<html>", "invalid_input"),
    ):  # fmt: skip
        assert tables.refused(OCTETS, body, PIXELS).code == code
    assert tables.refused("image/svg+xml", b"<svg/>", PIXELS).code == "unsupported_media_type"
    assert tables.reader.pids == before


def test_a_reader_that_cannot_go_on_is_an_answer() -> None:
    """An image that takes too long is refused by its name, and so is one that takes too much memory."""
    with table_reader(ReaderBounds(restart=0, most=0.0)) as tables:
        error = tables.refused(PNG, drawn(pixels()), PIXELS)
        assert isinstance(error, InvalidRequest)
        assert error.message == "the image took too long to read; send a smaller one"
    with table_reader(limits=Limits(values=2**62)) as tables:  # no bound but the process's own
        error = tables.refused(PNG, huge_png(), ANY)
        assert error.code in ("body_too_large", "invalid_input")


def test_the_largest_picture_is_quick_and_copied_little() -> None:
    """Three million pixels are read in a second or so; callers of small ones do not wait for it."""
    large = drawn(np.tile(pixels(180, 180), (10, 10, 1)))

    async def both(tables: Tables) -> tuple[float, float]:
        await tables.ask(PNG, drawn(pixels()), PIXELS)
        began = time.perf_counter()
        slow = asyncio.ensure_future(tables.ask(PNG, large, ANY))
        await tables.ask(PNG, drawn(pixels()), PIXELS)
        quick = time.perf_counter() - began
        assert array(await slow).shape == (1, 1800, 1800, 3)
        return quick, time.perf_counter() - began

    with table_reader() as tables:
        quick, slow = tables.run(both(tables))
        print("small", quick, "large", slow)
        assert slow < 10
