"""How values and tables are shown: widths, times, digests, counts, JSON."""

from __future__ import annotations

import json

import pytest
from headgate.cli import show
from headgate.cli.widths import fit
from headgate.records import Model, Version
from hypothesis import given
from hypothesis import strategies as st

COLUMN = st.tuples(st.integers(1, 200), st.integers(1, 200)).map(lambda pair: (max(pair), min(pair)))


@given(st.lists(COLUMN, min_size=1, max_size=9), st.integers(1, 300), st.booleans())
def test_widths_fit_where_they_can(columns: list[tuple[int, int]], room: int, breakable: bool) -> None:
    """Columns fit the room if their longest words do, use all of it then, and break a word only to fit."""
    natural, words = [c[0] for c in columns], [c[1] for c in columns]
    widths = fit(natural, words, room, breakable=breakable)
    assert all(1 <= width <= most for width, most in zip(widths, natural, strict=True))
    if sum(natural) <= room:
        assert widths == natural
    elif sum(words) <= room:
        assert sum(widths) == room
        assert all(width >= word for width, word in zip(widths, words, strict=True))
    elif not breakable:
        assert widths == words


def test_the_widest_gives_way_first() -> None:
    """A long text is wrapped before a short column is touched."""
    assert fit([7, 8, 100], [7, 8, 12], 60, breakable=True) == [7, 8, 45]
    assert fit([90, 100, 10], [5, 5, 5], 110, breakable=True) == [50, 50, 10]
    assert fit([10, 300], [10, 300], 100, breakable=True) == [10, 90]


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-11-20T06:41:59.123Z", "2026-11-20 06:41"),
        ("2026-11-20T08:41:00+02:00", "2026-11-20 06:41"),
        ("2026-11-20T06:41:00", "2026-11-20 06:41"),
        ("soon", "soon"),
        (None, None),
    ],
)
def test_times_are_short_and_in_utc(at: str | None, shown: str | None) -> None:
    """A time is told to the minute, in UTC."""
    assert show.moment(at) == shown


def test_a_time_alone_tells_its_zone() -> None:
    """Where no heading says it, the zone stands beside the time."""
    assert show.moment("2026-11-20T06:41:59.123Z", zone=True) == "2026-11-20 06:41 UTC"


def test_digests_are_short() -> None:
    """A digest shows as much as tells artifacts apart."""
    assert show.short_digest("sha256:" + "0123456789abcdef" * 4) == "sha256:0123456789ab…"
    assert show.short_digest("0123456789abcdef") == "0123456789ab…"
    assert show.short_digest("sha256:12") == "sha256:12"
    assert show.short_digest(None) is None


@pytest.mark.parametrize(("count", "shown"), [(4, "4, 1 retired"), (9, "9")])
def test_a_count_explains_retired_versions(count: int, shown: str) -> None:
    """Where all versions are at hand, those that are retired are told; otherwise nobody can know."""
    states = ("ready", "retired", "ready", "rejected")
    versions = tuple(Version("churn", str(i), state) for i, state in enumerate(states, 1))
    assert show.counted(Model("churn", {}, None, 0, count, versions)) == shown


def test_json_prints_real_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """Letters of any script go out as they are; what could steer a terminal goes out as an escape, and reads back."""
    value = {"größe": "日本 ✓", "odd": "\x1b[31m\x9b\u2028\udcff\n"}
    show.print_json(value)
    out = capsys.readouterr().out
    assert "größe" in out and "日本 ✓" in out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert json.loads(out) == value


def test_a_pipe_gets_lines_of_120_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal long text is wrapped at 120 columns, and a word that is longer stays whole."""
    show.print_table(("check", "found"), [("a", "word " * 100)])
    assert max(len(line.rstrip()) for line in capsys.readouterr().out.splitlines()) <= 120
    show.print_table(("check", "found"), [("a", "x" * 300)])
    assert "x" * 300 in capsys.readouterr().out


def test_long_facts_go_on_below_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    """A long list is wrapped between words, under its own beginning."""
    show.print_facts({"requirements": [f"library-{i}==1.2.3" for i in range(20)], "user": "ann", "empty": ()})
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 120 and "  " not in line[14:] for line in lines)
    assert [line[:14].strip() for line in lines] == ["requirements", *[""] * (len(lines) - 2), "user"]
