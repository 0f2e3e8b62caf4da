"""Pictures decoded with Pillow: PNG, JPEG, WebP, GIF, BMP and TIFF, within bounds.

Decoding hostile bytes is C code's work, so it is done in the table reader's process alone, which is confined and may
die of it. What a picture would hold is known from its header, before anything is decoded. Its size must be the one
that is asked for: nothing is resized, turned (EXIF) or scaled. Of several frames the first is taken. Not here: how the
axes of a tensor lie (``picture``).
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np

# Those six, and no other: Pillow knows dozens of formats that nobody sends to a model.
from PIL import (
    BmpImagePlugin,  # noqa: F401 -- loaded ahead: a process that is confined cannot load it later
    GifImagePlugin,  # noqa: F401 -- see above
    Image,
    JpegImagePlugin,  # noqa: F401 -- see above
    MpoImagePlugin,  # noqa: F401 -- see above: what a JPEG of several pictures becomes
    PngImagePlugin,  # noqa: F401 -- see above
    TiffImagePlugin,  # noqa: F401 -- see above
    WebPImagePlugin,  # noqa: F401 -- see above
)

from registry.errors import InvalidRequest, quote
from serving.exchange import Array
from serving.protocols.limits import Limits
from serving.protocols.media import OCTETS, TEXT_PARTS, sniffed
from serving.protocols.multipart import Part
from serving.protocols.picture import Picture
from serving.protocols.refusals import wrong_input

FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}
_EXACT = 2**53
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"}
Image.MAX_IMAGE_PIXELS = None  # the bound here is the setting's, and names both numbers
# Whatever Pillow's readers, which trust what they read, stumble over.
_BROKEN = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, struct.error, zlib.error),
)


def decode(part: Part, picture: Picture, label: str, limits: Limits) -> Array:
    """Return a picture's pixels: uint8, of shape (height, width, channels).

    Raises InvalidRequest ``unsupported_media_type`` for a type that is not decoded, ``too_many_values`` for what would
    hold too much, and ``invalid_input`` for what is no picture, or one of another size.
    """
    media = _media_of(part, label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage that can be read past
        try:
            _check_canvas(part.data, media, picture, label, limits)
            with Image.open(io.BytesIO(part.data), formats=(FORMATS[media],)) as image:
                _check(image.size, max(len(image.getbands()), picture.channels), picture, label, limits)
                if image.mode not in _EIGHT_BITS:
                    raise _no_image(label, "it has more than 8 bits a channel; send one with 8", "deep")
                image.load()
                converted = image.convert(_MODES[picture.channels])
        except _BROKEN:
            raise _no_image(label, f"it is damaged, cut short, or no {FORMATS[media]}", "unreadable") from None
    pixels = np.asarray(converted)
    return pixels.reshape(converted.height, converted.width, picture.channels)


def _media_of(part: Part, label: str) -> str:
    """Return the type to decode it as: what it is said to be, which must be true, or else what it is."""
    found = sniffed(part.data)
    said = _ALIASES.get(part.media, part.media)
    if said in (OCTETS, *TEXT_PARTS):
        if found is None:
            raise _no_image(label, f"it is none of {', '.join(FORMATS.values())}", "unreadable")
        return found
    if said not in FORMATS:
        message = f"{label}: '{quote(part.media)}' is not decoded; send one of {', '.join(FORMATS)}"
        raise InvalidRequest("unsupported_media_type", message, {"supported": list(FORMATS)})
    if found != said:
        really = "something else" if found is None else found
        raise _no_image(label, f"it is said to be {said} and is {really}", "unreadable")
    return said


def _check_canvas(data: bytes, media: str, picture: Picture, label: str, limits: Limits) -> None:
    # An animated WebP's canvas is made when it is opened, so its size is looked at before.
    if media == "image/webp" and data[12:16] == b"VP8X" and len(data) >= 30:
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        _check((width, height), 4, picture, label, limits)


def _check(size: tuple[int, int], channels: int, picture: Picture, label: str, limits: Limits) -> None:
    width, height = size
    values = width * height * channels
    if values > limits.values:
        message = (
            f"{label}: an image of {width:,} × {height:,} pixels holds {values:,} values; at most {limits.values:,} "
            "are accepted in one request"
        )
        # A TIFF may claim more than JSON's integers hold.
        raise InvalidRequest("too_many_values", message, {"got": min(values, _EXACT), "limit": limits.values})
    if picture.width not in (-1, width) or picture.height not in (-1, height):
        expected = f"{_any(picture.width)} × {_any(picture.height)} pixels (width × height)"
        got = f"{width:,} × {height:,}"
        message = f"{label}: expected an image of {expected}, got {got}; images are not resized here"
        raise wrong_input(message, path=label, expected=expected, got=got)


def _any(length: int) -> str:
    return "any" if length == -1 else f"{length:,}"


def _no_image(label: str, why: str, reason: str) -> InvalidRequest:
    message = f"{label} is no image that can be read: {why}"
    return wrong_input(message, path=label, expected="an image", got="something else", reason=reason)
