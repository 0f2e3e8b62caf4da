"""Several workers' metrics as one page: each series with the worker it is from. Pure.

Series are not added up: a worker that is started anew begins at zero, which Prometheus understands of a series of its
own and not of a sum; and of some (ages, revisions) a sum would say nothing. What each is to be joined by, the catalogue
says. Not here: how the pages come (``siblings.py``).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping

LABEL = "worker"
_HEAD = b"# HELP "
_SAMPLES = {b"histogram": (b"_bucket", b"_count", b"_sum"), b"summary": (b"", b"_count", b"_sum")}
"""What samples add to their family's name, by its type. A page of a thousand versions has 100,000 lines: they are not
taken one by one."""


def packed(page: bytes) -> str:
    """Return a page as workers send it to one another: ten megabytes of it would hold both their loops up."""
    return base64.b64encode(zlib.compress(page, 1)).decode()


def unpacked(text: str) -> bytes:
    """Return the page that ``packed`` was given."""
    return zlib.decompress(base64.b64decode(text))


def join_pages(pages: Mapping[int, bytes]) -> bytes:
    """Return one page in Prometheus' text format of several, by the workers' numbers."""
    heads: dict[bytes, bytes] = {}
    samples: dict[bytes, list[bytes]] = {}
    for number in sorted(pages):
        label = b'%s="%d"' % (LABEL.encode(), number)
        for name, head, lines in _families(pages[number]):
            heads.setdefault(name, head)
            begins = [name + suffix for suffix in _SAMPLES.get(head.rstrip().rpartition(b" ")[2], (b"",))]
            samples.setdefault(name, []).append(_labelled(begins, lines, label))
    return b"".join(part for name, head in heads.items() for part in (head, *samples[name]))


def _families(page: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield name, head and samples of each family; a line ends nowhere but at its end, for values are escaped."""
    for part in (b"\n" + page).split(b"\n" + _HEAD)[1:]:
        help_, _, rest = part.partition(b"\n")
        type_, _, lines = rest.partition(b"\n")
        lines = lines.strip(b"\n")
        yield help_.split(b" ", 1)[0], _HEAD + help_ + b"\n" + type_ + b"\n", lines + b"\n" if lines else b""


def _labelled(begins: list[bytes], lines: bytes, label: bytes) -> bytes:
    """Give every line one more label, its first."""
    lines = b"\n" + lines
    for begin in begins:
        lines = lines.replace(b"\n%b{" % begin, b"\n%b{%b," % (begin, label))
        lines = lines.replace(b"\n%b " % begin, b"\n%b{%b} " % (begin, label))
    return lines[1:]
