"""Reads the ``MLmodel`` file that came with an artifact, trusting nothing in it. Pure: bytes in, values out.

Here: what the file says, in types. Not here: what follows from it (``tier.py``) and the order of the checks
(``admit.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.admission.plain_yaml import MAX_NODES, load_plain_yaml
from registry.errors import InvalidRequest, quote
from registry.signature import signature_json

MAX_FLAVORS = 32
MAX_SIGNATURE_DEPTH = 32
_INT64 = range(-(2**63), 2**63)
_FLAVOR = re.compile(r"[\w.-]{1,64}", re.ASCII)
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_PYTHON = re.compile(r"[0-9][0-9A-Za-z.+]{0,31}")


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
    if len(flavors) > MAX_FLAVORS or not all(isinstance(name, str) and _FLAVOR.fullmatch(name) for name in flavors):
        raise _refusal(f"must name at most {MAX_FLAVORS} flavours, each in 1 to 64 of A-Z a-z 0-9 _ . -")
    loader, code, python = pyfunc.get("loader_module"), pyfunc.get("code"), pyfunc.get("python_version")
    if not isinstance(loader, str) or len(loader) > 256 or not _MODULE.fullmatch(loader):
        raise _refusal("names no loader_module in its python_function flavour that could be a module's name")
    return ModelFile(
        flavors=flavors,
        loader_module=loader,
        code=code if isinstance(code, str) else None,
        python=_python(python),
        signature=_signature(document.get("signature")),
    )


def _python(raw: object) -> str | None:
    if raw is None:
        return None
    # 3.11 without quotes is a number to YAML.
    text = str(raw) if isinstance(raw, str | float) else ""
    if not _PYTHON.fullmatch(text):
        raise _refusal("has a python_version that is none; write it as '3.11.7'")
    return text


def _signature(raw: object) -> Mapping[str, Any] | None:
    if raw is not None and not isinstance(raw, dict):
        raise _refusal("has a signature that cannot be read")
    try:
        decoded = signature_json(raw)
        problem = _unfit(decoded)
    except (ValueError, RecursionError) as error:
        why = "it nests too deeply" if isinstance(error, RecursionError) else quote(error)
        raise _refusal(f"has a signature that cannot be read: {why}") from error
    if problem:
        raise _refusal(f"has a signature that cannot be read: it {problem}")
    return decoded


def _unfit(document: object) -> str:
    """Say what in decoded JSON could not be sent on: every node reads the signature of every version, in one answer,
    so what one parser takes and another does not would cut them all off."""
    level: list[object] = [document]
    nodes = 0
    for _ in range(MAX_SIGNATURE_DEPTH):
        nodes += len(level)
        if nodes > MAX_NODES:
            return f"holds more than {MAX_NODES} values"
        problem = next(filter(None, map(_unfit_value, level)), "")
        if problem or not level:
            return problem
        level = [part for node in level for part in _parts(node)]
    return f"nests deeper than {MAX_SIGNATURE_DEPTH} levels"


def _parts(node: object) -> list[object]:
    if isinstance(node, dict):
        return [*node, *node.values()]
    return node if isinstance(node, list) else []


def _unfit_value(value: object) -> str:
    if isinstance(value, str):
        return "holds broken Unicode" if any("\ud800" <= c <= "\udfff" for c in value) else ""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    if isinstance(value, int):
        return "" if value in _INT64 else "holds a number beyond 64 bits"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "holds a number that is not finite"
    return "holds a value that is not JSON"


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
