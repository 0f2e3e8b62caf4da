"""Pictures and forms, small ones and ones made to hurt."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.protocols.images import FORMATS

EXACT = ("image/png", "image/bmp", "image/tiff")
"""Those that keep every value of an RGB picture."""
BOUNDARY = "a boundary of 1"


def pixels(height: int = 8, width: int = 8, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Return noise, the same each time."""
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)


def drawn(array: npt.NDArray[Any], media: str = "image/png", **options: Any) -> bytes:
    """Write pixels (height, width[, channels]) as a picture."""
    sink = io.BytesIO()
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    Image.fromarray(flat).save(sink, FORMATS[media], **options)
    return sink.getvalue()


def opened(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def huge_png(width: int = 50_000, height: int = 50_000) -> bytes:
    """Return a few kilobytes that claim to be so many pixels, and hold a million of them."""
    rows = zlib.compress(bytes(1_000_000))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def huge_webp(width: int = 16_383, height: int = 16_383) -> bytes:
    """Return a few bytes that claim to be an animation on a canvas of so many pixels."""
    canvas = b"\x02\x00\x00\x00" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = drawn(pixels(), "image/webp", lossless=True)[12:]
    shown = bytes(6) + (7).to_bytes(3, "little") * 2 + bytes(4) + frame
    chunks = _riff(b"VP8X", canvas) + _riff(b"ANIM", bytes(6)) + _riff(b"ANMF", shown)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def form(parts: Mapping[str, bytes | tuple[str, bytes]], boundary: str = BOUNDARY) -> tuple[str, bytes]:
    """Return the content type and the body of a form; a part may have a content type."""
    pieces = []
    for name, part in parts.items():
        media, data = part if isinstance(part, tuple) else ("", part)
        kind = f"content-type: {media}\r\n" if media else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="../../x"\r\n{kind}\r\n'
        pieces += [head.encode(), data, b"\r\n"]
    return f'multipart/form-data; boundary="{boundary}"', b"".join([*pieces, f"--{boundary}--\r\n".encode()])
