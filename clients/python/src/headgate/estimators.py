"""Logging a fitted estimator through MLflow, so that it has lineage: a run, its signature, an example.

Needs the extra ``headgate[mlflow]``. Nothing of the caller's MLflow is touched: no tracking URI, no active run. The
model is saved with its flavour into a temporary directory, and the files go into a run of their own.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headgate.encoding import Data
from headgate.errors import AccessDenied, BadSettings, ConnectionFailed, HeadgateError, InvalidRequest, ServerFault
from headgate.names import a_type, quoted
from headgate.settings import Settings

_EXAMPLE_ROWS = 5
_SIGNATURE_ROWS = 1000
_ARTIFACT_PATH = "model"
_TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - the name of a variable, not a secret
_environment = threading.Lock()

# More special first: XGBoost's and LightGBM's estimators are scikit-learn's too.
_FLAVORS = ("xgboost", "lightgbm", "onnx", "sklearn")


def flavor_of(model: Data) -> str:
    """Return the MLflow flavour for a model: ``xgboost lightgbm onnx sklearn pyfunc``.

    Raises:
        InvalidRequest: Where none fits.
    """
    ancestry = [
        (kind.__module__.partition(".")[0], f"{kind.__module__}.{kind.__name__}") for kind in type(model).__mro__
    ]
    if any(name.startswith("mlflow.pyfunc.") and name.endswith(".PythonModel") for _, name in ancestry):
        return "pyfunc"
    roots = {root for root, _ in ancestry}
    for flavor in _FLAVORS:
        if flavor in roots:
            return flavor
    raise InvalidRequest(
        f"{a_type(model)} is neither a path nor a scikit-learn, XGBoost, LightGBM, ONNX or pyfunc "
        "(PythonModel) model; save it with its MLflow flavour, and register that directory",
        code="unsupported_model",
    )


def log(settings: Settings, model: Data, name: str, example: Data) -> dict[str, str]:
    """Log a model into a run of its own; return the registration's ``source``.

    Args:
        settings: Where the registry is, which is the tracking server too.
        model: The fitted estimator.
        name: Of the model to be; the run's experiment has the same.
        example: Inputs for the signature, or None.
    """
    _require_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory(prefix="headgate-") as scratch, _token(settings.api_key):
            saved = save(model, Path(scratch) / _ARTIFACT_PATH, example)
            return {"run_id": _log_directory(settings.registry_url, saved, name), "path": _ARTIFACT_PATH}
    except MlflowException as error:
        raise _translated(error, settings) from error


def save(model: Data, directory: Path, example: Data) -> Path:
    """Save a model with its flavour into ``directory``, which must not exist yet; return it."""
    _require_mlflow()
    import importlib

    flavor = flavor_of(model)
    options: dict[str, Any] = {"path": str(directory), "input_example": _first_rows(example, _EXAMPLE_ROWS)}
    options["signature"] = _signature(model, flavor, example)
    if flavor == "pyfunc":
        options["python_model"] = model
    else:
        options[
            {"sklearn": "sk_model", "xgboost": "xgb_model", "lightgbm": "lgb_model", "onnx": "onnx_model"}[flavor]
        ] = model
    if flavor == "sklearn":
        # MLflow's default, skops, refuses forests: it does not trust sklearn.tree._tree.Tree.
        options["serialization_format"] = "cloudpickle"
    if example is None:
        del options["input_example"]
    importlib.import_module(f"mlflow.{flavor}").save_model(**options)
    if flavor == "onnx" and example is not None:
        _sign_graph(directory, options["input_example"])
    return directory


def _sign_graph(directory: Path, example: Data) -> None:
    """Give a saved ONNX model its signature; without onnxruntime it stays without, and tells its inputs by itself."""
    import importlib.util

    if importlib.util.find_spec("onnxruntime") is None:
        return
    import mlflow.pyfunc
    from mlflow.models import infer_signature, set_signature

    loaded = mlflow.pyfunc.load_model(str(directory))
    try:
        answer = loaded.predict(example)
    except ValueError:
        if not hasattr(example, "iloc"):
            raise
        # MLflow makes no table of labels beside probabilities; given an array, it names both, as the platform does.
        answer = loaded.predict(example.to_numpy())
    set_signature(str(directory), infer_signature(example, answer))


def _signature(model: Data, flavor: str, example: Data) -> Any:
    """Return the signature, from many rows where the model takes its input as it is; else None: MLflow infers it."""
    if example is None or flavor in ("onnx", "pyfunc") or not hasattr(model, "fit"):
        return None
    from mlflow.models import infer_signature

    rows = _first_rows(example, _SIGNATURE_ROWS)
    try:
        return infer_signature(rows, model.predict(rows))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"the model cannot predict its own example: {type(error).__name__}: {quoted(error, 300)}",
            code="invalid_input",
        ) from error


def _first_rows(example: Data, count: int) -> Data:
    if hasattr(example, "iloc"):
        return example.iloc[:count]
    if isinstance(example, dict):
        return {key: value[:count] for key, value in example.items()}
    return example[:count] if hasattr(example, "__getitem__") else example


def _log_directory(registry_url: str, saved: Path, name: str) -> str:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry_url, registry_uri=registry_url)
    run = client.create_run(_experiment(client, name), run_name=f"register {name}")
    run_id = str(run.info.run_id)
    try:
        client.log_artifacts(run_id, str(saved), _ARTIFACT_PATH)
    except BaseException:  # whatever ends it, the run must not look as if it were still going on
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _experiment(client: Any, name: str) -> str:
    """Return the id of the experiment with the model's name, made if need be; the default one where it was deleted."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # somebody else was first
            if found is None:
                raise
    return str(found.experiment_id) if found.lifecycle_stage == "active" else "0"


@contextlib.contextmanager
def _token(api_key: str | None) -> Iterator[None]:
    """Lend MLflow our key, which it reads from the environment alone."""
    if api_key is None:
        yield
        return
    with _environment:
        before = os.environ.get(_TOKEN)
        os.environ[_TOKEN] = api_key
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(_TOKEN, None)
            else:
                os.environ[_TOKEN] = before


def _require_mlflow() -> None:
    import importlib.util

    if importlib.util.find_spec("mlflow") is None:
        raise BadSettings("registering an estimator needs MLflow: pip install mlflow, or register a saved directory")


def _translated(error: Any, settings: Settings) -> HeadgateError:
    status = error.get_http_status_code()
    message = f"MLflow: {quoted(error.message, 500)}"
    if status in (401, 403):
        return AccessDenied(message)
    if "exceeded with url" in str(error) or "Connection" in type(error.__cause__).__name__:
        return ConnectionFailed(f"the connection to {settings.registry_url} broke while the model was logged")
    return InvalidRequest(message) if status < 500 else ServerFault(message)
