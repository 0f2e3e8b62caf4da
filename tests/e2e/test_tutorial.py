"""The tutorial's commands, run in the order in which a reader types them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.platform import ROOT, Platform

pytestmark = pytest.mark.e2e

TUTORIAL = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[str]:
    """Return the commands that a reader types beside the running platform."""
    if not TUTORIAL.exists():
        return []
    found = _BLOCK.findall(TUTORIAL.read_text())
    return [block for block in found if not block.startswith("# in another terminal") and "make up" not in block]


def adapted(block: str, platform: Platform) -> str:
    """Return a block for this test's ports."""
    registry, serving = platform.registry_url.rsplit(":", 1)[1], platform.serving_url.rsplit(":", 1)[1]
    for host in ("127.0.0.1", "localhost"):
        block = block.replace(f"{host}:5000", f"127.0.0.1:{registry}").replace(f"{host}:8080", f"127.0.0.1:{serving}")
    return block


@pytest.mark.skipif(not TUTORIAL.exists(), reason="there is no tutorial yet")
def test_the_tutorials_commands_work(platform: Platform, tmp_path: Path) -> None:
    """Every block ends with exit code 0, in an empty directory but for the checkout's own files."""
    assert blocks(), "the tutorial has no commands"
    work = tmp_path / "work"
    work.mkdir()
    for name in ("docs", "Makefile", ".venv"):  # the reader stands in the checkout
        if (ROOT / name).exists():
            (work / name).symlink_to(ROOT / name)
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HEADGATE_REGISTRY_URL": platform.registry_url,
        "HEADGATE_SERVING_URL": platform.serving_url,
    }
    bash = shutil.which("bash")
    assert bash
    for block in blocks():
        began = time.monotonic()
        done = subprocess.run(
            [bash, "-euo", "pipefail", "-c", adapted(block, platform)],
            cwd=work, env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        print(f"{time.monotonic() - began:6.1f} s  {block.splitlines()[0][:100]}")
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
