"""Which tier a version is of: *data* (parsed) or *code* (executed). Pure.

Decided from the loader that would run and the files that came along, never from a tag or a claim: a flavour name alone
proves nothing, because ``loader_module`` is what MLflow imports.
"""

from __future__ import annotations

from collections.abc import Iterable

from registry.admission.mlmodel import ModelFile
from registry.records import Tier

_DATA_LOADERS = {
    "mlflow.onnx": (".onnx", ".data"),
    "mlflow.xgboost": (".xgb", ".json", ".ubj"),
    "mlflow.lightgbm": (".lgb", ".txt"),
    "mlflow.catboost": (".cb", ".cbm"),
}
_BESIDE = frozenset({"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"})


def tier_of(model: ModelFile, paths: Iterable[str]) -> tuple[Tier, str]:
    """Return the tier, and why, in words."""
    suffixes = _DATA_LOADERS.get(model.loader_module)
    if suffixes is None:
        return Tier.CODE, f"{model.loader_module} executes what it loads"
    if model.code is not None:
        return Tier.CODE, "Python files came with it"
    flavor = model.flavors.get(model.loader_module.removeprefix("mlflow."), {})
    if str(flavor.get("model_class", "")).split(".")[0] not in ("", "xgboost", "lightgbm", "catboost"):
        return Tier.CODE, "it names a class of its own to load with"
    for path in paths:
        if path not in _BESIDE and not path.endswith((*suffixes, "input_example.json", "serving_input_example.json")):
            return Tier.CODE, "it holds files beside the model that the loader may execute"
    return Tier.DATA, f"{model.loader_module} only parses its file"
