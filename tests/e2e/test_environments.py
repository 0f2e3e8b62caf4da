"""A version with other libraries than the platform's gets an environment of its own, and answers beside the others."""

from __future__ import annotations

import os
import subprocess
import time
from importlib.metadata import version as installed

import pytest
from uv import find_uv_bin

from tests.e2e.asking import error_code
from tests.e2e.control import Control
from tests.support.models import SavedModels

pytestmark = pytest.mark.e2e

OTHER_PANDAS = "2.3.3"
BODY = "return [pd.__version__, np.__version__]"


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
