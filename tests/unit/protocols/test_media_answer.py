"""Answers as pictures and bytes: what is accepted, what the model gave, and words where they do not meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from registry.errors import HeadgateError, InvalidRequest, ModelFault
from serving.exchange import ArrayOutput, JsonOutput, Output, Table, TableOutput, TensorsOutput
from serving.protocols.answer import choose_format, encode_answer
from serving.protocols.images import FORMATS
from serving.protocols.limits import Limits
from serving.protocols.media import OCTETS, sniffed
from serving.protocols.media_answer import ANSWERED, JPEG, PNG, MediaWish
from serving.protocols.request import Encoded
from tests.support.pictures import drawn, opened, pixels

LIMITS = Limits()
PICTURE = ArrayOutput(pixels())
NOSNIFF = b"x-content-type-options: nosniff\r\n"


def answer(accept: str | None, output: Output, limits: Limits = LIMITS) -> Encoded:
    """Write an answer to who accepts this."""
    return encode_answer(output, choose_format(accept), limits, model="m", version="1", request_id="r")


def refused(accept: str, output: Output, limits: Limits = LIMITS) -> HeadgateError:
    """Return the error with which an answer is refused."""
    with pytest.raises(HeadgateError) as caught:
        answer(accept, output, limits)
    return caught.value


def raw(*data: bytes) -> JsonOutput:
    """Return bytes as a host's answer has them."""
    return JsonOutput(["text"] * len(data), 0, data)


def cell(data: object) -> np.ndarray[Any, Any]:
    """Return an array of one object."""
    array = np.empty(1, dtype=object)
    array[0] = data
    return array


@pytest.mark.parametrize(
    ("accept", "kinds", "otherwise"),
    [("image/png", (PNG,), None), ("image/*", ANSWERED[:-1], None), (OCTETS, (OCTETS,), None),
     ("image/jpeg, image/png;q=0.5", (JPEG, PNG), None), ("image/*, image/png;q=0", ANSWERED[1:-1], None),
     ("image/webp, application/json;q=0.1", ("image/webp",), "application/json"),
     ("IMAGE/PNG ;q=0.9, text/csv;q=0.2, text/html", (PNG,), "text/csv"),
     ("image/avif,image/webp,*/*;q=0.1", ("image/webp", PNG, JPEG, "image/gif", "image/bmp", "image/tiff", OCTETS),
      "application/json")],
)  # fmt: skip
def test_pictures_are_wished_for(accept: str, kinds: tuple[str, ...], otherwise: str | None) -> None:
    """The best come first, in our order where they are equal; text is kept for models that draw nothing."""
    assert choose_format(accept) == MediaWish(kinds, otherwise)


@pytest.mark.parametrize(
    "accept", ["*/*", "image/png, application/json", "application/*", "application/json, */*;q=0.1"]
)
def test_json_is_preferred_by_who_accepts_anything(accept: str) -> None:
    """A picture is answered to those only who want it more than JSON."""
    assert choose_format(accept) == "application/json"


@pytest.mark.parametrize(
    ("shape", "drawn_as"),
    [((8, 6), (8, 6)), ((8, 6, 1), (8, 6)), ((8, 6, 3), (8, 6, 3)), ((8, 6, 4), (8, 6, 4)), ((1, 8, 6), (8, 6)),
     ((1, 8, 6, 1), (8, 6)), ((1, 8, 6, 3), (8, 6, 3)), ((1, 3, 8, 6), (8, 6, 3)), ((3, 8, 6), (8, 6, 3)),
     ((1, 1, 8, 6), (8, 6)), ((1, 6, 3), (1, 6, 3))],
)  # fmt: skip
def test_arrays_of_bytes_are_drawn(shape: tuple[int, ...], drawn_as: tuple[int, ...]) -> None:
    """A uint8 array that can be one picture comes back as that picture, named or not."""
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    encoded = answer(PNG, ArrayOutput(array))
    assert encoded.content_type == PNG
    found = opened(encoded.body)
    assert found.shape == drawn_as
    chw = len(shape) > 2 and shape[-1] == 6 and shape[-3] == 3
    assert (found == (array.reshape(shape[-3:]).transpose(1, 2, 0) if chw else array.reshape(drawn_as))).all()
    assert answer("image/*", TensorsOutput({"y": array})).body == encoded.body


