"""Whether a model may be given several requests' rows at once: does each row get the answer that it gets alone?

Models of known libraries do so, unless their example, or rows that were made up, show otherwise; of any other model,
and of one that holds somebody's own code, it must be seen in the example. A graph may be anything: of it either must
show it. The MLmodel file's ``metadata`` may say it,
as ``headgate_batching: true`` or ``false``. Not here: joining (the node's lane).
"""

from __future__ import annotations

import base64
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

GRAPHS = "mlflow.onnx"
KNOWN_LOADERS = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost", GRAPHS)
RELATIVE, ABSOLUTE = 1e-6, 1e-9
KNOWN_ROWS, UNKNOWN_ROWS = 3, 8
LIBRARIES = ("sklearn", "xgboost", "lightgbm", "catboost", "imblearn", "numpy", "scipy", "pandas", "builtins")
Predict = Callable[[Spec, Sequence[memoryview]], Any]
Verdict = tuple[bool, str]
REFUSES: Verdict = (False, "its example's rows cannot be predicted one by one, or together")


def judge(model: Any, loader: str, predict: Predict, example: Laid | None, invented: Laid | None) -> Verdict:
    """Return whether requests may be joined for a model, and why, or why not.

    Args:
        model: As MLflow loaded it.
        loader: What loaded it, as ``mlflow.sklearn``.
        predict: Calls it.
        example: Its saved example, if there is one that fits its signature.
        invented: Rows that fit its signature and mean nothing; a model may well refuse them.
    """
    with contextlib.suppress(Exception):  # MLflow before 2.0 has no metadata
        said = (model.metadata.metadata or {}).get("headgate_batching")
        if isinstance(said, bool):
            return said, "the model's metadata says so"
    session = session_of(model)
    if session is not None and not _takes_any_rows(session):
        return False, "the graph takes or gives a fixed number of rows"
    known = loader in KNOWN_LOADERS and _of_libraries(model, loader)
    verdict = _try(predict, example, KNOWN_ROWS if known else UNKNOWN_ROWS) if example is not None else None
    if verdict is None and known and invented is not None:
        verdict = _try(predict, invented, KNOWN_ROWS)
        verdict = None if verdict == REFUSES else verdict
    if verdict is not None:
        return verdict
    if loader == GRAPHS:
        return False, "its graph may look at all rows at once, and neither an example nor made-up rows show otherwise"
    if known:
        return True, f"models of {loader} answer row by row"
    return False, "it has no example that could show it" if example is None else "its example has no two rows"


def _of_libraries(model: Any, loader: str) -> bool:
    """Tell whether a scikit-learn model is made of libraries' parts alone: a function or a class of somebody's own may
    look at all rows at once."""
    if loader != "mlflow.sklearn":
        return True
    try:
        whole = model._model_impl.sklearn_model
        parts = [whole, *(whole.get_params(deep=True).values() if hasattr(whole, "get_params") else ())]
    except Exception:  # noqa: BLE001 -- another MLflow, or parts that do not tell of themselves
        return False
    return not any(_somebodys_own(part) for part in parts if hasattr(part, "fit") or callable(part))


def _somebodys_own(part: Any) -> bool:
    kind = part if isinstance(part, type) or not hasattr(part, "fit") else type(part)
    library = (getattr(kind, "__module__", "") or "").split(".")[0]
    return library not in LIBRARIES or getattr(kind, "__name__", "") == "FunctionTransformer"


def _takes_any_rows(session: Any) -> bool:
    try:
        ends = [*session.get_inputs(), *session.get_outputs()]
        return all(each.shape and not isinstance(each.shape[0], int) for each in ends)
    except Exception:  # noqa: BLE001 -- a sequence or a map, which has no shape
        return False


def _try(predict: Predict, laid: Laid, most: int) -> Verdict | None:
    """Compare rows together with rows alone; None where there are no two different rows."""
    count = min(laid.rows, most)
    rows = [laid.pick([i]) for i in range(count)]
    if len({tuple(bytes(b) for b in row.buffers) for row in rows}) < 2:
        return None
    everybody = list(range(count))
    # Backwards, for what depends on order; twice the same, for what counts or ranks.
    orders = (everybody, everybody[::-1], [0, *everybody, count - 1])
    try:
        alone = [_columns(predict, row) for row in rows]
        for order in orders:
            difference = _compare(_columns(predict, laid.pick(order)), [alone[i] for i in order])
            if difference:
                return False, difference
    except Exception:  # noqa: BLE001 -- a model that raises for some of its rows, or answers what cannot be compared
        return REFUSES
    return True, "its example's rows are answered together as one by one"


def _compare(together: dict[str, Any], alone: Sequence[dict[str, Any]]) -> str:
    """Return how rows together were answered otherwise than one by one; empty where they were not."""
    if any(list(each) != list(together) for each in alone):
        return "its answers to one row and to several differ in kind"
    for name, column in together.items():
        parts = [each[name] for each in alone]
        if len(column) != len(alone) or any(len(part) != 1 for part in parts):
            return "it does not answer one item for each row"
        if len({part.dtype for part in parts}) > 1:
            return "the type of its answer differs from row to row"
        if not _close(column, np.concatenate(parts)):
            return "its example's rows are answered otherwise together than one by one"
    return ""


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
    if kind == "bytes":
        if not spec["listed"]:
            raise TypeError(kind)
        column = np.empty(len(buffers), dtype=object)
        column[:] = [base64.encodebytes(b).decode() for b in buffers]
        return {"json": column}  # as the node writes it
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
