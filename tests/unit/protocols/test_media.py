"""Images, bytes and forms become what a model takes: bytes as they are, pixels exactly, or a proper error."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from registry.errors import InvalidRequest
from registry.signature import Signature
from serving.exchange import JsonInput, Table, TensorInput, TensorsInput
from serving.protocols.images import FORMATS
from serving.protocols.limits import Limits
from serving.protocols.media import OCTETS, sniffed
from serving.protocols.native import parse_body, schema_for, shape
from tests.support.mutation import CASES, mutated
from tests.support.pictures import EXACT, drawn, form, huge_png, huge_webp, pixels
from tests.unit.protocols.signatures import LIMITS, NOTHING, column, signed, tensor

PNG = "image/png"
PIXELS = signed(tensor(None, "uint8", -1, 8, 8, 3))
BINARY = signed(column("image", "binary"))


def fitted(content_type: str, body: bytes, signature: Signature, limits: Limits = LIMITS) -> Any:
    """Return the input that a body becomes."""
    return shape(parse_body(content_type, body, limits), signature, None, limits).data


def array(content_type: str, body: bytes, signature: Signature) -> Any:
    """Return the one array that a body becomes."""
    data = fitted(content_type, body, signature)
    assert isinstance(data, TensorInput)
    return data.array


def refused(content_type: str, body: bytes, signature: Signature, limits: Limits = LIMITS) -> InvalidRequest:
    """Return the error with which a body is refused."""
    with pytest.raises(InvalidRequest) as caught:
        fitted(content_type, body, signature, limits)
    return caught.value


# ---- bytes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PNG, "image/svg+xml", "image/anything", OCTETS])
def test_a_binary_column_gets_the_bytes_as_they_are(kind: str) -> None:
    """Nothing is decoded or judged for a model that takes bytes, and no process of its own is needed."""
    data = fitted(kind, b"\x00any\xff", BINARY)
    assert isinstance(data, Table)
    assert (data.names, data.arrays[0].tolist(), data.rows) == (("image",), [b"\x00any\xff"], 1)
    assert not parse_body(kind, b"x", LIMITS).reads_apart(BINARY.inputs)


def test_a_model_without_a_signature_gets_bytes() -> None:
    """One part is its bytes, several are an object of them; what says that it is JSON is read as such."""
    assert fitted(OCTETS, b"abc", NOTHING) == JsonInput(b"abc")
    assert fitted(*form({"x": (PNG, b"abc")}), NOTHING) == JsonInput(b"abc")
    two = form({"x": b"abc", "y": ("application/json", b"[1]")})
    assert fitted(*two, NOTHING) == JsonInput({"x": b"abc", "y": [1]})


def test_a_columns_model_takes_a_form() -> None:
    """Each column has a part: bytes, text, or JSON, by its type; those that need not be there may be missing."""
    signature = signed(
        column("image", "binary"), column("words", "string"), column("age", "long"), column("fast", "boolean"),
        column("at", "datetime"), column("more", "double", required=False),
    )  # fmt: skip
    parts: dict[str, Any] = {"words": "é".encode(), "image": (PNG, b"\xff"), "age": b"41", "fast": b"true"}
    data = fitted(*form({**parts, "at": b"2026-01-31"}), signature)
    assert data.names == ("image", "words", "age", "fast", "at")
    assert [column.tolist()[0] for column in data.arrays[:4]] == [b"\xff", "é", 41, True]
    for name, wrong, code in (
        ("age", b"4.5", "invalid_input"), ("age", b"'41'", "malformed_json"), ("words", b"\xff", "invalid_input"),
        ("words", (PNG, b"x"), "invalid_input"), ("words", ("application/json", b"5"), "invalid_input"),
        ("other", b"x", "invalid_input"), ("at", b"today", "invalid_input"),
    ):  # fmt: skip
        assert refused(*form({"at": b"2026-01-31", **parts, name: wrong}), signature).code == code
    assert "missing part 'at'" in refused(*form(parts), signature).message


def test_the_one_input_may_be_called_anything() -> None:
    """A lone part is the model's only input, or the only one that it requires; else its name decides."""
    assert fitted(*form({"file": (PNG, b"abc")}), BINARY).arrays[0].tolist() == [b"abc"]
    signature = signed(column("a", "binary"), column("b", "binary", required=False))
    assert fitted(OCTETS, b"x", signature).names == ("a",)
    both = signed(column("a", "binary"), column("b", "binary"))
    assert "a part for each" in refused(OCTETS, b"x", both).message
    assert "missing part 'b'" in refused(*form({"a": b"x"}), both).message
    lone = signed(column(None, "binary"))
    assert fitted(OCTETS, b"x", lone).arrays[0].tolist() == [b"x"]
    assert refused(*form({"a": b"x", "b": b"y"}), lone).code == "invalid_input"


def test_a_model_of_other_columns_says_what_it_takes() -> None:
    """Bytes for a column of numbers or text are refused by its name."""
    for kind in ("double", "string"):
        error = refused(PNG, drawn(pixels()), signed(column("x", kind)))
        assert (error.code, "column 'x'" in error.message) == ("invalid_input", True)


