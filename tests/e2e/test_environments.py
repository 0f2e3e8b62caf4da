"""Versions with other libraries, or another Python, than the platform's: locked when they are admitted, built when they
are first asked, answering beside the others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from importlib.metadata import version as installed
from pathlib import Path

import pytest
from uv import find_uv_bin

from registry.libraries.uv import pyenv_python
from tests.e2e.asking import error_code
from tests.e2e.control import Control
from tests.support.models import SavedModels

pytestmark = pytest.mark.e2e

OTHER_PANDAS = "2.3.3"
BODY = "return [pd.__version__, np.__version__]"
OTHER_SKLEARN = "1.7.2"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where the package index cannot be reached, except in CI."""
    asked = tmp_path_factory.mktemp("index") / "asked.in"
    asked.write_text(f"pandas=={OTHER_PANDAS}\n")
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "--quiet", str(asked)], capture_output=True, cwd=asked.parent, timeout=60
    )
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip("the package index cannot be reached")


def environment_of(control: Control, name: str, version: str) -> str:
    """Return what admission says of a version's environment."""
    checks = control.version(name, version)["checks"]
    return str(next(check["reason"] for check in checks if check["name"] == "environment"))


def patiently(control: Control, path: str, seconds: float = 120) -> list[str]:
    """Ask until the libraries of a version are there; return what it answers."""
    until = time.monotonic() + seconds
    while (answer := control.predict(path)).status_code == 503 and time.monotonic() < until:
        assert error_code(answer) == "loading", answer.text
    assert answer.status_code == 200, answer.text
    return [str(each) for each in answer.json()["predictions"]]


@pytest.mark.usefixtures("index")
def test_other_libraries_answer_side_by_side(
    control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """While the environment is built callers are told so, and other versions answer; then each has its own pandas."""
    root = tmp_path_factory.mktemp("libraries")
    requirements = [f"mlflow-skinny=={installed('mlflow')}", "numpy", f"pandas=={OTHER_PANDAS}"]
    saved_models.save_custom(root / "other", BODY, requirements)
    saved_models.save_custom(root / "same", BODY, ["mlflow"])
    other, same = control.add("libraries", root / "other"), control.add("libraries", root / "same")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert re.fullmatch(rf"locked \d+ packages for Python {python}", environment_of(control, "libraries", other))
    assert environment_of(control, "libraries", same) == "uses the platform's environment"

    began = time.monotonic()
    told = 0
    while True:
        answer = control.predict(f"libraries/versions/{other}", {"x-request-timeout-ms": "500"})
        if answer.status_code == 200:
            break
        assert (answer.status_code, error_code(answer)) == (503, "loading"), answer.text
        assert int(answer.headers["retry-after"]) >= 1
        told += 1
        if told == 1:
            assert control.predict(f"libraries/versions/{same}").json()["predictions"][0] == installed("pandas")
        assert time.monotonic() - began < 90
    print(f"\nan environment in {time.monotonic() - began:.1f} s; told to wait {told} times")
    assert told
    assert answer.json()["predictions"][0] == OTHER_PANDAS
    assert control.predict(f"libraries/versions/{same}").json()["predictions"][0] == installed("pandas")


@pytest.mark.usefixtures("index")
def test_two_releases_of_scikit_learn_answer_side_by_side(
    control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each version has the release that it was saved with: one of its own, one the platform's."""
    root = tmp_path_factory.mktemp("releases")
    body = "import sklearn\nreturn [sklearn.__version__]"
    versions = {}
    for release in (OTHER_SKLEARN, installed("scikit-learn")):
        requirements = [f"mlflow-skinny=={installed('mlflow')}", "numpy", "pandas", f"scikit-learn=={release}"]
        saved_models.save_custom(root / release, body, requirements)
        versions[release] = control.add("releases", root / release)
    for _ in range(2):
        for release, version in versions.items():
            assert patiently(control, f"releases/versions/{version}") == [release]


@pytest.mark.usefixtures("index")
def test_a_version_of_another_python_answers_where_there_is_one(
    control: Control, saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its ``python_env.yaml`` is honoured; where this machine has no such Python, it is rejected in words."""
    root = tmp_path_factory.mktemp("pythons")
    requirements = [f"mlflow-skinny=={installed('mlflow')}", "numpy", "pandas"]
    found = next((p for p in ("3.12", "3.10", "3.13") if pyenv_python(os.environ, p)), None)
    for python in (found or "3.10", "3.99"):
        saved_models.save_custom(root / python, "import sys\nreturn [sys.version.split()[0]]", requirements)
        wants_python(root / python, f"{python}.1")

    lost = control.register("pythons", control.upload(root / "3.99"))
    while (record := control.version("pythons", lost))["state"] in ("pending", "checking"):
        time.sleep(0.1)
    assert record["state"] == "rejected"
    assert "wants Python 3.99, which this machine does not have; install it" in record["reason"]
    if found is None:
        pytest.skip("this machine has no other Python")
    version = control.add("pythons", root / found)
    assert environment_of(control, "pythons", version).endswith(f"for Python {found}")
    (answer,) = patiently(control, f"pythons/versions/{version}")
    assert answer.startswith(f"{found}.")


def wants_python(directory: Path, python: str) -> None:
    """Have a model directory say that it was saved with another Python."""
    file = directory / "python_env.yaml"
    file.write_text(re.sub(r"(?m)^python:.*$", f"python: {python}", file.read_text()))
