"""What a reader has and has not."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from serving.protocols.native import CSV
from serving.reader.child import MEMORY_BYTES
from tests.support.table_reader import Tables, state

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]


@pytest.fixture
def proc(tables: Tables) -> Path:
    """Give the directory of a reader in /proc."""
    tables.read(CSV, b"a\n1\n")
    return Path("/proc") / str(tables.reader.pids[0])


def test_its_environment_is_named_variables_only(proc: Path) -> None:
    """No credential and no setting of the node's reaches it."""
    names = {entry.split("=")[0] for entry in (proc / "environ").read_text().split("\0") if entry}
    known = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DO_NOT_TRACK"}
    known |= {"ARROW_DEFAULT_MEMORY_POOL", "NUMEXPR_NUM_THREADS", "GIT_PYTHON_REFRESH"}
    prefixes = ("OMP_", "OPENBLAS_", "MKL_", "PYTHON", "MLFLOW_DISABLE_TELEMETRY")
    assert {name for name in names - known if not name.startswith(prefixes)} == set()


def test_it_holds_its_socket_and_nothing_else(proc: Path) -> None:
    """Input and output lead nowhere, and there is one socket."""
    kinds = sorted(str(entry.readlink()).split(":")[0] for entry in (proc / "fd").iterdir())
    assert [kind for kind in kinds if not kind.startswith("anon_inode")] == ["/dev/null"] * 3 + ["socket"]


def test_it_is_bounded(proc: Path) -> None:
    """Memory has an end, cores are not written, privileges are not gained, and it goes first when memory is short."""
    limits = {line[:26].strip(): line[26:].split()[0] for line in (proc / "limits").read_text().splitlines()}
    size = int((proc / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    assert MEMORY_BYTES / 2 < int(limits["Max address space"]) - size <= MEMORY_BYTES
    assert limits["Max core file size"] == "0"
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()
    assert (proc / "oom_score_adj").read_text().strip() == "1000"


def test_it_does_not_hear_ctrl_c(tables: Tables, proc: Path) -> None:
    """An interrupt is the node's to understand."""
    os.kill(int(proc.name), signal.SIGINT)
    tables.read(CSV, b"a\n1\n")
    assert state(int(proc.name)) in ("S", "R")
