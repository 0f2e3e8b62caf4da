"""The models that are measured, and what they are asked: saved as MLflow saves them, with rows and right answers.

Every number is a multiple of 1/256, so that it is the same in every format and in single precision. Not here: who
serves them.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 1000
DISTINCT = 64
"""How many different single rows are asked, in turn, so that nobody can answer from a cache."""
FEATURES, COLUMNS, WIDE = 20, 30, 2000


@dataclass(frozen=True, slots=True)
class Work:
    """One model, and what it is asked. ``data`` holds 1,000 rows; ``model`` is the object itself, for its own time."""

    name: str
    directory: Path
    data: np.ndarray[Any, Any]
    model: Any
    columns: tuple[str, ...] = ()
    answers: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))

    @property
    def own_input(self) -> Any:
        """The 1,000 rows as the model itself takes them: an array, or a DataFrame."""
        if not self.columns:
            return self.data
        import pandas as pd

        return pd.DataFrame(self.data, columns=list(self.columns))

    def body(self, start: int, rows: int = 1) -> bytes:
        """Return the JSON of some rows, in the form that MLflow's scoring and Headgate both take."""
        data = self.data[start : start + rows].tolist()
        if self.columns:
            return json.dumps({"dataframe_split": {"columns": self.columns, "data": data}}).encode()
        return json.dumps({"inputs": data}).encode()

    def bodies(self) -> list[bytes]:
        """Return the bodies of single rows, all different."""
        return [self.body(i) for i in range(DISTINCT)]

    def arrow(self) -> bytes:
        """Return the 1,000 rows as an Arrow IPC stream."""
        import pyarrow as pa

        names = self.columns or tuple(f"x{i}" for i in range(self.data.shape[1]))
        table = pa.table({name: self.data[:, i] for i, name in enumerate(names)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue().to_pybytes())


def flat(predictions: Any) -> list[float]:
    """Return predictions as one list of numbers, whatever each server wraps them in."""
    if isinstance(predictions, dict):
        return [x for value in predictions.values() for x in flat(value)]
    if isinstance(predictions, list):
        return [x for value in predictions for x in flat(value)]
    return [float(predictions)]


class Workshop:
    """Fits and saves each model once, below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        warnings.simplefilter("ignore")
        for noisy in ("mlflow", "mlflow.sklearn", "skl2onnx"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._rows = _exact(np.random.default_rng(0).normal(size=(4 * ROWS, FEATURES)))
        noise = np.random.default_rng(1).normal(size=4 * ROWS)
        self._target = self._rows[:, :8].sum(axis=1) + noise
        self._labels = (self._target > 0).astype(int)

    def by_name(self) -> dict[str, Callable[[], Work]]:
        """Return how to make each scikit-learn model that is asked single rows."""
        return {"logistic": self.logistic, "forest": self.forest, "scaled": self.scaled}

    def logistic(self, name: str = "logistic", seed: int = 0) -> Work:
        """A logistic regression with an array signature; each ``seed`` gives other bytes."""
        from sklearn.linear_model import LogisticRegression

        rows = self._rows[seed : seed + 500]
        model = LogisticRegression().fit(rows, self._labels[seed : seed + 500])
        return self._save_sklearn(name, model, self._rows[:ROWS])

    def forest(self) -> Work:
        """A classifier of 100 trees, about 7 MB, with an array signature."""
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(100, random_state=0, n_jobs=1).fit(self._rows, self._labels)
        return self._save_sklearn("forest", model, self._rows[:ROWS])

    def scaled(self) -> Work:
        """A scaler and a logistic regression with a signature of 30 named columns."""
        import pandas as pd
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        data = _exact(np.random.default_rng(2).normal(size=(ROWS, COLUMNS)))
        columns = tuple(f"measure_{i:02}" for i in range(COLUMNS))
        frame = pd.DataFrame(data, columns=list(columns))
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
            frame, (data[:, :5].sum(axis=1) > 0).astype(int)
        )
        return self._save_sklearn("scaled", model, data, columns)

    def wide(self) -> Work:
        """A linear regression of 2,000 features: large inputs, small answers."""
        from sklearn.linear_model import LinearRegression

        rows = _exact(np.random.default_rng(3).normal(size=(ROWS, WIDE)))
        return self._save_sklearn("wide", LinearRegression().fit(rows[:50], rows[:50, 0]), rows)

    def graph(self) -> Work:
        """A regression forest of 100 trees as an ONNX graph; ``model`` is an onnxruntime session."""
        import mlflow.onnx
        import onnxruntime
        from mlflow.models import infer_signature
        from skl2onnx import to_onnx
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(100, random_state=0, n_jobs=1).fit(self._rows[:2000], self._target[:2000])
        data = self._rows[:ROWS].astype(np.float32)
        onnx = to_onnx(forest, data[:1])
        directory = self._root / "graph"
        session = onnxruntime.InferenceSession(onnx.SerializeToString(), providers=["CPUExecutionProvider"])
        (answers,) = session.run(None, {"X": data})
        mlflow.onnx.save_model(
            onnx,
            directory,
            signature=infer_signature(data[:2], answers[:2]),
            input_example=data[:2],
            pip_requirements=_requirements("mlflow", "onnx", "onnxruntime", "numpy"),
        )
        return Work("graph", directory, data, session, answers=answers.ravel())

    def _save_sklearn(self, name: str, model: Any, data: np.ndarray[Any, Any], columns: Sequence[str] = ()) -> Work:
        import mlflow.sklearn
        from mlflow.models import infer_signature

        work = Work(name, self._root / name, data, model, tuple(columns))
        example = work.own_input[:2]
        answers = model.predict(work.own_input)
        mlflow.sklearn.save_model(
            model,
            work.directory,
            signature=infer_signature(example, answers[:2]),
            input_example=example,
            pip_requirements=_requirements("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle"),
            serialization_format="cloudpickle",  # MLflow's new default does not take forests
        )
        return Work(name, work.directory, data, model, tuple(columns), answers)


def _exact(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.round(values * 256) / 256


def _requirements(*names: str) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]
