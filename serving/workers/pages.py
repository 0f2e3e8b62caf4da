"""Several workers' metrics as one page: each series with the worker it is from. Pure.

Series are not added up: a worker that is started anew begins at zero, which Prometheus understands of a series of its
own and not of a sum; and of some (ages, revisions) a sum would say nothing. What each is to be joined by, the catalogue
says. Not here: how the pages come (``siblings.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

LABEL = "worker"
_HEAD = b"# HELP "
_SAMPLES = (b"", b"_total", b"_bucket", b"_count", b"_sum", b"_info")
"""What a family's samples may add to its name. A page of a thousand versions has 100,000 lines: they are not taken one
by one."""


def join_pages(pages: Mapping[int, bytes]) -> bytes:
    """Return one page in Prometheus' text format of several, by the workers' numbers."""
    heads: dict[bytes, bytes] = {}
    samples: dict[bytes, list[bytes]] = {}
    for number in sorted(pages):
        label = b'%s="%d"' % (LABEL.encode(), number)
        for name, head, lines in _families(pages[number]):
            heads.setdefault(name, head)
            samples.setdefault(name, []).append(_labelled(name, lines, label))
    return b"".join(part for name, head in heads.items() for part in (head, *samples[name]))


def _families(page: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield name, head and samples of each family; a line ends nowhere but at its end, for values are escaped."""
    for part in (b"\n" + page).split(b"\n" + _HEAD)[1:]:
        help_, _, rest = part.partition(b"\n")
        type_, _, lines = rest.partition(b"\n")
        lines = lines.strip(b"\n")
        yield help_.split(b" ", 1)[0], _HEAD + help_ + b"\n" + type_ + b"\n", lines + b"\n" if lines else b""


def _labelled(name: bytes, lines: bytes, label: bytes) -> bytes:
    """Give every line one more label, its first."""
    lines = b"\n" + lines
    for suffix in _SAMPLES:
        begin = b"\n" + name + suffix
        lines = lines.replace(begin + b"{", begin + b"{" + label + b",")
        lines = lines.replace(begin + b" ", begin + b"{" + label + b"} ")
    return lines[1:]
