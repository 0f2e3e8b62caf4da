"""What a host has and has not, and that nothing outlives the node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.exchange import JsonOutput
from tests.integration.runtimes.conftest import Hosts, rows
from tests.integration.runtimes.test_faults import descendants, gone, runs

pytestmark = pytest.mark.integration
NODE = """
import asyncio, sys
from pathlib import Path
from serving.runtimes.host.runtime import HostRuntime
from serving.exchange import Call, Table
from tests.support.models import servable
from tests.integration.runtimes.conftest import OneEnvironment, rows

async def main():
    runtime = HostRuntime(OneEnvironment(), Path(sys.argv[1]))
    await runtime.start()
    for directory in map(Path, sys.argv[2:]):
        host = await runtime.load(servable(directory), directory, 60)
        print(host.pid, flush=True)
        asyncio.ensure_future(host.predict(Call(rows()), 60))
    process = next(iter(runtime._nurseries.values())).parent
    print(process.pid, flush=True)
    print("mlflow" in sys.modules or "pandas" in sys.modules, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_a_host_has_no_credentials_in_its_environment(hosts: Hosts) -> None:
    """Only named variables reach a model, whatever the node was started with."""
    with hosts.loaded("environment") as host:
        output = hosts.predict(host, rows())
    assert isinstance(output, JsonOutput)
    names = set(output.value[0])
    known = {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "TZ",
        "MPLCONFIGDIR",
        "XDG_CACHE_HOME",
        "DO_NOT_TRACK",
        "LD_LIBRARY_PATH",
    }
    known |= {
        "GIT_PYTHON_REFRESH",
        "NUMEXPR_NUM_THREADS",
        "LC_ALL",
        "LC_CTYPE",
        "KMP_DUPLICATE_LIB_OK",
        "KMP_INIT_AT_FORK",
    }
    assert {n for n in names - known if not n.startswith(("OMP_", "OPENBLAS_", "MKL_", "PYTHON", "MLFLOW_"))} == set()
    assert output.value[0]["OMP_NUM_THREADS"] == "1"
    assert not [n for n in names if n.startswith(("AWS_", "HEADGATE_", "DATABASE"))]


def test_a_host_has_no_descriptors_of_others(hosts: Hosts) -> None:
    """Standard input is empty, output goes to the node, and there are one socket and the memory shared with it."""
    with hosts.loaded("sum"), hosts.loaded("descriptors") as host:
        output = hosts.predict(host, rows())
    assert isinstance(output, JsonOutput)
    kinds = [link.split(":")[0] for link in output.value[0]]
    assert kinds[:3] == ["/dev/null", "pipe", "pipe"]
    assert kinds.count("socket") == 1
    assert kinds.count("/memfd") == 1
    assert len(kinds) == 5


def test_a_host_works_in_a_directory_of_its_own(hosts: Hosts) -> None:
    """Two hosts share no working directory."""
    with hosts.loaded("process") as one, hosts.loaded("process") as other:
        first, second = hosts.predict(one, rows()), hosts.predict(other, rows())
    assert isinstance(first, JsonOutput)
    assert isinstance(second, JsonOutput)
    assert first.value[2] != second.value[2]


def test_a_model_directory_is_not_written_to(hosts: Hosts) -> None:
    """Loading leaves the sealed files and their directory as they were."""
    directory = hosts.models.get("code_paths").directory
    before = sorted(directory.rglob("*"))
    with hosts.loaded("code_paths") as host:
        hosts.predict(host, rows())
    assert sorted(directory.rglob("*")) == before


def test_nothing_survives_a_killed_node(hosts: Hosts, tmp_path: Path) -> None:
    """kill -9 of the node ends parent and hosts, a looping and a spawning one included; the node imports no MLflow."""
    directories = [hosts.models.get(kind).directory for kind in ("sum", "endless", "spawning")]
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", NODE, str(tmp_path), *map(str, directories)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment) as node:
        assert node.stdout is not None
        pids = [int(node.stdout.readline()) for _ in range(4)]
        assert node.stdout.readline().strip() == "False"
        time.sleep(0.3)
        assert all(runs(pid) for pid in pids)
        left_behind = [p for pid in pids for p in descendants(pid)]
        node.send_signal(signal.SIGKILL)
        assert all(gone(pid) for pid in {*pids, *left_behind})
    assert len(set(left_behind)) >= 4
