"""Natural batching over real hosts: who may be joined, and that each caller gets their own answer or error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import ModelFault
from serving.exchange import ArrayOutput, Call, Output, Table
from serving.runtimes.host.version import HostedVersion
from tests.integration.runtimes.conftest import Hosts, rows
from tests.support.models import FEATURES, SavedModel, servable, training

pytestmark = pytest.mark.integration

SUM = "return model_input.sum(axis=1).to_numpy()"
BAD_ROW = """
total = model_input.sum(axis=1).to_numpy()
if (total < -1000).any():
    raise ValueError('a row that cannot be had')
return total
"""
DEADLY_ROW = """
total = model_input.sum(axis=1).to_numpy()
if (total < -1000).any():
    import os
    os._exit(5)
return total
"""
MINUS_MEAN = "x = model_input.sum(axis=1).to_numpy(); return x - x.mean()"


class Watch:
    """Remembers how many requests each batch had."""

    def __init__(self) -> None:
        self.requests: list[int] = []

    def batch(self, rows: int, requests: int) -> None:
        """Remember."""
        self.requests.append(requests)

    def ran(self, rows: int, seconds: float) -> None:
        """Do nothing."""

    def refused(self, reason: str) -> None:
        """Do nothing."""


@contextmanager
def loaded(hosts: Hosts, directory: Path) -> Iterator[tuple[HostedVersion, Watch]]:
    """Load a saved model, and watch its lane."""
    host = hosts.run(hosts.runtime.load(servable(directory), directory, 60))
    host.lane.watch = watch = Watch()
    try:
        yield host, watch
    finally:
        hosts.run(host.close())


def custom(hosts: Hosts, directory: Path, body: str, **options: Any) -> Path:
    """Save a custom model with an example of five rows."""
    hosts.models.save_custom(directory, body, **({"input_example": training()[0].head(5)} | options))
    return directory


def crowd(hosts: Hosts, host: HostedVersion, tables: Sequence[Table]) -> list[Output | BaseException]:
    """Ask for all at once."""

    async def ask() -> list[Output | BaseException]:
        return await asyncio.gather(*(host.predict(Call(t), 20) for t in tables), return_exceptions=True)

    return hosts.run(ask())


def numbers(output: Output | BaseException) -> list[float]:
    """Return the numbers of an answer."""
    assert isinstance(output, ArrayOutput), output
    return [float(v) for v in output.array]


@pytest.mark.parametrize("kind", ["linear", "forest", "xgboost", "lightgbm"])
def test_joined_requests_get_the_answers_they_get_alone(hosts: Hosts, kind: str) -> None:
    """Requests of different sizes, joined, answer as each does by itself."""
    tables = [rows(1 + i % 3, start=float(i)) for i in range(40)]
    saved: SavedModel = hosts.models.get(kind)
    with loaded(hosts, saved.directory) as (host, watch):
        assert host.batching, host.batching_reason
        alone = [numbers(hosts.predict(host, table)) for table in tables]
        watch.requests.clear()
        together = [numbers(output) for output in crowd(hosts, host, tables)]
    assert max(watch.requests) > 10
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, rtol=1e-6)


def test_a_bad_row_is_its_callers_error_alone(hosts: Hosts, tmp_path: Path) -> None:
    """Twenty are joined, one of which the model cannot have: nineteen are answered, one is told why not."""
    tables = [rows(1, start=float(i)) for i in range(20)]
    tables[7] = rows(1, start=-1e6)
    with loaded(hosts, custom(hosts, tmp_path / "bad", BAD_ROW)) as (host, watch):
        assert host.batching, host.batching_reason
        outputs = crowd(hosts, host, tables)
        assert watch.requests == [20] + [1] * 20
        assert host.alive
    error = outputs.pop(7)
    assert isinstance(error, ModelFault)
    assert "a row that cannot be had" in error.message
    assert [numbers(o)[0] for o in outputs] == [i * 10.0 for i in range(20) if i != 7]


def test_a_row_that_ends_the_process_ends_its_batch(hosts: Hosts, tmp_path: Path) -> None:
    """Nothing is tried again in a process that is gone: all are told how it ended."""
    tables = [rows(1), rows(1, start=-1e6), rows(1)]
    with loaded(hosts, custom(hosts, tmp_path / "deadly", DEADLY_ROW)) as (host, _):
        outputs = crowd(hosts, host, tables)
        assert not host.alive
    assert all(isinstance(o, ModelFault) and "exit status 5" in o.message for o in outputs)


@pytest.mark.parametrize(
    ("model", "batching", "why"),
    [
        ((SUM, {}), True, "together as one by one"),
        ((MINUS_MEAN, {}), False, "otherwise together than one by one"),
        ((SUM, {"input_example": None}), False, "no example"),
        ((SUM, {"input_example": training()[0].head(1)}), False, "no two rows"),
        ((MINUS_MEAN, {"metadata": {"headgate_batching": True}}), True, "metadata"),
        ((SUM, {"metadata": {"headgate_batching": False}}), False, "metadata"),
        (("return 7", {}), False, "one by one, or together"),
        (("return model_input.sum(axis=1).tolist()", {}), True, "together as one by one"),
        (("return [float(model_input.iloc[:, 0].mean())] * len(model_input)", {}), False, "otherwise together"),
        (("return model_input.rank()", {}), False, "otherwise together"),
        (("n = model_input.columns[0]; return model_input.groupby(n)[n].transform('count')", {}), False, "otherwise"),
        (("return model_input * 2", {}), True, "together as one by one"),
        (("return [{'n': float(v)} for v in model_input.sum(axis=1)]", {}), True, "together as one by one"),
    ],
)
def test_a_custom_model_is_given_batches_only_where_its_rows_are_seen_to_be_independent(
    hosts: Hosts, tmp_path: Path, model: tuple[str, dict[str, Any]], batching: bool, why: str
) -> None:
    """The saved example decides, unless the model's own metadata says it."""
    body, options = model
    with loaded(hosts, custom(hosts, tmp_path / "model", body, **options)) as (host, watch):
        assert (host.batching, why in host.batching_reason) == (batching, True), host.batching_reason
        crowd(hosts, host, [rows()] * 4)
        assert max(watch.requests) == (4 if batching else 1)