def test_params_come_along() -> None:
    """A form's params are held to the signature."""
    signature = signed(column("x", "binary"), params=[{"name": "size", "type": "long", "default": 3, "shape": None}])
    call = shape(parse_body(*form({"x": b"1", "params": b'{"size": 5}'}), LIMITS), signature, None, LIMITS)
    assert call.params == {"size": 5}
    assert refused(*form({"x": b"1", "params": b'{"speed": 5}'}), signature).code == "invalid_input"


# ---- pixels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media", sorted(FORMATS))
def test_every_format_is_decoded(media: str) -> None:
    """What Pillow reads is what the model gets, by the type that was named or by how the bytes begin."""
    body = drawn(pixels(), media)
    got = array(media, body, PIXELS)
    assert (got.shape, got.dtype) == ((1, 8, 8, 3), np.uint8)
    if media in EXACT:
        assert (got[0] == pixels()).all()
    assert (array(OCTETS, body, PIXELS) == got).all()
    assert sniffed(body) == media


@pytest.mark.parametrize(
    ("asked", "got"),
    [((-1, 8, 6, 3), (1, 8, 6, 3)), ((1, -1, -1, 3), (1, 8, 6, 3)), ((8, 6, 3), (8, 6, 3)), ((-1, 6, 3), (8, 6, 3)),
     ((-1, 3, 8, 6), (1, 3, 8, 6)), ((3, 8, 6), (3, 8, 6)), ((-1, 8, 6, 1), (1, 8, 6, 1)), ((8, 6), (8, 6)),
     ((-1, 8, 6), (1, 8, 6)), ((1, 8, 6), (1, 8, 6)), ((-1, 8, 6, 4), (1, 8, 6, 4)), ((8, 6, 2), (8, 6, 2))],
)  # fmt: skip
def test_axes_lie_as_the_signature_has_them(asked: tuple[int, ...], got: tuple[int, ...]) -> None:
    """Channels first or last, one picture or a row of them, grey or coloured."""
    found = array(PNG, drawn(pixels(8, 6)), signed(tensor(None, "uint8", *asked)))
    assert found.shape == got
    assert found.flags.c_contiguous
    if 3 in got:
        assert (found.reshape(got[-3:]) == (pixels(8, 6).transpose(2, 0, 1) if got[-3] == 3 else pixels(8, 6))).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64"])
def test_numbers_are_cast_and_not_scaled(dtype: str) -> None:
    """255 is 255 in every type."""
    found = array(PNG, drawn(pixels()), signed(tensor(None, dtype, 8, 8, 3)))
    assert found.dtype == dtype
    assert (found == pixels()).all()


@pytest.mark.parametrize(
    ("dtype", "asked"),
    [("uint8", (-1, 4)), ("uint8", (-1, -1)), ("uint8", (-1,)), ("uint8", ()), ("uint8", (-1, -1, -1, -1)),
     ("uint8", (-1, -1, -1)), ("uint8", (-1, 8, 8, 5)), ("uint8", (2, 8, 8, 3)), ("uint8", (-1, 2, 8, 8, 3)),
     ("int8", (8, 8, 3)), ("bool", (8, 8, 3)), ("object", (8, 8, 3)), ("complex64", (8, 8, 3)), ("what", (8, 8, 3))],
)  # fmt: skip
def test_tensors_that_are_no_picture_are_told(dtype: str, asked: tuple[int, ...]) -> None:
    """Other shapes and types are refused in the node, which starts nothing for it."""
    signature = signed(tensor(None, dtype, *asked))
    parsed = parse_body(PNG, drawn(pixels()), LIMITS)
    assert not parsed.reads_apart(schema_for(signature, None))
    error = refused(PNG, drawn(pixels()), signature)
    assert (error.code, "which is no image" in error.message) == ("invalid_input", True)


def test_named_tensors_take_a_form() -> None:
    """Pictures and numbers side by side, each by its name."""
    signature = signed(tensor("image", "float32", -1, 8, 8, 3), tensor("limit", "float32", -1))
    data = fitted(*form({"image": (PNG, drawn(pixels())), "limit": b"[0.5]"}), signature)
    assert isinstance(data, TensorsInput)
    assert (data.arrays["image"][0] == pixels()).all()
    assert data.arrays["limit"].tolist() == [0.5]
    alone = signed(tensor("image", "uint8", -1, 8, 8, 3))
    assert fitted(PNG, drawn(pixels()), alone).arrays["image"].shape == (1, 8, 8, 3)
    as_json = ("application/json", str(pixels()[np.newaxis].tolist()).encode())
    assert (fitted(*form({"image": as_json}), alone).arrays["image"][0] == pixels()).all()


def test_another_size_is_refused_with_both() -> None:
    """Nothing is resized: the message names the size that came and the one that is right."""
    error = refused(PNG, drawn(pixels(9, 7)), PIXELS)
    assert error.code == "invalid_input"
    assert "8 × 8" in error.message
    assert "7 × 9" in error.message


