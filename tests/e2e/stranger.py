"""A training script as somebody writes it who knows MLflow and has never seen this project.

It reads MLFLOW_TRACKING_URI and nothing else, registers one model of each kind, and prints a line of JSON for each:
what it was called, the rows it predicted here, and what came out.
"""

import json
import sys
import time
from typing import Any

import lightgbm
import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]  # MLflow exports it without saying so
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

X, y = load_diabetes(as_frame=True, return_X_y=True)
C, c = load_breast_cancer(as_frame=True, return_X_y=True)
rows = X.head(7)


class Weighted(PythonModel):
    """Weighs the age; how much is a parameter."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Return one number for each row."""
        return model_input["age"].to_numpy() * params["weight"] + params["offset"]


class Report(PythonModel):
    """Answers with a table."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Return a table of a text, a number and a truth for each row."""
        high = model_input["bmi"] > 0
        return pd.DataFrame({"word": np.where(high, "high", "low"), "bmi": model_input["bmi"] * 2, "high": high})


def plain(answer: Any) -> tuple[str, Any]:
    """Return a prediction as what JSON can hold, and its type."""
    if isinstance(answer, pd.DataFrame):
        return "table", answer.to_dict(orient="records")
    if isinstance(answer, dict):
        return "dict", {name: [str(array.dtype), array.tolist()] for name, array in answer.items()}
    array = np.asarray(answer)
    return str(array.dtype), array.tolist()


def tell(kind: str, info: Any, table: pd.DataFrame, answer: Any, **more: Any) -> None:
    """Print what was registered and what it predicts."""
    version = info.registered_model_version
    cells = table.to_numpy()
    kept = {"columns": list(table.columns), "rows": cells.tolist(), "cells": str(cells.dtype)}
    dtype, values = plain(answer)
    told = {"kind": kind, "name": kind, "version": str(version), "at": time.time(), "dtype": dtype, "answer": values}
    print(json.dumps(told | kept | more), flush=True)


def sklearn_models() -> None:
    """Register what scikit-learn offers."""
    forest = RandomForestClassifier(20, random_state=0).fit(C, c)
    info = mlflow.sklearn.log_model(
        forest, name="model", registered_model_name="forest", signature=infer_signature(C, forest.predict(C)),
        serialization_format="cloudpickle",
    )  # fmt: skip
    tell("forest", info, C.head(7), forest.predict(C.head(7)), run_id=info.run_id)

    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(C, c)
    info = mlflow.sklearn.log_model(pipeline, name="m", registered_model_name="skops", input_example=C.head(3))
    tell("skops", info, C.head(7), pipeline.predict(C.head(7)), model_id=info.model_id)

    # A tree: what a sum of products gives in its last bit depends on where BLAS finds the numbers in memory.
    tree = DecisionTreeRegressor(random_state=0).fit(X.to_numpy(), y)
    info = mlflow.sklearn.log_model(
        tree, name="m", registered_model_name="unsigned", serialization_format="cloudpickle"
    )
    tell("unsigned", info, rows, tree.predict(rows.to_numpy()), signed=False)


def boosted_models() -> None:
    """Register what boosting offers."""
    booster = xgboost.XGBRegressor(n_estimators=20, n_jobs=1).fit(X, y)
    signature = infer_signature(X, booster.predict(X))
    info = mlflow.xgboost.log_model(booster, name="m", registered_model_name="xgboost", signature=signature)
    tell("xgboost", info, rows, booster.predict(rows))

    booster = lightgbm.LGBMRegressor(n_estimators=20, n_jobs=1, verbose=-1).fit(X, y)
    signature = infer_signature(X, booster.predict(X))
    info = mlflow.lightgbm.log_model(booster, name="m", registered_model_name="lightgbm", signature=signature)
    tell("lightgbm", info, rows, booster.predict(rows))


def onnx_models() -> None:
    """Register graphs, with and without a signature."""
    numbers = X.to_numpy().astype(np.float32)
    graph = to_onnx(LinearRegression().fit(numbers, y), numbers[:1])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    answer = {o.name: v for o, v in zip(session.get_outputs(), session.run(None, {"X": numbers[:7]}), strict=True)}
    table = pd.DataFrame(numbers[:7], columns=X.columns)

    info = mlflow.onnx.log_model(graph, name="m", registered_model_name="onnx-unsigned")
    tell("onnx-unsigned", info, table, answer, signed=False)
    signature = infer_signature(numbers, answer["variable"])
    info = mlflow.onnx.log_model(graph, name="m", registered_model_name="onnx", signature=signature)
    tell("onnx", info, table, answer)


def custom_models() -> None:
    """Register code of one's own."""
    params = {"weight": 2.5, "offset": -1.0}
    signature = infer_signature(X, np.array([0.5]), params=params)
    info = mlflow.pyfunc.log_model(
        name="m", python_model=Weighted(), registered_model_name="weighted", signature=signature
    )
    tell("weighted", info, rows, Weighted().predict(None, rows, params))
    given = {"weight": 0.1, "offset": 3.0}
    tell("weighted", info, rows, Weighted().predict(None, rows, given), params=given)

    answer = Report().predict(None, X)
    signature = infer_signature(X, answer)
    info = mlflow.pyfunc.log_model(name="m", python_model=Report(), registered_model_name="report", signature=signature)
    tell("report", info, rows, answer.head(7))


if __name__ == "__main__":
    mlflow.set_experiment("first steps: " + " and ".join(sys.argv[1:]))
    for part in sys.argv[1:]:
        with mlflow.start_run():
            globals()[part]()
