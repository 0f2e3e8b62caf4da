"""What a lock may hold, and where it fits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.libraries.lockfile import Machine, fits, locked_packages, this_machine, with_header

HASH = "    --hash=sha256:" + "a" * 64
HERE = Machine("linux", "x86_64", "glibc", (2, 36))
LOCK = with_header(
    f"alpha==1.0 \\\n{HASH} \\\n{HASH}\nBeta==2.0+cpu ; python_version < '3.12' \\\n{HASH}\n", "3.11", HERE
)


def test_a_lock_tells_its_packages() -> None:
    """Names in lower case, with their exact versions; markers and several hashes are nothing special."""
    assert locked_packages(LOCK) == {"alpha": "1.0", "beta": "2.0+cpu"}


@pytest.mark.parametrize(
    ("python", "machine", "fit"),
    [
        ("3.11", HERE, True),
        ("3.12", HERE, False),
        ("3.11", replace(HERE, libc_version=(2, 39)), True),
        ("3.11", replace(HERE, libc_version=(3, 0)), True),
        ("3.11", replace(HERE, libc_version=(2, 31)), False),
        ("3.11", replace(HERE, libc="musl"), False),
        ("3.11", replace(HERE, processor="aarch64"), False),
        ("3.11", replace(HERE, system="darwin"), False),
    ],
)
def test_a_lock_fits_its_python_and_its_kind_of_machine(python: str, machine: Machine, fit: bool) -> None:
    """A newer C library runs what was built for an older one; anything else that differs means another lock."""
    assert fits(LOCK, python, machine) is fit


def test_a_lock_made_here_fits_here() -> None:
    """Whatever this machine is."""
    assert fits(with_header("", "3.11", this_machine()), "3.11", this_machine())


def test_a_lock_of_another_format_fits_nowhere() -> None:
    """What a later release writes is resolved anew by an earlier one."""
    assert not fits(LOCK.replace("lock 1:", "lock 2:"), "3.11", HERE)
    assert not fits("", "3.11", HERE)


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://198.51.100.1/simple",
        "-e .",
        "alpha",
        "alpha>=1.0 \\",
        "alpha @ https://198.51.100.1/x.whl \\",
        "alpha==1.0 ; x @ y \\",
        "./alpha.whl",
        "    --hash=md5:" + "a" * 32,
        "    --hash=sha256:" + "a" * 63,
        "alpha==1.0 --hash=sha256:" + "a" * 64,
    ],
)
def test_anything_else_in_a_lock_is_refused(line: str) -> None:
    """No option, address or path gets to an installer by way of a lock."""
    with pytest.raises(ValueError, match="nothing else"):
        locked_packages(LOCK + line + "\n")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "alpha==1.0\n", f"alpha==1.0\nbeta==1.0 \\\n{HASH}\n"])
def test_a_package_without_a_hash_is_refused(text: str) -> None:
    """Nothing would hold an installer to anything; nor is a lock of no package one."""
    with pytest.raises(ValueError, match="no hash of alpha|names no package"):
        locked_packages(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """There is no third way."""
    with suppress(ValueError):
        assert locked_packages(text)