def test_modes_become_the_channels_that_are_asked_for() -> None:
    """Grey, palettes, transparency, CMYK and black-and-white are converted as Pillow converts them."""
    picture = Image.fromarray(pixels())
    for mode, media in (("L", PNG), ("P", PNG), ("RGBA", PNG), ("LA", PNG), ("1", PNG), ("CMYK", "image/jpeg")):
        sink = io.BytesIO()
        picture.convert(mode).save(sink, FORMATS[media])
        for channels, wanted in ((1, "L"), (3, "RGB"), (4, "RGBA")):
            found = array(media, sink.getvalue(), signed(tensor(None, "uint8", 8, 8, channels)))
            with Image.open(io.BytesIO(sink.getvalue())) as image:
                assert (found.reshape(8, 8, -1).squeeze() == np.asarray(image.convert(wanted))).all()


def test_a_picture_is_not_turned() -> None:
    """What EXIF says of the camera is not looked at: training pipelines rarely do."""
    exif = Image.Exif()
    exif[0x0112] = 6
    sink = io.BytesIO()
    Image.fromarray(pixels(8, 6)).save(sink, "PNG", exif=exif)
    assert (array(PNG, sink.getvalue(), signed(tensor(None, "uint8", 8, 6, 3))) == pixels(8, 6)).all()


def test_of_several_frames_the_first_is_taken() -> None:
    """An animation is its first picture."""
    frames = [Image.fromarray(pixels() // (1 + at)) for at in range(3)]
    sink = io.BytesIO()
    frames[0].save(sink, "TIFF", save_all=True, append_images=frames[1:])
    assert (array("image/tiff", sink.getvalue(), PIXELS)[0] == pixels()).all()


@pytest.mark.parametrize(
    ("media", "body", "words"),
    [(PNG, b"abc", "said to be image/png"), (OCTETS, b"abc", "none of PNG"),
     ("image/jpeg", drawn(pixels()), "is image/png"), (PNG, drawn(pixels())[:90], "cut short"),
     (PNG, drawn(pixels())[:8] + bytes(100), "damaged"), (OCTETS, b"BM" + bytes(100), "damaged"),
     ("image/webp", drawn(pixels(), "image/webp")[:40], "damaged"),
     ("image/tiff", drawn(np.zeros((8, 8), np.float32), "image/tiff"), "8 bits"),
     (PNG, drawn(np.zeros((8, 8), np.uint16)), "8 bits")],
)  # fmt: skip
def test_what_is_no_image_is_told(media: str, body: bytes, words: str) -> None:
    """Not an image, another one than was said, cut short, deeper than 8 bits: 422 in words."""
    error = refused(media, body, PIXELS)
    assert error.code == "invalid_input"
    assert words in error.message


def test_a_type_that_is_not_decoded_is_unsupported() -> None:
    """SVG and other formats are 415 where pixels are wanted, and the six are named; ``image/jpg`` is a JPEG."""
    for kind in ("image/svg+xml", "image/x-icon", "image/jp2"):
        error = refused(kind, b"<svg/>", PIXELS)
        assert (error.code, "image/webp" in error.message) == ("unsupported_media_type", True)
    assert array("image/jpg", drawn(pixels(), "image/jpeg"), PIXELS).shape == (1, 8, 8, 3)


def test_bombs_are_refused_by_their_headers() -> None:
    """What a picture would hold is counted before anything is decoded, also in float64 and over several parts."""
    any_size = signed(tensor(None, "uint8", -1, -1, -1, 3))
    assert refused(PNG, huge_png(), any_size).code == "too_many_values"
    assert refused("image/webp", huge_webp(), any_size).code == "too_many_values"
    few = Limits(values=8 * 8 * 3)
    assert fitted(PNG, drawn(pixels()), PIXELS, few).array.size == few.values
    assert refused(PNG, drawn(pixels(9, 8)), any_size, few).code == "too_many_values"
    two = signed(tensor("a", "uint8", 8, 8, 3), tensor("b", "uint8", 8, 8, 3))
    both = form({"a": (PNG, drawn(pixels())), "b": (PNG, drawn(pixels()))})
    assert refused(*both, two, few).code == "too_many_values"
    transparent = drawn(pixels(8, 8, 4))
    assert refused(PNG, transparent, signed(tensor(None, "uint8", 8, 8, 1)), few).code == "too_many_values"


def test_damaged_pictures_are_decoded_or_refused() -> None:
    """Any bytes give pixels or a proper error."""
    small = pixels(5, 4)
    seeds = [drawn(small, media) for media in FORMATS]
    seeds += [drawn(small, "image/tiff", compression="tiff_lzw"), huge_webp(), huge_png(9, 9)]
    seeds.append(drawn(small, PNG, icc_profile=bytes(200)))
    signature = signed(tensor(None, "float32", -1, -1, -1, 3))
    for body in mutated(seeds, max(2_000, CASES // 2)):
        with contextlib.suppress(InvalidRequest):
            assert array(OCTETS, body, signature).shape[3] == 3
