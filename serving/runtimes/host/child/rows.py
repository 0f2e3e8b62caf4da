"""Whether a model may be given several requests' rows at once: does each row get the answer that it gets alone?

Models of known libraries do so, unless their example shows otherwise; of any other model it must be seen. The MLmodel
file's ``metadata`` may say it, as ``headgate_batching: true`` or ``false``. Not here: joining (the node's lane).
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .example import Laid
from .loading import session_of
from .values import Spec, lay_output, take_array
from .wire import Buffer

KNOWN_LOADERS = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost", "mlflow.onnx")
RELATIVE, ABSOLUTE = 1e-6, 1e-9
KNOWN_ROWS, UNKNOWN_ROWS = 2, 4
Predict = Callable[[Spec, Sequence[memoryview]], Any]
Verdict = tuple[bool, str]


def judge(model: Any, loader: str, predict: Predict, laid: Laid | None) -> Verdict:
    """Return whether requests may be joined for a model, and why, or why not."""
    with contextlib.suppress(Exception):  # MLflow before 2.0 has no metadata
        said = (model.metadata.metadata or {}).get("headgate_batching")
        if isinstance(said, bool):
            return said, "the model's metadata says so"
    session = session_of(model)
    if session is not None and not _takes_any_rows(session):
        return False, "the graph takes or gives a fixed number of rows"
    known = loader in KNOWN_LOADERS
    if laid is None:
        return known, f"models of {loader} answer row by row" if known else "it has no example that could show it"
    verdict = _try(predict, laid, KNOWN_ROWS if known else UNKNOWN_ROWS)
    return verdict or (known, f"models of {loader} answer row by row" if known else "its example has no two rows")


def _takes_any_rows(session: Any) -> bool:
    try:
        ends = [*session.get_inputs(), *session.get_outputs()]
        return all(each.shape and not isinstance(each.shape[0], int) for each in ends)
    except Exception:  # noqa: BLE001 -- a sequence or a map, which has no shape
        return False


def _try(predict: Predict, laid: Laid, most: int) -> Verdict | None:
    """Compare rows together with rows alone; None where there are no two different rows."""
    count = min(laid.rows, most)
    rows = [laid.part(i, i + 1) for i in range(count)]
    if len({tuple(bytes(b) for b in row.buffers) for row in rows}) < 2:
        return None
    try:
        together = _columns(predict, laid.part(0, count))
        alone = [_columns(predict, row) for row in rows]
    except Exception:  # noqa: BLE001 -- a model that raises for some of its rows, or answers what cannot be compared
        return False, "its example's rows cannot be predicted one by one, or together"
    if any(list(each) != list(together) for each in alone):
        return False, "its answers to one row and to several differ in kind"
    for name, column in together.items():
        parts = [each[name] for each in alone]
        if len(column) != count or any(len(part) != 1 for part in parts):
            return False, "it does not answer one item for each row"
        if not _close(column, np.concatenate(parts)):
            return False, "its example's rows are answered otherwise together than one by one"
    return True, "its example's rows are answered together as one by one"


def _columns(predict: Predict, laid: Laid) -> dict[str, Any]:
    """Return an answer as the node will see it: arrays, by kind and name."""
    buffers: list[Buffer] = []
    spec = lay_output(predict(laid.spec, laid.buffers), buffers)
    kind = spec["kind"]
    if kind == "json":
        items = json.loads(bytes(buffers[spec["buffer"]]))
        if not isinstance(items, list):
            raise TypeError(kind)
        column = np.empty(len(items), dtype=object)
        column[:] = items if not any(isinstance(item, list) for item in items) else [[item] for item in items]
        return {kind: column}
    views = [memoryview(bytearray(b)) for b in buffers]
    if kind == "array":
        return {kind: take_array(spec["array"], views)}
    return {f"{kind} {i} {name}": take_array(spec["arrays"][i], views) for i, name in enumerate(spec["names"])}


def _close(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind in "fc":
        return bool(np.allclose(one, other, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True))
    return _alike(one.tolist(), other.tolist())


def _alike(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        both_missing = math.isnan(one) and math.isnan(other)
        return both_missing or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_alike(one[k], other[k]) for k in one)
    return bool(one == other)
