"""When an inline graph runs on the loop, when beside it, and how large work is cut into pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import HeadgateError
from registry.graphs.fit import GRAPH_FILE
from registry.records import Digest, VersionNumber
from registry.snapshots import ServableVersion
from serving.exchange import Call, Output, TensorInput, TensorsOutput
from serving.runtimes.inline import engine as engine_module
from serving.runtimes.inline.engine import InlineEngine
from serving.runtimes.inline.probe import Verdict
from serving.runtimes.inline.runtime import _batches
from serving.runtimes.inline.session import Session
from tests.support.lanes import telling
from tests.support.onnx_models import dense

QUICK = Verdict("", 1, 1e-6, 1e-7, 64, 8, (0, 1, None), takes_rows=True)
SLOW = replace(QUICK, base_seconds=0.01)


class Doubling:
    """A session that answers each row doubled, the same lying down, and a constant; and notes how it was run."""

    outputs = ("y", "z", "c")

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.on_loop: list[bool] = []
        self.error: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def feeds(self, call: Call) -> dict[str, Any]:
        """Return the array."""
        return {"x": cast("TensorInput", call.data).array}

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        """Answer."""
        self.runs.append(len(feeds["x"]))
        self.on_loop.append(current_thread() is main_thread())
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return [feeds["x"] * 2, feeds["x"].T * 2, np.array([7])]

    def output(self, call: Call, results: list[Any]) -> TensorsOutput:
        """Name the answers."""
        return TensorsOutput(dict(zip(self.outputs, results, strict=True)))


class Scene:
    """An engine around such a session."""

    def __init__(self, verdict: Verdict) -> None:
        self.session = Doubling()
        self.threads = ThreadPoolExecutor(1)
        self.engine = InlineEngine(cast("Session", self.session), verdict, self.threads)

    async def ask(self, rows: int, seconds: float = 5.0) -> Any:
        """Return the answer's arrays."""
        array = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
        return cast("TensorsOutput", await self.start(array, seconds)).arrays

    def start(self, array: Any, seconds: float = 5.0) -> asyncio.Future[Output]:
        """Run, and return the answer to come."""
        answer: asyncio.Future[Output] = asyncio.get_running_loop().create_future()
        try:
            self.engine.run(Call(TensorInput(array)), seconds, telling(answer))
        except HeadgateError as error:
            answer.set_exception(error)
        return answer


