"""A graph in the serving process answers as it does in a process of its own, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import HeadgateError
from registry.graphs.judge import judge
from registry.records import Digest
from serving.exchange import Call, Input, Table, TensorInput, TensorsInput
from serving.ports import LoadedVersion
from serving.protocols.answer import encode_answer
from serving.protocols.limits import Limits
from serving.runtimes.choice import ChosenRuntime
from serving.runtimes.inline.runtime import InlineRuntime, InlineVersion, NotInline
from tests.integration.runtimes.conftest import Hosts
from tests.support.models import servable
from tests.support.onnx_models import GRAPHS, SavedGraphs, dense, graph, node, saved_graphs, weight

__all__ = ["saved_graphs"]

pytestmark = pytest.mark.integration
LIMITS = Limits(depth=64, values=10_000_000, response_bytes=1 << 28)


@pytest.fixture(scope="module")
def inline(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InlineRuntime]:
    """A runtime on the hosts' loop."""

    async def make() -> InlineRuntime:
        return InlineRuntime(tmp_path_factory.mktemp("verdicts"))

    runtime = hosts.run(make())
    yield runtime
    hosts.run(runtime.close())


def inputs(kind: str, width: int, rows: int) -> Input:
    """Return made-up rows, as 64-bit columns or as the arrays that a graph takes."""
    values = np.random.default_rng(rows).normal(size=(rows, width))
    if kind == "columns":
        return Table(tuple(f"x{i}" for i in range(width)), tuple(values[:, i].copy() for i in range(width)))
    if kind == "tensors":
        return TensorInput(values.astype(np.float32))
    return TensorsInput({"x": values, "X": values})


async def answer(loaded: LoadedVersion, data: Input) -> bytes:
    """Return the JSON that a caller gets, or the error."""
    try:
        output = await loaded.predict(Call(data), 20)
    except HeadgateError as error:
        return f"{error.code}: {error.message}".encode()
    return encode_answer(output, "application/json", model="m", version="1", request_id="r", limits=LIMITS).body


@pytest.mark.parametrize("kind", ["unsigned", "tensors", "columns"])
@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_a_graph_answers_byte_for_byte_as_a_host_does(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, name: str, kind: str
) -> None:
    """The same rows give the same JSON, or the same error, whatever the signature."""
    saved = saved_graphs.get(name, kind)
    wide = 20 if name == "dense" else 4

    async def compare() -> None:
        here = await inline.load(saved.version, saved.directory)
        host = await hosts.runtime.load(saved.version, saved.directory, 60)
        try:
            assert here.graph_inputs == host.graph_inputs
            assert here.graph_outputs == host.graph_outputs
            for rows in (1, 2, 33):
                data = inputs(kind, wide, rows)
                if isinstance(data, TensorsInput):
                    taken = host.graph_inputs
                    assert taken is not None
                    data = TensorsInput({str(t.name): data.arrays[str(t.name)] for t in taken.tensors})
                said = await answer(here, data)
                assert said == await answer(host, data)
                assert said.startswith(b'{"predictions"')
            if kind == "unsigned":  # signed inputs are enforced before they come here
                narrow = TensorsInput({n: a[:, 1:] for n, a in data.arrays.items()})  # type: ignore[union-attr]  # see above
                for odd in (narrow, TensorsInput({"z": np.zeros((1, 4))})):
                    assert await answer(here, odd) == await answer(host, odd)
        finally:
            await here.close()
            await host.close()

    hosts.run(compare())


@pytest.mark.parametrize("name", ["forest", "boosted_words"])
def test_labels_and_probabilities_come_by_name_for_columns_as_for_tensors(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, name: str
) -> None:
    """What no table can hold, at which MLflow raises, is answered as to the same rows in one tensor."""

    async def both(rows: int) -> list[bytes]:
        found = []
        for kind in ("columns", "tensors"):
            saved = saved_graphs.get(name, kind)
            loaded = await inline.load(saved.version, saved.directory)
            found.append(await answer(loaded, inputs(kind, 4, rows)))
            await loaded.close()
        return found

    for rows in (1, 2, 300):
        columns, tensors = hosts.run(both(rows))
        assert columns == tensors
        predictions = json.loads(columns)["predictions"]
        assert list(predictions) == ["label", "probabilities"]
        assert [len(predictions["label"]), len(predictions["probabilities"])] == [rows, rows]


