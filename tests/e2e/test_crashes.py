"""kill -9 of each process: what was acknowledged stays, what was loaded comes back, and nothing half is ever served."""

from __future__ import annotations

import time

import httpx
import psutil
import pytest

from tests.e2e.asking import error_code
from tests.e2e.control import Control, Models
from tests.support.platform import Platform, until

pytestmark = pytest.mark.e2e

PATH = "steady/versions/1"


def below(process: psutil.Process) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Return the warm parents and the hosts below a serving process."""
    parents = process.children()
    return parents, [host for parent in parents for host in parent.children()]


@pytest.mark.parametrize("child", ["s3", "registry", "serving"])
def test_a_killed_process_comes_back_and_everything_goes_on(breakable: Platform, models: Models, child: str) -> None:
    """The supervisor restarts it; what was there answers, and new versions are registered, promoted and served."""
    control = Control(breakable)
    number = {"s3": 11.0, "registry": 12.0, "serving": 13.0}[child]
    upload = control.upload(models.answering(number))
    breakable.kill(child)
    if child != "serving":
        assert control.numbers(PATH) == [1, 1]  # at once: nothing of this is needed for what is loaded
    until(
        lambda: breakable.is_ready(breakable.registry_url) and breakable.is_ready(breakable.serving_url),
        60,
        f"recovery from {child}",
    )
    control.wait_answer(PATH, 1)
    version = control.register(f"after-{child}", upload)
    control.wait_ready(f"after-{child}", version)
    control.promote(f"after-{child}", version)
    control.wait_answer(f"after-{child}", number)


def test_a_killed_node_counts_no_row_twice(breakable: Platform, models: Models) -> None:
    """What it had reported stays counted; what it had not is lost, and nothing else; the next counts on."""
    control = Control(breakable)
    path = f"counted/versions/{control.add('counted', models.answering(6))}"

    def counted() -> int:
        window = control.ask("GET", f"/models/{path}/drift").json()["open"]
        return 0 if window is None else int(window["rows"])

    def ask(count: int) -> int:
        until(lambda: control.predict(path).status_code == 200, 60, "the first answer")
        return sum(len(control.numbers(path)) for _ in range(count)) + 2

    reported = ask(100)
    until(lambda: counted() == reported, 30, "a report of all rows")
    unsent = ask(40)
    breakable.kill("serving")
    until(lambda: breakable.is_ready(breakable.serving_url), 60, "another node")
    after = ask(20)
    until(lambda: counted() >= reported + after, 30, "the next node's report")
    last = ask(1)
    until(lambda: counted() >= reported + after + last, 30, "one report more")
    assert counted() <= reported + unsent + after + last


def test_an_uncached_version_waits_for_s3_and_answers_when_it_returns(breakable: Platform, models: Models) -> None:
    """S3 killed: a version that is not on this node is refused for now; the supervisor brings S3 back."""
    control = Control(breakable)
    version = control.add("returning", models.answering(5))
    breakable.kill("s3")
    answer = control.predict(f"returning/versions/{version}", {"x-request-timeout-ms": "300"})
    assert (answer.status_code, error_code(answer) in {"artifact_unavailable", "loading"}) == (503, True)
    assert int(answer.headers["retry-after"]) >= 1
    control.wait_answer(f"returning/versions/{version}", 5)


def test_a_killed_host_costs_at_most_the_request_it_held(breakable: Platform) -> None:
    """The model's process dies: the next request finds it loaded anew, in another process."""
    control = Control(breakable)
    control.wait_answer(PATH, 1)
    _, hosts = below(breakable.process("serving"))
    assert hosts
    for host in hosts:
        host.kill()
    psutil.wait_procs(hosts, timeout=10)
    until(lambda: control.predict(PATH).status_code == 200, 30, "a new host")
    assert control.numbers(PATH) == [1, 1]
    assert not {h.pid for h in hosts} & {h.pid for h in below(breakable.process("serving"))[1]}


def test_a_killed_warm_parent_takes_its_hosts_along_and_is_replaced(breakable: Platform) -> None:
    """No host outlives its parent; another parent is started, and the model answers."""
    control = Control(breakable)
    control.wait_answer(PATH, 1)
    parents, hosts = below(breakable.process("serving"))
    assert parents and hosts
    for parent in parents:
        parent.kill()
    assert not psutil.wait_procs(hosts, timeout=10)[1]
    control.wait_answer(PATH, 1)
    assert {p.pid for p in below(breakable.process("serving"))[0]} - {p.pid for p in parents}


def test_a_killed_supervisor_leaves_nothing_and_a_second_start_answers(breakable: Platform) -> None:
    """Everything goes with the supervisor; `make up` on the same home serves what was there."""
    family = breakable.family()
    breakable.kill_all()
    assert not psutil.wait_procs(family, timeout=10)[1]
    began = time.monotonic()
    breakable.start()
    control = Control(breakable)
    control.wait_answer(PATH, 1)
    control.wait_answer("steady", 1)
    print(f"\nfrom nothing to the first answer: {time.monotonic() - began:.1f} s")


def test_a_registry_that_was_killed_while_it_sealed_finishes(breakable: Platform, models: Models) -> None:
    """Killed at the moment of the acknowledgement, with nothing sealed yet: the version becomes ready all the same."""
    control = Control(breakable)
    upload = control.upload(models.answering(21))
    version = control.register("sealing", upload)
    breakable.kill("registry")

    def ready() -> bool:
        try:
            return control.state("sealing", version) == "ready"
        except httpx.HTTPError:
            return False

    until(ready, 90, "the end of an admission that was cut off")
    control.wait_answer(f"sealing/versions/{version}", 21)
