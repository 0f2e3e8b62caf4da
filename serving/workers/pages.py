"""Several workers' metrics as one page: each series with the worker it is from. Pure.

Series are not added up: a worker that is started anew begins at zero, which Prometheus understands of a series of its
own and not of a sum. Not here: how the pages come (``siblings.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

LABEL = "worker"


def join_pages(pages: Mapping[int, bytes]) -> bytes:
    """Return one page in Prometheus' text format of several, by the workers' numbers."""
    heads: dict[bytes, list[bytes]] = {}
    samples: dict[bytes, list[bytes]] = {}
    for number in sorted(pages):
        label = b'%s="%d"' % (LABEL.encode(), number)
        name = b""
        for line in pages[number].splitlines():
            if line.startswith(b"# HELP "):
                name = line.split(b" ", 3)[2]
                if name not in heads:
                    heads[name], samples[name] = [line], []
            elif line.startswith(b"# TYPE "):
                if len(heads[name]) == 1:
                    heads[name].append(line)
            elif line:
                samples[name].append(_labelled(line, label))
    lines = [line for name, head in heads.items() for line in (*head, *samples[name])]
    return b"\n".join(lines) + b"\n"


def _labelled(line: bytes, label: bytes) -> bytes:
    brace, blank = line.find(b"{"), line.find(b" ")
    if 0 <= brace < blank:
        return b"%b{%b,%b" % (line[:brace], label, line[brace + 1 :])
    return b"%b{%b}%b" % (line[:blank], label, line[blank:])
