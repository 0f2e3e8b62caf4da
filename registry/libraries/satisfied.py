"""Which requirements an environment meets, and what has to be installed where it does not. Pure but for ``installed``.

Both processes ask: the registry when it admits a version, a node before it builds an environment. Not here: which
lines are let in at all (``registry/requirements.py``), and how a resolver is spoken to (``uv.py``).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from registry.errors import quote
from registry.requirements import refuse_requirements, strip_comment

_MLFLOW = ("mlflow", "mlflow-skinny")
_NO_LONGER_OLD = Version("2.20")

Installed = Callable[[str], str | None]


def installed(name: str) -> str | None:
    """Return the version of a distribution in this process's environment, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def parse_requirements(lines: Iterable[str]) -> list[Requirement]:
    """Return requirement lines parsed; raise ValueError, in words, for one that is not allowed or cannot be read."""
    given = tuple(lines)
    refused = refuse_requirements(given)
    if refused:
        raise ValueError(refused[0])
    return [_parse(text) for line in given if (text := strip_comment(line))]


def _parse(line: str) -> Requirement:
    try:
        requirement = Requirement(line)
        if requirement.marker is not None:
            requirement.marker.evaluate()  # one may be well written and mean nothing: os_name ~= "x"
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"the requirement '{quote(line)}' cannot be read: {quote(reason)}") from None
    return requirement


def unsatisfied(requirements: Iterable[Requirement], have: Installed) -> Iterator[str]:
    """Yield each requirement that applies here and that ``have`` does not meet exactly."""
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = have(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True) or requirement.extras:
            yield str(requirement)  # extras: only a resolver can tell whether they are there


def is_satisfied(requirements: Iterable[Requirement], python: str | None, have: Installed) -> bool:
    """Tell whether an environment of this Python that holds what ``have`` tells meets every line that applies."""
    same = python is None or minor(python) == minor(platform.python_version())
    return same and next(unsatisfied(requirements, have), None) is None


def wanted(requirements: Iterable[Requirement], have: Installed) -> list[str]:
    """Return the lines to install for a version: its own, and what any host needs besides."""
    asked = list(requirements)
    names = {canonicalize_name(r.name) for r in asked}
    lines = sorted({str(r) for r in asked})
    if not names & set(_MLFLOW):
        lines.append(f"mlflow<={have('mlflow')}")  # no newer than ours, older where the Python is
    elif "mlflow" not in names:
        lines += [name for name in ("numpy", "pandas") if name not in names]  # which mlflow-skinny leaves out
    if "setuptools" not in names and any(map(_is_old_mlflow, asked)):
        # It imports pkg_resources and does not say so: tools that made environments brought setuptools along, once.
        lines.append("setuptools<81")
    return lines


def _is_old_mlflow(requirement: Requirement) -> bool:
    if canonicalize_name(requirement.name) not in _MLFLOW:
        return False
    for bound in requirement.specifier:
        try:
            if bound.operator in ("==", "===", "<=", "<", "~=") and Version(bound.version) < _NO_LONGER_OLD:
                return True
        except InvalidVersion:
            continue  # ==2.*: the newest of them is not that old
    return False


def minor(python: str) -> str:
    """Return ``3.11`` of ``3.11.7``: libraries are built for that much of a Python's version."""
    return ".".join(python.split(".")[:2])


def chosen_python(python: str | None) -> str:
    """Return the minor version of the Python that a version wants; ours where it does not say."""
    return minor(python or platform.python_version())