def test_what_fits_a_table_is_one_whatever_was_answered_before(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, tmp_path: Path
) -> None:
    """A graph that answers one number a row beside three in all is MLflow's table for three rows, and only for them."""
    nodes = [node("Gemm", ["x", "w"], ["y"]), node("Identity", ["c"], ["z"])]
    made = graph(nodes, [weight("w", np.ones((4, 1), np.float32)), weight("c", np.arange(3.0))], answers=("y", "z"))
    saved_graphs.save(tmp_path / "made", made, "columns")
    version = replace(servable(tmp_path / "made"), runtime="inline")

    async def compare() -> list[type]:
        here = await inline.load(version, tmp_path / "made")
        host = await hosts.runtime.load(version, tmp_path / "made", 60)
        kinds = []
        for rows in (3, 2, 3, 1):
            data = inputs("columns", 4, rows)
            said = await answer(here, data)
            assert said == await answer(host, data)
            kinds.append(type(json.loads(said)["predictions"]))
        await here.close()
        await host.close()
        return kinds

    assert hosts.run(compare()) == [list, dict, list, dict]


def test_requests_that_share_a_run_get_their_own_answers(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs
) -> None:
    """A hundred at once, of one to five rows, are answered with their own rows."""
    saved = saved_graphs.get("forest_regressor", "columns")

    async def crowd() -> None:
        loaded = await inline.load(saved.version, saved.directory)
        calls = [Call(inputs("columns", 4, 1 + i % 5)) for i in range(100)]
        alone: list[Any] = [await loaded.predict(call, 20) for call in calls]
        assert loaded.lane.batching
        assert await asyncio.gather(*(loaded.predict(call, 20) for call in calls)) is not None
        together: list[Any] = await asyncio.gather(*(loaded.predict(call, 20) for call in calls))
        for one, other in zip(alone, together, strict=True):
            assert one.table.arrays[0].tolist() == other.table.arrays[0].tolist()
        await loaded.close()

    hosts.run(crowd())


def test_large_inputs_leave_the_loop_turning(hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs) -> None:
    """A request that takes long runs in pieces beside the loop, and answers as one run does."""
    saved = saved_graphs.get("forest", "tensors")

    async def run() -> None:
        loaded = await inline.load(saved.version, saved.directory)
        array = np.random.default_rng(1).normal(size=(200_000, 4)).astype(np.float32)
        turns = 0
        task = asyncio.ensure_future(loaded.predict(Call(TensorInput(array)), 60))
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 100
        output: Any = task.result()
        one: Any = await loaded.predict(Call(TensorInput(array[150_000:150_001])), 20)
        for name, values in output.arrays.items():
            assert len(values) == 200_000
            assert values[150_000:150_001].tolist() == one.arrays[name].tolist()
        await loaded.close()

    hosts.run(run())


def test_a_hundred_loads_leave_no_memory_behind(hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs) -> None:
    """After loading, answering and unloading again and again the process is as large as after the first times."""
    saved = saved_graphs.get("forest", "tensors")
    array = np.zeros((512, 4), np.float32)

    async def cycle() -> None:
        loaded = await inline.load(saved.version, saved.directory)
        await loaded.predict(Call(TensorInput(array)), 20)
        await loaded.close()

    async def cycles(count: int) -> int:
        for _ in range(count):
            await cycle()
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = hosts.run(cycles(10))
    assert hosts.run(cycles(100)) - before < 4 << 20


