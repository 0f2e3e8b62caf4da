"""The supervisor with stand-in programs: restarts, order, signals, and what is left when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.seaweedfs import plan_seaweedfs, wait_until_ready
from tests.integration.deploy.stage import HERE, PATIENCE, Stage, alive, until

pytestmark = pytest.mark.integration


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A home without children yet; whatever starts there is gone after the test."""
    prepared = Stage(tmp_path)
    yield prepared
    prepared.close()


def three(stage: Stage) -> dict[str, int]:
    """Start three stand-ins; return their process ids by name once all are ready."""
    for name in ("store", "registry", "serving"):
        stage.add(name)
    stage.start_until_ready()
    return dict(stage.diary("born"))


def test_sigterm_stops_all_in_reverse_order_with_exit_code_0(stage: Stage) -> None:
    """SIGTERM ends serving first, then the registry, then the store, and the supervisor with 0."""
    pids = three(stage)
    assert stage.process is not None
    stage.process.send_signal(signal.SIGTERM)
    assert stage.process.wait(PATIENCE) == 0
    assert [name for name, _ in stage.diary("ended")] == ["serving", "registry", "store"]
    assert not any(alive(pid) for pid in pids.values())
    assert stage.terminal().rstrip().endswith("Stopped.")


def test_ctrl_c_stops_with_exit_code_0(stage: Stage) -> None:
    """The first Ctrl-C is a request like SIGTERM, and says what a second would do."""
    three(stage)
    assert stage.process is not None
    stage.process.send_signal(signal.SIGINT)
    assert stage.process.wait(PATIENCE) == 0
    assert "Ctrl-C again: at once" in stage.terminal()


def test_a_second_ctrl_c_forces_and_ends_with_130(stage: Stage) -> None:
    """A child that ignores SIGTERM keeps a patient stop waiting, and a forced one not."""
    stage.add("stubborn", "--stubborn", stop_seconds=60.0)
    process = stage.start_until_ready()
    process.send_signal(signal.SIGINT)
    until(lambda: "Stopping" in stage.terminal(), "the first Ctrl-C to be noticed")
    process.send_signal(signal.SIGINT)  # an echo of the first, which means nothing
    time.sleep(0.7)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130
    assert not any(alive(pid) for _, pid in stage.diary("born"))


def test_a_child_that_ignores_sigterm_is_killed_after_its_time(stage: Stage) -> None:
    """The wait for a child is bounded."""
    stage.add("stubborn", "--stubborn", stop_seconds=0.3)
    process = stage.start_until_ready()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert not any(alive(pid) for _, pid in stage.diary("born"))


def test_a_start_can_be_stopped_before_anything_is_ready(stage: Stage) -> None:
    """One need not wait for readiness to change one's mind, nor for the pause before a restart."""
    stage.add("slow", ready=False)
    stage.add("broken", "--exit", "1", ready=False)
    process = stage.start()
    until(lambda: "again in 4 s" in stage.terminal(), "a long pause")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - began < 2.0
    assert not any(alive(pid) for _, pid in stage.diary("born"))


def test_a_terminal_that_closes_stops_all(stage: Stage) -> None:
    """SIGHUP is a request like SIGTERM."""
    three(stage)
    assert stage.process is not None
    stage.process.send_signal(signal.SIGHUP)
    assert stage.process.wait(PATIENCE) == 0


def test_seaweedfs_comes_back_where_it_was_with_what_it_had(stage: Stage) -> None:
    """The real store, killed, is started again at the same endpoint; with the supervisor it dies."""
    command = plan_seaweedfs(stage.home / "s3")
    stage.children.append(
        {
            "name": "SeaweedFS",
            "argv": list(command.argv),
            "env": dict(command.env),
            "ready_url": f"{command.endpoint}/healthz",
            "stop_seconds": 15.0,
        }
    )
    process = stage.start_until_ready()
    wait_until_ready(command, PATIENCE)
    (first,) = stage.children_of_supervisor()
    os.kill(first, signal.SIGKILL)
    until(lambda: "SeaweedFS is ready again" in stage.terminal(), "the store's return")
    wait_until_ready(command, PATIENCE)
    (second,) = stage.children_of_supervisor()
    process.kill()
    process.wait(PATIENCE)
    until(lambda: not alive(second), "the store's end")


def test_a_killed_child_is_started_again_and_the_user_is_told(stage: Stage) -> None:
    """A death leads to one line with the reason, a restart, and a line when it is ready again."""
    pids = three(stage)
    os.kill(pids["registry"], signal.SIGKILL)
    until(lambda: "registry is ready again" in stage.terminal(), "the registry's return")
    assert "registry was killed by SIGKILL; starting it again in 0.5 s (log: " in stage.terminal()
    assert [name for name, _ in stage.diary("born")].count("registry") == 2
    assert alive(pids["store"])
    assert alive(pids["serving"])


