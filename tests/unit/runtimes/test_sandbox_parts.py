"""The parts of a host's confinement that can be looked at without a host."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from serving.runtimes.host.child import readable, seccomp
from serving.runtimes.host.child.sandbox import Confinement
from serving.runtimes.host.confinement import Confinement as Orders

ALLOWED, REFUSED, UNKNOWN, DONE = 0x7FFF0000, 0x00050001, 0x00050026, 0x00050000
CLONE_THREAD, CLONE_NEW_USER = 0x00010000, 0x10000000


def verdict(program: bytes, arch: int, number: int, argument: int = 0) -> int:
    """Run a filter as the kernel does."""
    steps = list(struct.iter_unpack("=HBBI", program))
    seen = {0: number, 4: arch, 16: argument}
    at, held = 0, 0
    while True:
        code, holds, fails, value = steps[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            held = seen[value]
        else:
            tests = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}
            at += holds if tests[code] else fails


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_refuses_what_it_names_and_nothing_else(machine: str) -> None:
    """Sockets and the ways around them are refused; threads, files and pairs of sockets are not."""
    numbers = seccomp._TABLES[machine]
    program = seccomp.program(numbers)

    def ask(number: int, argument: int = 0) -> int:
        return verdict(program, numbers["arch"], number, argument)

    named = {n for name, n in numbers.items() if name not in ("arch", "seccomp", "clone", "setsid")}
    assert {ask(number) for number in {*named, 425, 426, 427, 438}} == {REFUSED}
    assert ask(435) == UNKNOWN
    assert ask(numbers["setsid"]) == DONE
    others = set(range(460)) - named - {425, 426, 427, 435, 438, numbers["setsid"]}
    assert {ask(number) for number in others} == {ALLOWED}
    assert ask(numbers["clone"], CLONE_THREAD) == ALLOWED
    assert ask(numbers["clone"], CLONE_NEW_USER) == REFUSED


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_other_tables_of_calls_are_no_way_around(machine: str) -> None:
    """A program for another machine, or with x32 numbers, is refused every call."""
    numbers = seccomp._TABLES[machine]
    program = seccomp.program(numbers)
    assert verdict(program, 0x40000003, 1) == UNKNOWN
    assert verdict(program, numbers["arch"], 0x40000000 | numbers["socket"]) == UNKNOWN


def test_what_is_hidden_is_left_out_and_its_neighbours_stay(tmp_path: Path) -> None:
    """A directory that holds the platform's own is replaced by all that lies in it beside."""
    for name in ("lib", "etc", "var/home/secret", "var/other"):
        (tmp_path / name).mkdir(parents=True)
    hidden = tmp_path / "var" / "home"
    shown = {path.relative_to(tmp_path).as_posix() for path in readable.without(tmp_path, hidden)}
    assert shown == {"lib", "etc", "var/other"}
    assert list(readable.without(tmp_path / "lib", hidden)) == [tmp_path / "lib"]
    assert list(readable.without(hidden, hidden)) == []


def test_an_interpreter_below_the_hidden_home_stays_readable(tmp_path: Path) -> None:
    """An environment that the platform has built lies in its home."""
    built = tmp_path / "environments" / "key"
    built.mkdir(parents=True)
    assert list(readable.without(built, tmp_path)) == [built]


def test_only_modules_of_a_path_entry_are_shown(tmp_path: Path) -> None:
    """What lies beside the packages of a checkout is none of a model's business."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "module.py").touch()
    (tmp_path / "var").mkdir()
    (tmp_path / ".env").touch()
    assert {path.name for path in readable.importable(tmp_path)} == {"package", "module.py"}


def test_what_fails_is_named_with_its_reason() -> None:
    """A measure that the system refuses is missing; one that works takes its place."""
    done = Confinement()

    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    assert not done.attempt("network", "seccomp", refuse)
    assert not done.attempt("shm", "mountns", refuse)
    assert done.lacking == ["network (seccomp: Operation not permitted)"]
    assert done.attempt("network", "netns", lambda: None)
    assert done.lacking == []
    assert done.applied == ["network:netns"]


def test_what_is_missing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning a node, with every reason."""
    orders = Orders()
    orders.tell(("no_new_privs",), {})
    orders.tell(("no_new_privs",), {"network": "seccomp: Function not implemented"})
    orders.tell(("no_new_privs",), {"network": "seccomp: Function not implemented"})
    assert [record.getMessage() for record in caplog.records] == ["sandbox_incomplete"]
