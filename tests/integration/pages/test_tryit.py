"""The page of a version in a browser: it asks the model, shows the answer, and runs nothing but its own script."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from serving.sources.examples import FILE
from tests.support.browser import Page, browsing
from tests.support.bucket import Bucket
from tests.support.serving_fakes import SIGNATURE, servable, snapshot
from tests.support.serving_node import FakeWorld, listening

pytestmark = [pytest.mark.integration, pytest.mark.anyio]
EVIL = "</textarea></pre><script>alert(1)</script><img src=x onerror=alert(2)>'\""
BODY = {"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0], [3.0, 4.5]]}}
STATUS = "document.getElementById('status').textContent"
ANSWER = "document.getElementById('answer').textContent"
CTRL = 2


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio."""
    return "asyncio"


def world_of(home: Path) -> FakeWorld:
    """Return a node that knows a version with an example, and one whose names are hostile."""
    bucket = Bucket()
    digest = bucket.sealed.put({FILE: json.dumps(BODY).encode()})
    good = dataclasses.replace(servable("1", "1", SIGNATURE), digest=digest)
    columns = [{"type": "double", "name": EVIL, "required": True}]
    params = [{"name": EVIL, "type": "string", "default": EVIL, "shape": None}]
    evil = servable("2", "2", {"inputs": columns, "outputs": columns, "params": params})
    return FakeWorld(home, snapshot(versions={"1": good, "2": evil}, stable="1", revision=7), store=bucket)


def ask(page: Page, base: str) -> None:
    """Send the example by keyboard, then a wrong body, then put the example back."""
    page.open(f"{base}/models/churn/docs")
    page.value("document.getElementById('body').focus()")
    page.press("Enter", 13, CTRL)
    page.wait(f"{STATUS}.startsWith('200')")
    assert json.loads(page.value(ANSWER))["predictions"] == [3.0, 7.5]
    told = page.value("document.getElementById('told').textContent")
    assert "x-headgate-version1x-headgate-armstablex-headgate-revision7" in told

    page.value("""document.getElementById('body').value = '{"inputs": {"a": ["x"], "b": [1]}}'""")
    page.press("Tab", 9)
    page.press("Tab", 9)
    assert page.value("document.activeElement.id") == "send"
    page.press("Enter", 13, text="\r")
    page.wait(f"{STATUS}.startsWith('422')")
    assert json.loads(page.value(ANSWER))["error"]["code"] == "invalid_input"
    assert page.value("document.getElementById('status').className") == "bad"

    page.value("document.querySelector('button[type=reset]').click()")
    assert json.loads(page.value("document.getElementById('body').value")) == BODY


def look(page: Page, base: str) -> None:
    """Open the hostile version's page in every width and colour, and ask it."""
    page.open(f"{base}/models/churn/versions/2/docs")
    for width in (1200, 420, 320):
        for dark in (False, True):
            page.look(width=width, dark=dark)
            assert page.value("document.documentElement.scrollWidth") <= width, width
            ink, paper = page.value("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
            assert (sum(channels(ink)) > sum(channels(paper))) == dark
    assert page.value("[document.scripts.length, document.images.length]") == [1, 0]
    page.value("document.getElementById('send').click()")
    page.wait(f"{STATUS}.startsWith('200')")
    # What a script from outside, or one that a name smuggled in, would try.
    blocked = "fetch('http://127.0.0.2:9/').then(() => 'reached', () => 'blocked')"
    assert page.value(blocked) == "blocked"
    assert any("Content Security Policy" in said for said in page.complaints)


def channels(colour: str) -> list[int]:
    """Return red, green and blue of ``rgb(…)``."""
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


async def test_the_page_asks_the_model_and_shows_the_answer(tmp_path: Path) -> None:
    """By keyboard: the example's answer with its version, an error with its message, and the example again."""
    world = world_of(tmp_path / "home")
    async with listening(world) as port:
        with browsing(tmp_path / "profile") as page:
            await asyncio.to_thread(ask, page, f"http://127.0.0.1:{port}")
            assert page.complaints == []
            await asyncio.to_thread(look, page, f"http://127.0.0.1:{port}")
            assert not [said for said in page.complaints if "dialog" in said or "127.0.0.2" not in said]
