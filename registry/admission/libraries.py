"""Which libraries and which Python a version asks for, read from the files that came with it. Pure.

MLflow writes ``requirements.txt`` and ``python_env.yaml``; models saved before 1.20 have their requirements in
``conda.yaml`` alone. Not here: whether these can be had (the ``Resolver`` port).
"""

from __future__ import annotations

import re

from registry.admission.plain_yaml import load_plain_yaml
from registry.errors import InvalidRequest
from registry.requirements import refuse_requirement, strip_comment

MAX_LINES = 1000
_PYTHON = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}(?:\.[0-9]{1,3})?(?:[a-z]{1,2}[0-9]{1,3})?")


def libraries(requirements_txt: str, conda_yaml: str) -> tuple[str, ...]:
    """Return the requirement lines, cleaned; raise InvalidRequest ``not_servable`` naming the first that is refused.

    Lines that name another index, a URL, a path or a version-control system are refused: a server installs nothing from
    an address that came with a model.
    """
    lines = [strip_comment(line) for line in requirements_txt.replace("\\\n", " ").splitlines()] or _from_conda(
        conda_yaml
    )
    kept = tuple(line for line in lines if line)
    if len(kept) > MAX_LINES:
        raise InvalidRequest("not_servable", f"it lists {len(kept)} requirements; at most {MAX_LINES} are accepted")
    for line in kept:
        problem = refuse_requirement(line)
        if problem:
            raise InvalidRequest("not_servable", problem)
    return kept


def python_of(python_env_yaml: str, otherwise: str | None) -> str | None:
    """Return the Python that ``python_env.yaml`` names, as ``3.11.7``; ``otherwise`` where it names none.

    Raises InvalidRequest ``not_servable`` where it cannot be read.
    """
    if not python_env_yaml.strip():
        return otherwise
    try:
        document = load_plain_yaml(python_env_yaml.encode())
    except ValueError as error:
        raise InvalidRequest("not_servable", f"the file python_env.yaml {error}") from error
    named = document.get("python") if isinstance(document, dict) else None
    if named is None:
        return otherwise
    text = str(named)  # 3.11 without quotes is a number to YAML
    if not _PYTHON.fullmatch(text):
        raise InvalidRequest(
            "not_servable", "the file python_env.yaml names a python that is no version; write it as '3.11.7'"
        )
    return text


def _from_conda(text: str) -> list[str]:
    if not text:
        return []
    try:
        document = load_plain_yaml(text.encode())
        entries = document["dependencies"] if isinstance(document, dict) else ()
        nested = [entry["pip"] for entry in entries if isinstance(entry, dict) and "pip" in entry]
        if not all(isinstance(group, list) and all(isinstance(line, str) for line in group) for group in nested):
            # A text is a list of letters to Python, and each letter is the name of somebody's package.
            raise TypeError
        return [strip_comment(line) for group in nested for line in group]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest("not_servable", "the file conda.yaml cannot be read") from error
