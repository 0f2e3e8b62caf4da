"""Real ONNX models of every kind that runs inline, saved as MLflow saves them; and graphs of any nodes at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.models import SavedModel, _quiet, servable, training

Columns, Tensors, Unsigned = "columns", "tensors", "unsigned"
ROWS = 24


def features() -> Any:
    """Return the training rows as 32-bit numbers."""
    return training()[0].to_numpy().astype(np.float32)


def _fitted(make: Callable[[], Any], target: Callable[[Any], Any], **options: Any) -> bytes:
    from skl2onnx import to_onnx

    x, y = features(), training()[1]
    with _quiet():
        model = make().fit(x, target(y))
        named = {type(model): options} if options else None
        return bytes(to_onnx(model, x[:1], options=named).SerializeToString())


def _two(y: Any) -> Any:
    return (y > 0).astype(int)


def _three(y: Any) -> Any:
    return np.digitize(y, [-2.0, 2.0])


def _words(y: Any) -> Any:
    return np.where(y > 0, "many", "few")


def _same(y: Any) -> Any:
    return y


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def _linear() -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=10, random_state=1)


def _forest_regressor() -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=10, random_state=1)


def _boosted() -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=10, random_state=1)


def _boosted_classifier() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=10, random_state=1)


def _scaled() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    return make_pipeline(StandardScaler(), MinMaxScaler(), LogisticRegression())


def _perceptron() -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((16,), max_iter=30, random_state=1)


GRAPHS: Mapping[str, Callable[[], bytes]] = {
    "logistic": lambda: _fitted(_logistic, _two, zipmap=False),
    "logistic_maps": lambda: _fitted(_logistic, _two),
    "logistic_words": lambda: _fitted(_logistic, _words),
    "linear": lambda: _fitted(_linear, _same),
    "forest": lambda: _fitted(_forest, _three, zipmap=False),
    "forest_maps": lambda: _fitted(_forest, _three),
    "forest_regressor": lambda: _fitted(_forest_regressor, _same),
    "boosted": lambda: _fitted(_boosted, _same),
    "boosted_words": lambda: _fitted(_boosted_classifier, _words, zipmap=False),
    "scaled": lambda: _fitted(_scaled, _two),
    "perceptron": lambda: _fitted(_perceptron, _three, zipmap=False),
    "dense": lambda: dense(20, 64, 2),
}
"""Name → the bytes of an honest graph."""


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> Any:
    """Return a node."""
    from onnx import helper

    return helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes)


def weight(name: str, values: Any) -> Any:
    """Return a weight."""
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(values), name)


def graph(
    nodes: Sequence[Any],
    weights: Sequence[Any] = (),
    *,
    takes: Sequence[Any] = ("N", 4),
    kind: int = 1,
    answers: Sequence[str] = ("y",),
    opsets: Mapping[str, int] | None = None,
) -> bytes:
    """Return the bytes of a graph with one input ``x``; nothing of it is checked."""
    from onnx import helper

    taken = helper.make_tensor_value_info("x", kind, list(takes))
    given = [helper.make_empty_tensor_value_info(name) for name in answers]
    made = helper.make_graph(list(nodes), "g", [taken], given, list(weights))
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": 18, "ai.onnx.ml": 3}).items()]
    return bytes(helper.make_model(made, opset_imports=imports, ir_version=8).SerializeToString())


def dense(columns: int, hidden: int, answers: int) -> bytes:
    """Return a perceptron as PyTorch exports one: Gemm, Relu, Gemm, with a free batch axis."""
    random = np.random.default_rng(3)
    first, second = (random.normal(size=s).astype(np.float32) for s in ((hidden, columns), (answers, hidden)))
    zeros = [np.zeros(n, np.float32) for n in (hidden, answers)]
    return graph(
        [
            node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
            node("Relu", ["h"], ["r"]),
            node("Gemm", ["r", "w2", "b2"], ["y"], transB=1),
        ],
        [weight("w1", first), weight("b1", zeros[0]), weight("w2", second), weight("b2", zeros[1])],
        takes=("batch", columns),
    )


class SavedGraphs:
    """Saves each graph with each kind of signature the first time it is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._saved: dict[tuple[str, str], SavedModel] = {}

    def get(self, name: str, signature: str = Unsigned) -> SavedModel:
        """Return an honest graph as a version that the registry found fit to run inline."""
        key = (name, signature)
        if key not in self._saved:
            directory = self._root / f"{name}_{signature}"
            self.save(directory, GRAPHS[name](), signature)
            self._saved[key] = SavedModel(directory, replace(servable(directory), runtime="inline"))
        return self._saved[key]

    def save(self, directory: Path, data: bytes, signature: str = Unsigned) -> None:
        """Save a graph."""
        import mlflow.onnx
        import onnx

        with _quiet():
            model = onnx.load_from_string(data)
            mlflow.onnx.save_model(
                model,
                directory,
                pip_requirements=["mlflow", "onnx", "onnxruntime"],
                signature=_signature(model, signature),
            )


def _signature(model: Any, kind: str) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    if kind == Unsigned:
        return None
    taken = model.graph.input[0]
    width = taken.type.tensor_type.shape.dim[1].dim_value
    if kind == Columns:
        return ModelSignature(inputs=Schema([ColSpec("double", f"x{i}") for i in range(width)]))
    return ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, width))]))


@pytest.fixture(scope="session")
def saved_graphs(tmp_path_factory: pytest.TempPathFactory) -> SavedGraphs:
    """Graphs to load."""
    return SavedGraphs(tmp_path_factory.mktemp("graphs"))
