"""Models that show what they were given, or answer in each of the shapes that MLflow's scoring server knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.models import SavedModel, SavedModels, servable

ECHO = "return model_input"
TYPES = (
    "return pd.DataFrame([{'columns': [str(c) for c in model_input.columns], "
    "'types': [str(t) for t in model_input.dtypes], 'rows': len(model_input)}])"
)
BODIES: Mapping[str, str] = {
    "mixed": ECHO,
    "types": TYPES,
    "optional": ECHO,
    "dates": ECHO,
    "binary": ECHO,
    "nested": ECHO,
    "unsigned": ECHO,
    "tensor": "return model_input * 2",
    "tensors": "return {k: v * 2 for k, v in model_input.items()}",
    "params": "return [dict(params or {})]",
    "chat": "return {'got': model_input.to_dict(orient='records'), 'params': dict(params or {})}",
    "embed": "return {'rows': len(model_input), 'input': model_input['input'].tolist()}",
    "bare": "return {'kind': type(model_input).__name__, 'params': dict(params or {}), 'got': model_input}",
    "sum": "return model_input.sum(axis=1).to_numpy()",
    "answers": "",
    "hinted": "",
    "failing": "raise ValueError('these rows cannot be had')",
}
"""What each model does with its input; ``answers`` gives that of ANSWERS which its input names."""

ANSWERS: Mapping[str, str] = {
    "floats": "np.array([[0.1, 1e16, 1e-7, 5e-324, -0.0], [1/3, 1e22, 123456789.0, 2.5, 1e300]])",
    "narrow": "np.array([0.1, 1/3, 16777217.0, 3e38], dtype=np.float32)",
    "half": "np.array([0.1, 65504.0], dtype=np.float16)",
    "integers": "np.array([-1, 2**63 - 1])",
    "unsigned_integers": "np.array([2**64 - 1], dtype=np.uint64)",
    "scalar": "np.float64(2.5)",
    "zero_dimensions": "np.array(2.5)",
    "empty": "np.array([])",
    "strings": "np.array(['ä', '\"', 'x\\n', '\\u2028'])",
    "objects": "np.array(['a', None, 1, 2.5, True, b'\\x00\\xff' * 40], dtype=object)",
    "bytes": "[b'\\x00\\xff' * 40, b'']",
    "byte_array": "np.array([b'ab', b'c'])",
    "frame": "pd.DataFrame({'b': [1, 2], 'a': ['x', 'y'], 'c': [True, False], 'd': [0.1, 2.0]})",
    "small_frame": "pd.DataFrame({'p': np.array([0.1, 0.2], dtype=np.float32), 'n': np.array([1, 2], 'i1')})",
    "dated_frame": "pd.DataFrame({'t': pd.to_datetime(['2024-01-01T10:00:00.000', '2024-01-01T10:00:00.250'])})",
    "zoned_frame": "pd.DataFrame({'t': pd.to_datetime(['2024-01-01T10:00:00+02:00'])})",
    "categories": "pd.DataFrame({'k': pd.Categorical(['u', 'v', 'u'])})",
    "no_rows": "pd.DataFrame({'a': []})",
    "numbered_frame": "pd.DataFrame([[1, 2.5]])",
    "named_series": "pd.Series([1.5, 2.5], name='score')",
    "series": "pd.Series(['u', 'v'])",
    "dict": "{'mean': np.array([1.5]), 'label': np.array(['yes']), 'z': np.array([[1, 2]])}",
    "mixed_dict": "{'b': 1, 'a': [np.float32(0.1), None], 'n': {'deep': np.arange(2)}, 3: 'three'}",
    "moments": "[datetime.datetime(2024, 1, 2, 3, 4, 5, 600), datetime.date(2024, 1, 2), datetime.time(3, 4)]",
    "text": "'plain words, \\u00e4'",
    "none": "None",
    "records": "[{'label': 'x', 'score': 0.1}, {'label': 'y', 'score': 2}]",
    "tuples": "((1, 2.0), 'a')",
    "nan": "np.array([np.nan, np.inf, -np.inf, 1.0])",
    "nan_frame": "pd.DataFrame({'a': [np.nan, 1.0], 'b': ['x', float('nan')]})",
    "nan_list": "[float('nan'), {'a': [float('inf')]}]",
    "nat_frame": "pd.DataFrame({'t': pd.to_datetime(['2024-01-01', None])})",
    "dated_array": "np.array(['2024-01-01T10:00:00'], dtype='M8[ns]')",
}
NOT_JSON: Mapping[str, str] = {
    "nan": '{"predictions": [null, null, null, 1.0]}',
    "nan_frame": '{"predictions": [{"a": null, "b": "x"}, {"a": 1.0, "b": null}]}',
    "nan_list": '{"predictions": [null, {"a": [null]}]}',
    "nat_frame": '{"predictions": [{"t": "2024-01-01T00:00:00"}, {"t": null}]}',
    "dated_array": '{"predictions": ["2024-01-01T10:00:00"]}',
}
"""Where MLflow's answer holds NaN or NaT, or nanoseconds for a date: ours."""