@pytest.mark.parametrize(
    ("shape", "axis", "batching"),
    [([1, 4], 1, False), (["n", 4], 1, True), (["n", "m"], 1, True), (["n", 4], 0, False)],
)
def test_a_graph_is_given_batches_where_its_rows_are_its_own(
    hosts: Hosts, tmp_path: Path, shape: list[Any], axis: int, batching: bool
) -> None:
    """An ONNX graph takes several requests at once only where its first dimension is open, and no row's answer depends
    on another's: without a signature and an example, that is tried with rows that its own inputs allow."""
    import mlflow.onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("X", "Y")]
    made = helper.make_graph([helper.make_node("Softmax", ["X"], ["Y"], axis=axis)], "g", ends[:1], ends[1:])
    graph = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    mlflow.onnx.save_model(graph, tmp_path / "onnx", pip_requirements=["mlflow", "onnx", "onnxruntime"])
    with loaded(hosts, tmp_path / "onnx") as (host, _):
        assert host.batching is batching, host.batching_reason


def test_a_graph_of_words_is_not_trusted(hosts: Hosts, tmp_path: Path) -> None:
    """Words cannot be made up, so without an example nothing shows that its rows are its own."""
    import mlflow.onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(n, TensorProto.STRING, ["n"]) for n in ("X", "Y")]
    made = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "g", ends[:1], ends[1:])
    graph = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    mlflow.onnx.save_model(graph, tmp_path / "onnx", pip_requirements=["mlflow", "onnx", "onnxruntime"])
    with loaded(hosts, tmp_path / "onnx") as (host, _):
        assert (host.batching, "neither an example" in host.batching_reason) == (False, True)


def test_requests_of_another_width_are_not_joined(hosts: Hosts, tmp_path: Path) -> None:
    """A column more or less is that caller's own affair."""
    narrow = Table(FEATURES[:3], rows().arrays[:3])
    with loaded(hosts, custom(hosts, tmp_path / "sum", SUM, metadata={"headgate_batching": True})) as (host, watch):
        outputs = crowd(hosts, host, [rows(), narrow, rows()])
    assert watch.requests == [2, 1]
    assert numbers(outputs[0]) == numbers(outputs[2])
    assert isinstance(outputs[1], ModelFault)


@pytest.mark.parametrize(("example", "batching"), [(None, False), (1, False), (2, False)])
def test_a_pipeline_with_somebodys_own_step_is_not_trusted(
    hosts: Hosts, tmp_path: Path, example: int | None, batching: bool
) -> None:
    """A step that subtracts the mean of all rows is found out, whatever example there is; a library's own step is not
    suspected."""
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    def centred(x: Any) -> Any:
        return x - np.asarray(x).mean(axis=0)

    own, librarys = tmp_path / "own", tmp_path / "librarys"
    for directory, step in ((own, FunctionTransformer(centred)), (librarys, StandardScaler())):
        hosts.models.save_pipeline(directory, make_pipeline(step, LinearRegression()), example)
    with loaded(hosts, own) as (host, _):
        assert host.batching is batching, host.batching_reason
    with loaded(hosts, librarys) as (host, _):
        assert host.batching, host.batching_reason