def test_jpeg_is_for_who_wants_it() -> None:
    """JPEG has no transparency: then the next best is drawn."""
    assert sniffed(answer(JPEG, PICTURE).body) == JPEG
    transparent = ArrayOutput(pixels(8, 8, 4))
    assert answer("image/jpeg, image/png;q=0.1", transparent).content_type == PNG
    assert "transparency" in refused(JPEG, transparent).message
    long = ArrayOutput(np.zeros((1, 70_000), np.uint8))
    assert refused(JPEG, long).code == "not_acceptable"


@pytest.mark.parametrize(
    "output",
    [ArrayOutput(np.zeros((8, 8))), ArrayOutput(np.zeros((2, 8, 8, 3), np.uint8)), ArrayOutput(np.zeros(8, np.uint8)),
     ArrayOutput(np.zeros((8, 8, 5), np.uint8)), ArrayOutput(np.zeros((0, 8), np.uint8)), JsonOutput("text"),
     ArrayOutput(np.uint8(5) * np.ones((), np.uint8)), raw(b"a", b"b"), ArrayOutput(cell("text")),
     TableOutput(Table(("a",), (np.zeros(1, np.uint8),))), TensorsOutput({"a": pixels(), "b": pixels()}),
     ArrayOutput(np.zeros((1, 1, 1, 8, 8), np.uint8))],
)  # fmt: skip
def test_what_is_no_picture_is_said(output: Output) -> None:
    """The words say what the model gave; who accepts JSON as well gets that."""
    error = refused("image/png", output)
    assert isinstance(error, InvalidRequest)
    assert error.code == "not_acceptable"
    assert "application/json" in error.message
    assert answer("image/png, application/json;q=0.1", output).content_type == "application/json"


@pytest.mark.parametrize("media", sorted(FORMATS))
def test_bytes_are_answered_as_what_they_are(media: str) -> None:
    """A picture that the model made keeps its bytes and gets the type that they begin with."""
    data = drawn(pixels(), media)
    for output in (raw(data), ArrayOutput(cell(data)), TableOutput(Table(("a",), (cell(data),)))):
        for accept in ("image/*", media, f"text/csv;q=0.1, {media}", "image/png;q=0.3, image/*;q=0.2"):
            assert answer(accept, output) == Encoded(media, data, NOSNIFF)
        assert answer(OCTETS, output) == Encoded(OCTETS, data, NOSNIFF)
    if media != PNG:
        assert media in refused(PNG, raw(data)).message


def test_other_bytes_are_octets_and_never_a_page() -> None:
    """Bytes of no known picture, HTML among them, go out as an octet stream or not at all."""
    page = raw(b"<html><script>")
    assert answer(OCTETS, page).content_type == OCTETS
    assert answer("image/*, application/octet-stream;q=0.1", page).content_type == OCTETS
    assert "no image of a known type" in refused("image/*", page).message
    assert refused("text/html", page).code == "not_acceptable"


def test_an_answer_is_bounded() -> None:
    """Neither pixels nor bytes beyond the limits are written."""
    assert "at most 100 values" in refused(PNG, PICTURE, Limits(values=100)).message
    error = refused(OCTETS, raw(b"x" * 101), Limits(response_bytes=100))
    assert isinstance(error, ModelFault)
    assert error.code == "model_output_invalid"


@given(
    hnp.arrays(st.sampled_from(["u1", "i1", "f4", "?", "u2"]), hnp.array_shapes(min_dims=0, max_dims=5, max_side=6)),
    st.sampled_from([PNG, JPEG, "image/*", OCTETS, "image/gif, */*;q=0.1"]),
)
def test_any_array_is_drawn_or_refused(array: Any, accept: str) -> None:
    """Whatever a model answers, there is a picture, JSON, or words."""
    try:
        encoded = answer(accept, ArrayOutput(array))
    except InvalidRequest as error:
        assert error.code == "not_acceptable"
    else:
        assert encoded.content_type in (sniffed(encoded.body), "application/json")
