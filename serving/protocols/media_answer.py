"""A model's output as a picture or as bytes, for whoever accepts that.

    one bytes value                        those bytes, by what they begin with, or as an octet stream
    a uint8 array that is one picture      PNG or JPEG, written with Pillow

A picture is (H, W), (H, W, 1 | 3 | 4), (1 | 3 | 4, H, W), or one of those after an axis of length 1. Writing pixels
reads nothing that anybody could have forged, so it happens in the node, beside its event loop. Not here: which of the
formats an Accept header asks for (``answer``), and pictures coming in (``images``).
"""

from __future__ import annotations

import io

import numpy as np

from registry.errors import InvalidRequest
from serving.exchange import Array, ArrayOutput, JsonOutput, Output, TableOutput, TensorsOutput
from serving.protocols.limits import Limits
from serving.protocols.media import OCTETS, sniffed
from serving.protocols.request import Encoded
from serving.values import value

PNG, JPEG = "image/png", "image/jpeg"
ANSWERED = (PNG, JPEG, "image/webp", "image/gif", "image/bmp", "image/tiff", OCTETS)
"""What may be asked for, in the order of preference where the caller has none."""
JPEG_SIDE = 65_500
JPEG_QUALITY = 90
PNG_LEVEL = 1
"""Of zlib's levels, the quickest: 6 takes twice as long for a drawing, and gains nothing for noise."""

# A browser must not take a model's bytes for a page.
_AS_SAID = b"x-content-type-options: nosniff\r\n"


@value
class MediaWish:
    """What is accepted beside text: media types, the best first; and what the answer is where the model gives none of
    them: nothing, where that is None."""

    kinds: tuple[str, ...]
    otherwise: str | None


def encode_media(output: Output, wish: MediaWish, limits: Limits) -> Encoded | None:
    """Write an answer as one of ``wish.kinds``; None where it is none of them and ``wish.otherwise`` is to be written.

    Raises InvalidRequest ``not_acceptable``.
    """
    raw = _bytes_of(output)
    encoded, why = _raw(raw, wish) if raw is not None else _drawn(output, wish, limits)
    if encoded is None and wish.otherwise is None:
        message = f"{why}; accept application/json for answers of any kind"
        raise InvalidRequest("not_acceptable", message, {"supported": ["application/json"]})
    return encoded


def _raw(raw: bytes, wish: MediaWish) -> tuple[Encoded | None, str]:
    found = sniffed(raw)
    for kind in wish.kinds:
        if kind in (found, OCTETS):
            return Encoded(kind, raw, _AS_SAID), ""
    what = "bytes that are no image of a known type" if found is None else found
    return None, f"the model answered {what}, which is not accepted here ({OCTETS} would be)"


def _bytes_of(output: Output) -> bytes | None:
    """Return the one bytes value that an answer is."""
    if isinstance(output, JsonOutput):
        return output.raw[0] if len(output.raw) == 1 else None
    arrays = _arrays_of(output)
    if len(arrays) != 1 or arrays[0].size != 1 or arrays[0].dtype.kind not in "OS":
        return None
    cell = arrays[0].reshape(-1)[0]
    return bytes(cell) if isinstance(cell, bytes | bytearray) else None


def _arrays_of(output: ArrayOutput | TableOutput | TensorsOutput) -> tuple[Array, ...]:
    if isinstance(output, ArrayOutput):
        return (output.array,)
    return output.table.arrays if isinstance(output, TableOutput) else tuple(output.arrays.values())


def _drawn(output: Output, wish: MediaWish, limits: Limits) -> tuple[Encoded | None, str]:
    arrays = () if isinstance(output, JsonOutput | TableOutput) else _arrays_of(output)
    if len(arrays) != 1:
        return None, "the model answered neither bytes nor one array of pixels"
    array = arrays[0]
    described = f"the model answered an array of {array.dtype} and shape {list(array.shape)}"
    pixels = _pixels(array)
    if pixels is None:
        return None, f"{described}; an image is one array of uint8 and shape (H, W), (H, W, 1, 3 or 4), or (1, H, W, …)"
    if pixels.size > limits.values:
        return None, f"{described}; an image has at most {limits.values:,} values"
    for kind in wish.kinds:
        if kind == PNG or (kind == JPEG and pixels.shape[2:] != (4,) and max(pixels.shape) <= JPEG_SIDE):
            return Encoded(kind, _write(pixels, kind), _AS_SAID), ""
    return None, f"{described}, which is written as {PNG}, and as {JPEG} if it has no transparency"


def _pixels(array: Array) -> Array | None:
    """Return an array as (H, W) or (H, W, 3 | 4); None where it is no single picture."""
    if array.dtype != np.uint8 or not array.size:
        return None
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
        grey = False
    else:
        grey = array.ndim == 2 or (array.ndim == 3 and len(array) == 1 and array.shape[2] not in (1, 3, 4))
    if grey:
        return array.reshape(array.shape[-2:])
    if array.ndim != 3:
        return None
    if array.shape[2] not in (1, 3, 4):
        if array.shape[0] not in (1, 3, 4):
            return None
        array = array.transpose(1, 2, 0)
    return array[:, :, 0] if array.shape[2] == 1 else array


def _write(pixels: Array, kind: str) -> bytes:
    from PIL import Image  # loaded on first use, which most nodes never come to

    sink = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if kind == PNG:
        image.save(sink, "PNG", compress_level=PNG_LEVEL)
    else:
        image.save(sink, "JPEG", quality=JPEG_QUALITY)
    return sink.getvalue()