def test_memory_is_measured_by_the_probe(hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs) -> None:
    """A loaded version says what its session costs, and keeps saying so."""
    saved = saved_graphs.get("forest")

    async def measure() -> None:
        loaded = await inline.load(saved.version, saved.directory)
        assert 0 < loaded.memory_bytes < 30 << 20
        assert await loaded.measure() == loaded.memory_bytes
        assert loaded.last_output == ""
        await loaded.close()

    hosts.run(measure())


def test_an_unloaded_version_is_dead_and_says_so(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs
) -> None:
    """Whoever wants to know hears of the end, once; later requests are refused as a dead host refuses them."""
    saved = saved_graphs.get("linear")

    async def end() -> None:
        loaded = await inline.load(saved.version, saved.directory)
        told: list[str] = []
        loaded.when_dead(lambda: told.append("first"))
        lived = loaded.alive
        await loaded.close()
        await loaded.close()
        await asyncio.sleep(0)
        assert told == ["first"]
        assert (lived, loaded.alive) == (True, False)
        loaded.when_dead(lambda: told.append("later"))
        await asyncio.sleep(0)
        assert told == ["first", "later"]
        with pytest.raises(HeadgateError, match="unloaded"):
            await loaded.predict(Call(inputs("unsigned", 4, 1)), 5)

    hosts.run(end())


HOSTILE = {
    "loop": graph([node("Loop", ["", "x"], ["y"])]),
    "custom": graph([node("Run", ["x"], ["y"], "com.example")], opsets={"": 18, "com.example": 1}),
    "claims": graph([node("ConstantOfShape", ["s"], ["y"])], [weight("s", np.array([145_500_000]))]),
    "unloadable": graph([node("Relu", ["x"], ["y"])], answers=["y"]).replace(b"Relu", b"Celu")[:-40],
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_what_the_registry_was_made_to_believe_counts_for_nothing(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, tmp_path: Path, name: str
) -> None:
    """A graph that is marked for inline and should not be is found out by this node's own probe."""
    version = saved_graphs.get("linear").version
    (tmp_path / "model.onnx").write_bytes(HOSTILE[name])
    marked = replace(version, digest=Digest("sha256:" + name.encode().hex().ljust(64, "0")))
    with pytest.raises(NotInline):
        hosts.run(inline.load(marked, tmp_path))


def circle() -> bytes:
    """Return a tree whose branches lead back to its root."""
    return graph([
        node("TreeEnsembleRegressor", ["x"], ["y"], "ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 0],
             nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 1, 0], nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
             nodes_values=[0.0, 0.0, 0.0], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
             target_ids=[0], target_nodeids=[2], target_treeids=[0], target_weights=[1.0]),
    ])  # fmt: skip


def test_a_graph_that_breaks_onnxruntime_breaks_the_probe_alone(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, tmp_path: Path
) -> None:
    """A tree that goes round in circles passes the list and kills, or hangs, whatever loads it: which is the probe."""
    assert judge(circle()).reason == ""
    (tmp_path / "model.onnx").write_bytes(circle())
    version = replace(saved_graphs.get("linear").version, digest=Digest("sha256:" + "9" * 64))
    with pytest.raises(NotInline, match="probe ended|cannot load|longer than"):
        hosts.run(inline.load(version, tmp_path))


