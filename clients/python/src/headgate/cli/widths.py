"""How wide each column of a table may be. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_NARROWEST = 8


def fit(natural: Sequence[int], words: Sequence[int], room: int, *, breakable: bool) -> list[int]:
    """Return column widths that sum up to at most ``room``, where that is possible without breaking a word.

    The widest column gives way first, down to its longest word. Where that is not enough and words are ``breakable``,
    they are broken in the widest columns; otherwise the table is wider than the room.

    Args:
        natural: Width of each column's longest line.
        words: Width of each column's longest word.
        room: Characters for all columns together.
        breakable: Whether a table that is too wide is worse than a broken word.
    """
    widths = _shrunk(list(natural), list(words), room)
    if breakable and sum(widths) > room:
        widths = _shrunk(widths, [min(width, _NARROWEST) for width in widths], room)
    return widths


def _shrunk(widths: list[int], floors: list[int], room: int) -> list[int]:
    """Cut all columns at one level, the highest that fits; none goes below its floor."""

    def cut(level: int) -> list[int]:
        return [max(floor, min(width, level)) for width, floor in zip(widths, floors, strict=True)]

    low, high = 0, max(widths, default=0)
    while low < high:
        level = (low + high + 1) // 2
        low, high = (level, high) if sum(cut(level)) <= room else (low, level - 1)
    fitted, left = cut(low), room - sum(cut(low))
    for i, width in enumerate(cut(low + 1)):
        if left > 0 and width > fitted[i]:
            fitted[i], left = width, left - 1
    return fitted
