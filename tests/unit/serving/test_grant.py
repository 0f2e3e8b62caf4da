"""How much memory the system grants: control groups of both kinds, every level up, and the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.pool.grant import BUDGET_SHARE, default_budget, granted_bytes

MACHINE = "MemTotal:        8000000 kB\nMemFree: 1 kB\n"


def system(root: Path, **files: str) -> Path:
    """Draw a system: ``__`` in a name stands for a slash, ``DOT`` for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    """A group without a limit leaves the machine's memory."""
    system(tmp_path, proc__meminfo=MACHINE, proc__self__cgroup="0::/a\n", sys__fs__cgroup__a__memoryDOTmax="max\n")
    assert granted_bytes(tmp_path) == 8_000_000 * 1024


@pytest.mark.parametrize("level", ["sys__fs__cgroup__a__b", "sys__fs__cgroup__a", "sys__fs__cgroup"])
def test_a_limit_of_any_level_counts(tmp_path: Path, level: str) -> None:
    """The least limit on the way up holds; also where the group's own path does not exist in a container."""
    system(tmp_path, proc__meminfo=MACHINE, proc__self__cgroup="0::/a/b\n", **{f"{level}__memoryDOTmax": "1048576\n"})
    assert granted_bytes(tmp_path) == 1 << 20


def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    """Its files have other names, and a number that means no limit."""
    groups = "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n"
    system(
        tmp_path,
        proc__meminfo=MACHINE,
        proc__self__cgroup=groups,
        sys__fs__cgroup__memory__memoryDOTlimit_in_bytes="9223372036854771712\n",
        sys__fs__cgroup__memory__x__memoryDOTlimit_in_bytes="2097152\n",
    )
    assert granted_bytes(tmp_path) == 2 << 20


def test_a_system_that_tells_nothing_grants_something(tmp_path: Path) -> None:
    """Without any of the files, or with damaged ones, there is still a budget."""
    assert granted_bytes(tmp_path) == 4 << 30
    system(tmp_path, proc__meminfo="MemTotal: much\n", proc__self__cgroup="nonsense\n\n")
    assert granted_bytes(tmp_path) == 4 << 30


def test_the_default_budget_leaves_some_to_others(tmp_path: Path) -> None:
    """Seven tenths of what is granted; and this machine grants something."""
    system(tmp_path, proc__meminfo=MACHINE)
    assert default_budget(tmp_path) == int(8_000_000 * 1024 * BUDGET_SHARE)
    assert default_budget() > 1 << 20
