"""Whatever one model does, the node lives, other models answer, and nothing of it is left behind."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import BYSTANDER, FaultyNode, Seen
from tests.faults.deeds import DEEDS
from tests.support.platform import until

pytestmark = pytest.mark.integration
# What a caller is told: a status, and a word of its message. None: it depends on the system, or its speed.
ANSWERS: Mapping[str, tuple[int | None, str]] = {
    "sys_exit": (500, "SystemExit"),
    "os_exit": (500, "exit status 3"),
    "segfault": (500, "SIGSEGV"),
    "abort": (500, "signal"),
    "endless": (504, ""),
    "memory_at_once": (500, "MemoryError"),
    "memory_in_pieces": (500, "MemoryError"),
    "fork_bomb": (504, ""),
    "hidden_bomb": (504, ""),
    "prints": (None, ""),
    "open_files": (500, "Too many open files"),
    "temporary_files": (200, ""),
    "large_file": (500, "File too large"),
    "threads": (500, "can't start new thread"),
    "close_socket": (500, ""),
    "garbage": (500, ""),
    "half_a_frame": (500, ""),
    "stop_itself": (None, ""),
    "shell_bomb": (504, ""),
    "kill_all": (None, ""),
    "kill_parent": (500, ""),
    "daemons": (200, ""),
}


def test_every_deed_has_its_answer() -> None:
    """No deed goes untried."""
    assert set(ANSWERS) == set(DEEDS)


@pytest.mark.parametrize("deed", DEEDS)
def test_only_the_host_of_a_deed_suffers(node: FaultyNode, deed: str) -> None:
    """The caller is told; the node and the other model go on; the model answers again; nothing is left."""
    until(lambda: node.ask(deed).status_code == 200, 30, "its first answer")
    before = node.family()
    descriptors = node.process.num_fds()

    with node.watched() as seen:
        answer = node.ask(deed, deed)
        until(lambda: node.ask(deed).status_code == 200, 30, "an answer of the model afterwards")

    status, words = ANSWERS[deed]
    assert answer.status_code == status or status is None, answer.text
    assert words in answer.text
    assert_undisturbed(seen)
    if deed != "daemons":  # those end with their host
        until(lambda: len(node.family()) <= len(before), 10, f"the end of {names(node.family() - before)}")
    until(lambda: node.process.num_fds() <= descriptors + 2, 10, "the return of its descriptors")
    until(lambda: len(node.homes()) <= len(DEEDS) + 1, 10, "the end of its directory")


def test_who_waits_behind_an_impatient_caller_is_answered(node: FaultyNode) -> None:
    """A caller who gives up after 0.3 s of an endless prediction costs the process, and nobody else an error."""
    until(lambda: node.ask("endless").status_code == 200, 30, "its first answer")
    body = {"inputs": {"do": ["endless"]}}
    with ThreadPoolExecutor(4) as pool:
        url, told = "/models/endless/predict", {"x-request-timeout-ms": "300"}
        impatient = pool.submit(node.client.post, url, json=body, headers=told)
        time.sleep(0.1)
        behind = [pool.submit(node.ask, "endless") for _ in range(3)]
        assert impatient.result().status_code == 504
        assert [answer.result().status_code for answer in behind] == [200, 200, 200], behind[0].result().text


def assert_undisturbed(seen: Seen) -> None:
    """Whoever looked on saw a node that answers at once, and a model that always answers."""
    assert set(seen.statuses) == {200}
    assert max(seen.livez) < 1
    assert statistics.quantiles(seen.seconds, n=100)[98] < 1


def names(pids: set[int]) -> list[str]:
    """Return what processes are called."""
    return [psutil.Process(pid).name() for pid in pids if psutil.pid_exists(pid)]


def test_nothing_is_left_when_the_node_ends(faulty_model: Path, tmp_path: Path) -> None:
    """Bombs, daemons and temporary files of hosts are gone once the node has been told to end."""
    node = FaultyNode(tmp_path / "home", faulty_model)
    try:
        for deed in ("daemons", "temporary_files"):
            assert node.ask(deed, deed).status_code == 200
        assert node.ask("fork_bomb", "fork_bomb").status_code == 504
        assert node.ask(BYSTANDER).status_code == 200
        family = [psutil.Process(pid) for pid in node.family()]
    finally:
        node.stop()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert not node.homes()