def run(verdict: Verdict, story: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """Tell a story on a loop of its own."""

    async def tell() -> None:
        scene = Scene(verdict)
        try:
            await story(scene)
        finally:
            scene.threads.shutdown()

    asyncio.run(tell())


def test_quick_run_is_over_at_once() -> None:
    """What is expected to be quick runs where it is, without a turn of the loop."""

    async def story(scene: Scene) -> None:
        future = scene.start(np.ones((3, 2), np.float32))
        assert future.done()
        assert scene.session.on_loop == [True]

    run(QUICK, story)


def test_long_run_leaves_the_loop() -> None:
    """What is expected to take longer than a millisecond runs on a thread."""

    async def story(scene: Scene) -> None:
        assert (await scene.ask(3))["y"].tolist() == [[0, 2], [4, 6], [8, 10]]
        assert scene.session.on_loop == [False]

    run(SLOW, story)


def test_engine_learns_what_runs_really_take() -> None:
    """A graph that turns out slower than its probe leaves the loop after some runs."""

    async def story(scene: Scene) -> None:
        before = scene.engine.expected_seconds(1)
        for _ in range(50):
            scene.engine._learn(1, 0.01)
        assert before < 1e-5
        assert scene.engine.expected_seconds(1) > engine_module.LOOP_SECONDS
        await scene.ask(1)
        assert scene.session.on_loop == [False]

    run(QUICK, story)


def test_one_outlier_changes_little() -> None:
    """A run during which the machine did something else does not send everything to threads."""

    async def story(scene: Scene) -> None:
        scene.engine._learn(1, 10.0)
        assert scene.engine.expected_seconds(1) < 1e-5

    run(QUICK, story)


@given(st.integers(1, 400), st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_pieces_add_up_to_the_whole(rows: int, most: int) -> None:
    """However large the pieces, the answer is that of one run, and no piece is larger than allowed."""

    async def story(scene: Scene) -> None:
        answer = await scene.ask(rows)
        whole = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) * 2
        assert answer["y"].tolist() == whole.tolist()
        assert answer["z"].tolist() == whole.T.tolist()
        assert answer["c"].tolist() == [7]
        assert max(scene.session.runs) <= most
        assert sum(scene.session.runs) == rows

    run(replace(SLOW, row_bytes=engine_module.PIECE_BYTES // most), story)


def test_graph_of_a_fixed_number_of_rows_is_never_cut() -> None:
    """Where rows are not the first axis of every input, all is run at once."""

    async def story(scene: Scene) -> None:
        await scene.ask(300)
        assert scene.session.runs == [300]

    run(replace(SLOW, row_bytes=engine_module.PIECE_BYTES, takes_rows=False), story)


def test_pieces_stop_when_nobody_waits_any_more() -> None:
    """Once the time of the most patient caller is over, no further piece is run."""

    async def story(scene: Scene) -> None:
        with pytest.raises(HeadgateError) as caught:
            await scene.ask(300, seconds=0.0)
        assert caught.value.code == "model_timeout"
        assert scene.session.runs == []

    run(replace(SLOW, row_bytes=engine_module.PIECE_BYTES), story)


@pytest.mark.parametrize("verdict", [QUICK, SLOW])
def test_what_a_graph_raises_is_the_answer(verdict: Verdict) -> None:
    """On the loop or beside it, an error is the model's, with its type and without folders."""

    async def story(scene: Scene) -> None:
        scene.session.error = ValueError("no such thing: /srv/models/x/model.onnx")
        with pytest.raises(HeadgateError) as caught:
            await scene.ask(1)
        assert caught.value.code == "model_error"
        assert caught.value.message == "the model raised: ValueError: no such thing: model.onnx"

    run(verdict, story)


def test_answer_that_would_be_too_large_is_refused_before_it_is_made() -> None:
    """The memory of an answer is known from its rows."""

    async def story(scene: Scene) -> None:
        with pytest.raises(HeadgateError) as caught:
            await scene.ask(3)
        assert caught.value.code == "model_output_invalid"
        assert scene.session.runs == []

    run(replace(QUICK, answer_bytes=200 << 20), story)


def test_unloaded_engine_runs_nothing() -> None:
    """A batch that comes too late is refused; one under way is finished."""

    async def story(scene: Scene) -> None:
        scene.session.meanwhile = scene.engine.close
        assert (await scene.ask(1))["c"].tolist() == [7]
        assert not scene.engine.alive
        with pytest.raises(HeadgateError, match="unloaded"):
            await scene.ask(1)

    run(QUICK, story)


@given(
    st.builds(
        Verdict,
        reason=st.text(max_size=20),
        memory_bytes=st.integers(0, 1 << 40),
        base_seconds=st.floats(0, 10),
        row_axes=st.lists(st.none() | st.integers(0, 3), max_size=3).map(tuple),
        maps=st.booleans(),
    )
)
def test_verdict_survives_the_disk(verdict: Verdict) -> None:
    """What is written is what is read."""
    assert Verdict.from_json(json.loads(json.dumps(asdict(verdict)))) == verdict


@pytest.mark.parametrize("raw", [{}, {"reason": 1, "row_axes": []}, {"reason": "", "row_axes": [], "more": 1},
                                 {"reason": "", "row_axes": [], "row_seconds": float("nan")}])  # fmt: skip
def test_damaged_verdict_is_none(raw: dict[str, Any]) -> None:
    """Anything else on disk, or from a probe, is refused."""
    with pytest.raises((TypeError, ValueError, KeyError)):
        Verdict.from_json(raw)


@pytest.mark.parametrize(
    ("kind", "verdict", "batches"),
    [
        ("double", replace(QUICK, row_axes=(0,), one_a_row=True, maps=True), True),
        ("double", replace(QUICK, row_axes=(0,)), False),
        ("double", replace(QUICK, row_axes=(0,), one_a_row=True, takes_rows=False), False),
        ("tensor", replace(QUICK, row_axes=(0,)), True),
        ("tensor", replace(QUICK, row_axes=(0, None)), False),
        ("tensor", replace(QUICK, row_axes=(0,), maps=True), False),
        (None, replace(QUICK, row_axes=(0, 0)), True),
        (None, replace(QUICK, row_axes=(1,)), False),
    ],
)
def test_requests_share_a_run_only_where_the_answer_can_be_shared_out(
    kind: str | None, verdict: Verdict, batches: bool
) -> None:
    """Tables need one value a row, tensors one line a row, and the graph must take any number of rows."""
    signature = None if kind is None else {"inputs": [{"type": kind}]}
    version = ServableVersion(VersionNumber("1"), Digest("sha256:" + "0" * 64), 1, "inline", signature)
    assert _batches(version, verdict) is batches


def test_numbers_that_lie_anywhere_in_a_body_are_moved_before_a_graph_sees_them(tmp_path: Path) -> None:
    """Kernels count on the alignment of their type; the answer is that of the same numbers elsewhere."""
    (tmp_path / GRAPH_FILE).write_bytes(dense(4, 3, 2))
    session = Session(tmp_path)
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    unaligned = np.frombuffer(b"#" + rows.tobytes(), "<f4", offset=1).reshape(2, 4)
    assert not unaligned.flags.aligned
    fed = session.feeds(Call(TensorInput(unaligned)))["x"]
    assert fed.flags.aligned
    assert np.array_equal(session.run({"x": fed})[0], session.run({"x": rows})[0])


def test_module_that_probes_imports_nothing_heavy() -> None:
    """The probe's module is read by the node too, which must not import onnxruntime for it."""
    source = Path(engine_module.__file__).with_name("probe.py").read_text()
    assert "\nimport onnxruntime" not in source