def test_a_probe_that_does_not_end_is_ended(
    hosts: Hosts, saved_graphs: SavedGraphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its patience over, the node kills the probe and sends the version to a host."""
    from serving.runtimes.inline import verdicts

    saved = saved_graphs.get("linear")
    monkeypatch.setattr(verdicts, "PROBE_SECONDS", 0.01)

    async def load() -> None:
        runtime = InlineRuntime(tmp_path)
        try:
            with pytest.raises(NotInline, match="longer than"):
                await runtime.load(saved.version, saved.directory)
        finally:
            await runtime.close()

    hosts.run(load())
    assert not list(tmp_path.iterdir())


def test_a_slow_graph_gets_a_process_of_its_own(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, tmp_path: Path
) -> None:
    """A graph whose every row takes long is no neighbour for everybody else."""
    nodes = [node("MatMul", ["x" if i == 0 else f"h{i}", "w"], [f"h{i + 1}" if i < 400 else "y"]) for i in range(401)]
    heavy = graph(nodes, [weight("w", np.zeros((1024, 1024), np.float32))], takes=("N", 1024))
    (tmp_path / "model.onnx").write_bytes(heavy)
    version = replace(saved_graphs.get("linear").version, digest=Digest("sha256:" + "5" * 64))
    with pytest.raises(NotInline, match="slow|too much memory"):
        hosts.run(inline.load(version, tmp_path))


def test_a_refused_version_runs_in_a_host_and_the_log_says_why(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, caplog: pytest.LogCaptureFixture
) -> None:
    """What may not run inline is served all the same; the setting alone sends everything to hosts."""
    saved = saved_graphs.get("linear", "tensors")
    data = inputs("tensors", 4, 3)

    async def ask(runtime: ChosenRuntime, version: Any) -> tuple[bool, bytes]:
        loaded = await runtime.load(version, saved.directory, 60)
        try:
            return isinstance(loaded, InlineVersion), await answer(loaded, data)
        finally:
            await loaded.close()

    chosen, hosted = ChosenRuntime(hosts.runtime, inline), ChosenRuntime(hosts.runtime, None)
    here, first = hosts.run(ask(chosen, saved.version))
    there, second = hosts.run(ask(hosted, saved.version))
    plain, third = hosts.run(ask(chosen, replace(saved.version, runtime="host")))
    assert (here, there, plain) == (True, False, False)
    assert first == second == third
    (saved.directory / "model.onnx").rename(saved.directory / "kept.onnx")
    try:
        with caplog.at_level(logging.WARNING, "headgate"), pytest.raises(HeadgateError):
            hosts.run(ask(chosen, replace(saved.version, digest=Digest("sha256:" + "6" * 64))))
    finally:
        (saved.directory / "kept.onnx").rename(saved.directory / "model.onnx")
    assert [r.getMessage() for r in caplog.records] == ["inline_refused"]


def test_a_verdict_outlives_the_node(
    hosts: Hosts, saved_graphs: SavedGraphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that passed once is not probed again after a restart; a damaged verdict is none."""
    saved = saved_graphs.get("linear")
    probes: list[Path] = []

    async def load() -> None:
        from serving.runtimes.inline import verdicts

        probe = verdicts._probe

        async def counted(model: Path) -> Any:
            probes.append(model)
            return await probe(model)

        monkeypatch.setattr(verdicts, "_probe", counted)
        runtime = InlineRuntime(tmp_path)
        await (await runtime.load(saved.version, saved.directory)).close()
        await runtime.close()
        monkeypatch.setattr(verdicts, "_probe", probe)

    hosts.run(load())
    hosts.run(load())
    assert len(probes) == 1
    (kept,) = tmp_path.glob("*.json")
    kept.write_text(kept.read_text()[:40])
    hosts.run(load())
    assert len(probes) == 2


def test_weights_beside_the_graph_are_read(
    hosts: Hosts, inline: InlineRuntime, saved_graphs: SavedGraphs, tmp_path: Path
) -> None:
    """MLflow saves larger weights into a file of their own; such a model runs inline, and not without that file."""
    directory = tmp_path / "dense"
    saved_graphs.save(directory, dense(20, 64, 2))
    beside = list(directory.glob("*.data"))
    assert len(beside) == 1, "MLflow keeps weights elsewhere now"
    version = replace(saved_graphs.get("linear").version, digest=Digest("sha256:" + "7" * 64))
    hosts.run(hosts.run(inline.load(version, directory)).close())
    beside[0].unlink()
    with pytest.raises(NotInline, match="not there"):
        hosts.run(inline.load(replace(version, digest=Digest("sha256:" + "8" * 64)), directory))


def test_a_node_without_inline_versions_never_imports_onnxruntime() -> None:
    """The runtime's modules alone bring in no library but numpy."""
    import subprocess

    code = (
        "import sys, serving.runtimes.choice\n"
        "print([m for m in ('onnxruntime', 'onnx', 'pandas', 'mlflow') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
