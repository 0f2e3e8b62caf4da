"""`python -m deploy.local` refusing: one clear line, exit code 2, nothing started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.home import hold_home
from tests.integration.deploy.stage import PATIENCE, ROOT, free_port

pytestmark = pytest.mark.integration


def make_up(home: Path, **variables: str) -> tuple[int, str]:
    """Run `make up`'s program; return its exit code and what it said."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HEADGATE_")}
    names = ("HEADGATE_REGISTRY_PORT", "HEADGATE_SERVING_PORT", "HEADGATE_GRPC_PORT")
    ports = {name: str(free_port()) for name in names}
    env = {**inherited, "HEADGATE_HOME": str(home), **ports, **variables}
    command = [sys.executable, "-m", "deploy.local"]
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE
    )
    return done.returncode, done.stdout.decode("utf-8")


def assert_refused(answer: tuple[int, str], *words: str) -> None:
    """Expect exit code 2 and a single line that holds all the words."""
    status, said = answer
    assert status == 2, said
    assert len(said.splitlines()) == 1, said
    for word in words:
        assert word in said


@pytest.mark.parametrize("variable", ["HEADGATE_REGISTRY_PORT", "HEADGATE_SERVING_PORT", "HEADGATE_GRPC_PORT"])
def test_a_port_in_use_is_named_with_the_variable_that_changes_it(tmp_path: Path, variable: str) -> None:
    """A listener on any of the ports refuses the start."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(make_up(tmp_path / "home", **{variable: str(port)}), f"port {port} ", "in use", variable)
    assert not (tmp_path / "home" / "s3").exists()


def test_a_second_make_up_on_the_same_home_is_refused(tmp_path: Path) -> None:
    """The holder is named by its process id."""
    with hold_home(tmp_path):
        assert_refused(make_up(tmp_path), f"process {os.getpid()}", str(tmp_path), "HEADGATE_HOME")


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A path below a file can be written by nobody, not even by root."""
    (tmp_path / "file").write_text("")
    assert_refused(make_up(tmp_path / "file" / "home"), "cannot write to", "HEADGATE_HOME")


def test_an_unknown_variable_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    """A slip of the finger must not start the platform with a default."""
    answer = make_up(tmp_path, HEADGATE_REGISTRY_PROT="5001")
    assert_refused(answer, "HEADGATE_REGISTRY_PROT", "did you mean HEADGATE_REGISTRY_PORT")


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "5000.5"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    """Ports are whole numbers from 1 to 65535."""
    assert_refused(make_up(tmp_path, HEADGATE_SERVING_PORT=value), "HEADGATE_SERVING_PORT: ")


def test_an_address_that_others_reach_needs_consent(tmp_path: Path) -> None:
    """Without access control, listening for others must be said twice."""
    assert_refused(make_up(tmp_path, HEADGATE_REGISTRY_HOST="0.0.0.0"), "HEADGATE_REGISTRY_HOST", "HEADGATE_AUTH=off")


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    """One cannot listen on an address that one does not have (198.51.100.0/24 is nobody's)."""
    answer = make_up(tmp_path, HEADGATE_SERVING_HOST="198.51.100.7", HEADGATE_AUTH="off")
    assert_refused(answer, "198.51.100.7", "HEADGATE_SERVING_HOST")


def test_the_home_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    """The lock is the kernel's: no file needs removing after a kill -9."""
    code = (
        "import sys, time; from pathlib import Path; from deploy.local.home import hold_home\n"
        "with hold_home(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"held\n"
        assert_refused(make_up(tmp_path), f"process {holder.pid}")
        holder.send_signal(signal.SIGKILL)
    with hold_home(tmp_path):
        pass
