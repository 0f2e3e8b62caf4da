"""Images and forms made to hurt: bombs, lies, halves, files that are two things at once. Refused, in bounded memory."""

from __future__ import annotations

import contextlib
import gc
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image

from registry.errors import HeadgateError
from serving.exchange import TensorInput
from serving.protocols.images import FORMATS
from serving.protocols.limits import Limits
from serving.protocols.media import OCTETS
from serving.protocols.native import parse_body
from serving.reader.reader import ReaderBounds
from tests.support.pictures import drawn, form, huge_png, huge_webp, pixels
from tests.support.table_reader import Tables, table_reader, tables
from tests.unit.protocols.signatures import signed, tensor

__all__ = ["tables"]
pytestmark = pytest.mark.integration
ANY = signed(tensor(None, "float64", -1, -1, -1, 3))
MIB = 2**20


def huge_gif() -> bytes:
    """Return a GIF whose screen is of four thousand million pixels."""
    body = bytearray(drawn(pixels(), "image/gif"))
    body[6:10] = struct.pack("<HH", 65_535, 65_535)
    return bytes(body)


def huge_frame() -> bytes:
    """Return a GIF whose screen is small and whose only frame is not."""
    body = bytearray(drawn(pixels(8, 8, 1), "image/gif"))
    at = body.index(b"\x2c")
    body[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    return bytes(body)


def huge_bmp() -> bytes:
    """Return a BMP of four thousand million million pixels."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0)


def huge_tiff() -> bytes:
    """Return a TIFF whose lengths are as large as they can be written."""
    tags = [(256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 2**32 - 1), (279, 4, 1, 2**32 - 1)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def huge_jpeg() -> bytes:
    """Return a JPEG whose header claims the most that it can."""
    body = bytearray(drawn(pixels(), "image/jpeg"))
    at = body.index(b"\xff\xc0")
    body[at + 5 : at + 9] = struct.pack(">HH", 65_535, 65_535)
    return bytes(body)


def chatty_png() -> bytes:
    """Return a small picture with a text of a hundred megabytes, compressed."""
    text = b"zTXtComment\x00\x00" + zlib.compress(bytes(100 * MIB), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    body = drawn(pixels())
    return body[:33] + chunk + body[33:]


BOMBS = {
    "png": huge_png(), "webp": huge_webp(), "gif": huge_gif(), "frame": huge_frame(), "bmp": huge_bmp(),
    "tiff": huge_tiff(), "jpeg": huge_jpeg(), "text": chatty_png(), "sparse": huge_png(3_000_000_000, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_are_refused(tables: Tables, name: str) -> None:
    """A few kilobytes that stand for gigabytes are refused by what they would become, and no reader dies of them."""
    assert len(BOMBS[name]) < MIB
    tables.read(OCTETS, drawn(pixels()), ANY)
    before = tables.reader.pids
    error = tables.refused(OCTETS, BOMBS[name], ANY)
    assert error.code == ("invalid_input" if name == "text" else "too_many_values")
    orjson.dumps(error.details)
    assert tables.reader.pids == before


@pytest.mark.parametrize("media", sorted(FORMATS))
def test_halves_are_refused(tables: Tables, media: str) -> None:
    """A picture that is cut off anywhere is refused, or whole enough to have its size."""
    body = drawn(pixels(16, 16), media)
    for cut in range(0, len(body) - 1, max(1, len(body) // 40)):
        with contextlib.suppress(HeadgateError):
            data = tables.read(media, body[:cut], ANY).data
            assert isinstance(data, TensorInput)
            assert data.array.shape == (1, 16, 16, 3)
    assert tables.refused(media, body[:20], ANY).code == "invalid_input"


def test_what_is_two_things_is_pixels_or_nothing(tables: Tables) -> None:
    """A picture with a page, a program or an archive inside of it is its pixels; the rest goes nowhere."""
    page = b"<html><script>alert(1)</script></html>"
    picture, animation = drawn(pixels()), drawn(pixels(), "image/gif")
    for body in (picture + page, picture + b"PK\x03\x04" + bytes(100), animation + page):
        data = tables.read(OCTETS, body, ANY).data
        assert isinstance(data, TensorInput)
        assert data.array.shape == (1, 8, 8, 3)
    others = (b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04", b"\x00\x00\x01\x00", b"SIMPLE  =", b"<svg/>")
    for body in (page, *others):
        assert tables.refused(OCTETS, body + bytes(200), ANY).code == "invalid_input"
    sink = io.BytesIO()
    Image.fromarray(pixels()).save(sink, "PPM")
    assert tables.refused(OCTETS, sink.getvalue(), ANY).code == "invalid_input"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_memory_is_bounded_and_returns() -> None:
    """Each bomb and each picture a hundred times leaves nothing behind, in the node or in its reader."""
    with table_reader(ReaderBounds(restart=0)) as tables:
        # Without the text: what the allocator keeps of its megabytes goes up and down by two of them.
        bodies = [*(bomb for name, bomb in BOMBS.items() if name != "text"), drawn(pixels()), drawn(pixels())[:60]]

        def all_of_them() -> None:
            for body in bodies:
                with contextlib.suppress(HeadgateError):
                    tables.read(OCTETS, body, ANY)

        for _ in range(5):
            all_of_them()
        gc.collect()
        (pid,) = tables.reader.pids
        before = [resident("self"), resident(pid)]
        for _ in range(100):
            all_of_them()
        gc.collect()
        assert tables.reader.pids == [pid]
        grown = [resident("self") - before[0], resident(pid) - before[1]]
        print("grown by", grown, "KiB; the reader's peak was", peak(pid), "KiB")
        assert max(grown) < 1024
        assert peak(pid) < 500 * 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_the_largest_picture_costs_what_it_holds() -> None:
    """As many values as are let through, in the widest type, cost a few times their size."""
    side = int((Limits().values / 3) ** 0.5)
    body = drawn(np.zeros((side, side, 3), np.uint8))
    with table_reader(ReaderBounds(restart=0)) as tables:
        data = tables.read(OCTETS, body, ANY).data
        assert isinstance(data, TensorInput)
        (pid,) = tables.reader.pids
        print("pixels of", data.array.nbytes // MIB, "MiB; the reader's peak was", peak(pid) // 1024, "MiB")
        assert peak(pid) // 1024 < 500


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_h18_forms_leave_no_memory() -> None:
    """Ten thousand parts, headers and boundaries of megabytes, forms cut short: a hundred times each."""
    long = "multipart/form-data; boundary=" + "b" * MIB
    head = b'--x\r\nContent-Disposition: form-data; name="a"\r\ny: ' + b"z" * MIB + b"\r\n\r\n\r\n--x--\r\n"
    plain = "multipart/form-data; boundary=x"
    given = [form({f"p{at}": b"" for at in range(10_000)}), (long, b"x"), (plain, head), (plain, head[: MIB // 2]),
             (plain, b"z" * MIB + head)]  # fmt: skip

    def all_of_them() -> None:
        for kind, body in given:
            with pytest.raises(HeadgateError) as caught:
                parse_body(kind, body, Limits())
            assert caught.value.code == "invalid_argument"

    for _ in range(5):
        all_of_them()
    gc.collect()
    before = resident("self")
    for _ in range(100):
        all_of_them()
    gc.collect()
    assert resident("self") - before < 1024


def resident(process: int | str) -> int:
    """Return how much memory a process has, in KiB."""
    return _status(process, "VmRSS")


def peak(process: int | str) -> int:
    """Return the most memory that a process has had, in KiB."""
    return _status(process, "VmHWM")


def _status(process: int | str, name: str) -> int:
    return int(Path(f"/proc/{process}/status").read_text().split(f"{name}:")[1].split()[0])
