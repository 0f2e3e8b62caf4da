"""The promises and their table, and the peers' pins."""

from __future__ import annotations

import math
from array import array
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.bench.load import Load
from tests.bench.peers.__main__ import PEERS
from tests.bench.promises import PROMISES, Promise, missed, table
from tests.bench.report import BEGIN, END, replaced
from tests.bench.speed import spread, summarize

AT_MOST, AT_LEAST = Promise("slow_ms", 60, "ms"), Promise("ratio", 0.9, "×", at_least=True)
PINS = sorted((Path(__file__).parent / "peers").glob("*.txt"))


@pytest.mark.parametrize(
    ("value", "kept"), [(59.9, True), (60, True), (60.1, False), (math.inf, False), (math.nan, False)]
)
def test_at_most_holds_up_to_its_bound(value: float, kept: bool) -> None:
    """The bound itself is kept; nothing beyond it is, nor what was never measured."""
    assert AT_MOST.kept(value) is kept


@pytest.mark.parametrize(("value", "kept"), [(0.91, True), (0.9, True), (0.8999, False), (math.nan, False)])
def test_at_least_holds_from_its_bound(value: float, kept: bool) -> None:
    """The bound itself is kept; nothing below it is."""
    assert AT_LEAST.kept(value) is kept


def test_the_table_says_kept_and_missed() -> None:
    """Each promised figure has its bound and its verdict; others are shown without either, or not at all."""
    figures = {"slow_ms": 61.0, "ratio": 1.0, "other": 3.0}
    lines = list(table(figures, (AT_MOST, AT_LEAST)))[1:]
    assert [line.split()[-1] for line in lines] == ["MISSED", "kept", "3.00"]
    assert len(list(table(figures, (AT_MOST, AT_LEAST), everything=False))) == 3
    assert missed(figures, (AT_MOST, AT_LEAST)) == ["slow_ms"]


def test_each_figure_is_promised_once() -> None:
    """No figure has two bounds."""
    assert len({promise.figure for promise in PROMISES}) == len(PROMISES)


def test_a_ratio_is_the_median_of_its_rounds() -> None:
    """Rounds are compared pair by pair, so that noise which hits both falls out."""

    def load(rate: float) -> Load:
        return Load(1 / rate, array("d", [0.001]))

    found = {("handler", 32): [load(r) for r in (100, 10, 50)], ("inline", 32): [load(r) for r in (90, 12, 50)]}
    assert summarize(found)["inline_over_handler_32"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_has_its_pins(name: str) -> None:
    """Each peer's environment has its requirements, and they pin the scikit-learn that the platform has."""
    peer = import_module(f"tests.bench.peers.{name}").PEER
    pins = (Path(__file__).parent / "peers" / f"{peer.environment}.txt").read_text()
    assert peer.name == name
    assert f"scikit-learn=={version('scikit-learn')}\n" in pins


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.stem)
def test_pins_name_no_registry(pins: Path) -> None:
    """Every line is a name and a version, and nothing says where from."""
    for line in pins.read_text().splitlines():
        assert line.count("==") == 1, line
        assert "://" not in line, line


def test_the_spread_shows_a_noisy_machine() -> None:
    """Rounds that agree have none; one that took twice as long shows."""
    assert spread([100.0, 100.0, 100.0]) == 0
    assert spread([100.0, 50.0, 100.0]) == 0.5


def test_the_page_keeps_all_but_its_tables() -> None:
    """New tables replace the old ones, twice over, and nothing around them."""
    page = f"before\n{BEGIN}old\n{END}after\n"
    once = replaced(page, "new\n")
    assert once == f"before\n{BEGIN}\nnew\n\n{END}after\n"
    assert replaced(once, "new\n") == once