def test_a_child_that_dies_at_start_is_retried_with_growing_delays_and_its_last_lines_are_shown(stage: Stage) -> None:
    """Failing before ever being ready shows the log's last lines, without their escape sequences, and goes on."""
    stage.add("broken", "--exit", "3", ready=False)
    stage.start()
    until(lambda: "again in 2 s" in stage.terminal(), "the third failure")
    said = stage.terminal()
    assert "broken ended with exit code 3; starting it again in 0.5 s" in said
    assert "again in 1 s" in said
    assert "  | ?[31mhello from broken" in said
    assert "\x1b" not in said


def test_a_child_that_fails_once_at_start_does_not_keep_the_rest_from_becoming_ready(stage: Stage) -> None:
    """A crash at the first start is only a delay."""
    stage.add("shaky", "--exit-first", "1")
    stage.add("steady")
    stage.start_until_ready()
    assert [name for name, _ in stage.diary("born")].count("shaky") == 2


def test_a_child_that_refuses_its_settings_ends_the_start_with_exit_code_2(stage: Stage) -> None:
    """Exit code 2 before it was ever ready: its words are shown, the others are stopped, nothing is retried."""
    stage.add("steady")
    stage.add("registry", "--exit", "2", ready=False)
    process = stage.start()
    assert process.wait(PATIENCE) == 2
    assert "registry refuses to start:\n" in stage.terminal()
    assert [name for name, _ in stage.diary("born")].count("registry") == 1
    assert not any(alive(pid) for _, pid in stage.diary("born"))


def test_nothing_survives_the_supervisors_own_kill_9(stage: Stage) -> None:
    """The kernel ends the children of a supervisor that cannot do it any more."""
    pids = three(stage)
    assert stage.process is not None
    stage.process.send_signal(signal.SIGKILL)
    stage.process.wait(PATIENCE)
    until(lambda: not any(alive(pid) for pid in pids.values()), "the children's end")


def test_what_a_dead_child_left_behind_is_swept_away(stage: Stage) -> None:
    """A child's own children do not live on beside its successor."""
    stage.add("forker", "--orphan")
    stage.start_until_ready()
    (_, pid) = stage.diary("born")[0]
    left = int((stage.home / "diary").read_text("ascii").split(" left ")[1].split()[0])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(left), "the orphan's end")
    until(lambda: "forker is ready again" in stage.terminal(), "the forker's return")


def test_the_terminal_stays_calm_and_the_log_has_the_rest(stage: Stage) -> None:
    """What children print goes to their log files, not to the terminal."""
    three(stage)
    assert "hello" not in stage.terminal()
    assert "hello from serving" in (stage.home / "logs" / "serving.log").read_text("utf-8")


def test_a_launcher_whose_parent_is_gone_already_never_becomes_the_command(tmp_path: Path) -> None:
    """The race between a parent's death and the wish to die with it is closed: the wrong parent means leaving."""
    launcher = HERE.parents[2] / "deploy" / "local" / "child.py"
    touched = tmp_path / "ran"
    command = [sys.executable, "-I", "-S", str(launcher), "--parent", "1", "--", "touch", str(touched)]
    assert subprocess.run(command, timeout=PATIENCE).returncode == 0
    assert not touched.exists()


@pytest.mark.parametrize("watch", [(), ("--watch",)])
def test_the_launcher_passes_the_exit_on(watch: tuple[str, ...]) -> None:
    """Exit codes, signals and a command that does not exist look the same through the launcher."""
    launcher = [sys.executable, "-I", "-S", str(HERE.parents[2] / "deploy" / "local" / "child.py")]
    start = [*launcher, "--parent", str(os.getpid()), *watch, "--"]
    assert subprocess.run([*start, "sh", "-c", "exit 7"], timeout=PATIENCE).returncode == 7
    assert subprocess.run([*start, "sh", "-c", "kill -TERM $$"], timeout=PATIENCE).returncode == -signal.SIGTERM
    assert subprocess.run([*start, "/no/such/command"], timeout=PATIENCE, stderr=subprocess.DEVNULL).returncode == 127


def test_the_watching_launcher_ends_its_command_when_its_parent_dies(tmp_path: Path) -> None:
    """Where the kernel offers nothing (macOS), the launcher watches its parent instead."""
    launcher = HERE.parents[2] / "deploy" / "local" / "child.py"
    parent_code = (
        "import subprocess, os, sys, time\n"
        f"subprocess.Popen([sys.executable, '-I', '-S', {str(launcher)!r}, '--parent', str(os.getpid()), '--watch',"
        f" '--', 'sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 600'])\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code])
    pid_file = tmp_path / "pid"
    until(lambda: pid_file.exists() and pid_file.read_text("ascii").strip(), "the command's start")
    parent.kill()
    parent.wait(PATIENCE)
    until(lambda: not alive(int(pid_file.read_text("ascii"))), "the command's end")


def test_a_new_supervisor_can_start_right_after_one_was_killed(stage: Stage) -> None:
    """Ports and home are free again at once: a kill -9 needs no cleaning up."""
    three(stage)
    assert stage.process is not None
    stage.process.kill()
    stage.process.wait(PATIENCE)
    began = time.monotonic()
    stage.start_until_ready()
    assert time.monotonic() - began < PATIENCE