def _answering() -> str:
    choices = ", ".join(f"{name!r}: lambda: {answer}" for name, answer in ANSWERS.items())
    return f"import datetime; return {{{choices}}}[str(model_input[0])]()"


def _columns(*specs: tuple[str, str] | tuple[str, str, bool]) -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema([ColSpec(spec[1], spec[0], required=spec[2] if len(spec) > 2 else True) for spec in specs])


def _signature(kind: str) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array, DataType, Object, Property

    message = Object([Property("role", DataType.string), Property("content", DataType.string)])
    params = [
        ParamSpec("times", DataType.double, 2.0),
        ParamSpec("count", DataType.long, 3),
        ParamSpec("word", DataType.string, "w"),
        ParamSpec("flag", DataType.boolean, False),
        ParamSpec("words", DataType.string, ["a", "b"], (-1,)),
    ]
    inputs: Mapping[str, Any] = {
        "mixed": _columns(("a", "double"), ("b", "long"), ("c", "string"), ("d", "boolean")),
        "types": _columns(("a", "float"), ("b", "integer"), ("c", "string"), ("d", "boolean"), ("t", "datetime")),
        "optional": _columns(("a", "double"), ("b", "double", False), ("c", "string", False)),
        "dates": _columns(("t", "datetime")),
        "binary": _columns(("x", "binary")),
        "nested": Schema([ColSpec(Array(DataType.long), "x"), ColSpec(message, "o")]),
        "tensor": Schema([TensorSpec(np.dtype("float32"), (-1, 2))]),
        "tensors": Schema([TensorSpec(np.dtype("float64"), (-1, 2), "x"), TensorSpec(np.dtype("int64"), (-1,), "y")]),
        "params": _columns(("a", "double")),
        "sum": _columns(("a", "double"), ("b", "double")),
        "chat": Schema([ColSpec(Array(message), "messages"), ColSpec(DataType.double, "temperature", required=False)]),
        "embed": _columns(("input", "string")),
    }
    if kind == "bare":
        return ModelSignature(params=ParamSchema(params))
    if kind not in inputs:
        return None
    if kind in ("params", "chat"):
        return ModelSignature(inputs=inputs[kind], params=ParamSchema(params))
    return ModelSignature(inputs=inputs[kind])


_HINTED = """
import mlflow, pydantic

class Item(pydantic.BaseModel):
    a: int
    s: str = "default"

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[Item], params=None):
        return [f"{type(item).__name__} {item.a} {item.s}" for item in model_input]

mlflow.models.set_model(Model())
"""


def _save_hinted(directory: Path) -> None:
    import mlflow.pyfunc

    code = directory.with_name("hinted_model.py")
    code.write_text(_HINTED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(directory, python_model=str(code), pip_requirements=["mlflow"])


def save_scoring_models(root: Path) -> dict[str, SavedModel]:
    """Save them all below ``root``; return them by name."""
    root.mkdir(parents=True, exist_ok=True)
    saved, models = {}, SavedModels(root)
    for kind, body in BODIES.items():
        directory = root / kind
        if kind == "hinted":
            _save_hinted(directory)
        else:
            models.save_custom(directory, body or _answering(), signature=_signature(kind))
        saved[kind] = SavedModel(directory, servable(directory))
    return saved
