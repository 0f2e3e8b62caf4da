"""Reads the ``MLmodel`` file that came with an artifact, trusting nothing in it. Pure: bytes in, values out.

Here: what the file says, in types. Not here: what follows from it (``tier.py``) and the order of the checks
(``admit.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.admission.plain_yaml import load_plain_yaml
from registry.errors import InvalidRequest, quote
from registry.signature import signature_json


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What ``MLmodel`` says.

    Attributes:
        flavors: Flavour name → its settings.
        loader_module: The module that ``mlflow.pyfunc`` would import to load the model.
        code: The folder of Python files that came with it, or None.
        python: The Python version it was saved with, as ``3.11.7``, or None.
        signature: The signature as its JSON object, or None.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    loader_module: str
    code: str | None
    python: str | None
    signature: Mapping[str, Any] | None


def parse_mlmodel(data: bytes) -> ModelFile:
    """Read the bytes of an ``MLmodel`` file; raise InvalidRequest ``not_servable`` saying what is wrong with it."""
    document = _load(data)
    flavors = document.get("flavors")
    if not isinstance(flavors, dict) or not all(isinstance(f, dict) for f in flavors.values()):
        raise _refusal("names no flavours")
    pyfunc = flavors.get("python_function")
    if pyfunc is None:
        raise _refusal(
            "has no python_function flavour, so it cannot be served; save it with a flavour that mlflow.pyfunc can load"
        )
    loader, code, python = pyfunc.get("loader_module"), pyfunc.get("code"), pyfunc.get("python_version")
    if not isinstance(loader, str):
        raise _refusal("names no loader_module in its python_function flavour")
    return ModelFile(
        flavors=flavors,
        loader_module=loader,
        code=code if isinstance(code, str) else None,
        python=str(python) if python is not None else None,
        signature=_signature(document.get("signature")),
    )


def _signature(raw: object) -> Mapping[str, Any] | None:
    if raw is not None and not isinstance(raw, dict):
        raise _refusal("has a signature that cannot be read")
    try:
        return signature_json(raw)
    except ValueError as error:
        raise _refusal(f"has a signature that cannot be read: {quote(error)}") from error


def _load(data: bytes) -> dict[str, Any]:
    try:
        document = load_plain_yaml(data)
    except ValueError as error:
        raise _refusal(str(error)) from error
    if not isinstance(document, dict):
        raise _refusal("is not a YAML mapping")
    return document


def _refusal(problem: str) -> InvalidRequest:
    return InvalidRequest("not_servable", f"the MLmodel file {problem}")
