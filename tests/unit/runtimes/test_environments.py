"""Which environment a version gets, and what is said where it can have none."""

from __future__ import annotations

import asyncio
import fcntl
import platform
import re
import sys
from pathlib import Path

import pytest

from registry.errors import Unavailable
from registry.libraries.satisfied import parse_requirements, unsatisfied, wanted
from registry.libraries.uv import meaningful_line
from registry.records import Digest, VersionNumber
from registry.snapshots import ServableVersion
from serving.runtimes.builds import Builder
from serving.runtimes.environments import MOST_REMEMBERED, Environments
from serving.runtimes.shelter import Shelter

PLATFORM = {"mlflow": "3.17.2", "numpy": "2.4.6", "pandas": "3.1.1", "scikit-learn": "1.9.1", "torch": "2.4.0+cpu"}


def version(*requirements: str, python: str | None = None) -> ServableVersion:
    """Return a version with requirements."""
    return ServableVersion(VersionNumber("1"), Digest("sha256:" + "0" * 64), 1, "host", None, requirements, python)


@pytest.mark.parametrize(
    "line",
    [
        *("numpy", "numpy==2.4.6", "Scikit_Learn==1.9.1", "mlflow>=2,<4", "torch==2.4.0", "numpy==2.*"),
        *("absent; python_version < '3'", "numpy==1.0; sys_platform == 'nowhere'"),
    ],
)
def test_a_requirement_that_is_met_exactly_is_satisfied(line: str) -> None:
    """Pins must match, ranges must contain; a marker that does not apply asks nothing."""
    parsed = parse_requirements((line.replace("Scikit_Learn", "scikit-learn"),))
    assert list(unsatisfied(parsed, PLATFORM.get)) == []


@pytest.mark.parametrize("line", ["numpy==2.4.5", "numpy<2", "absent", "mlflow[extras]", "pandas===3.1"])
def test_any_difference_is_not_satisfied(line: str) -> None:
    """Another patch version, a missing package and an extra all ask for an environment of their own."""
    assert list(unsatisfied(parse_requirements((line,)), PLATFORM.get)) == [line]


def test_mlflow_is_added_where_a_model_does_not_name_it() -> None:
    """A host needs MLflow, numpy and pandas, whatever the model was saved with."""
    assert wanted(parse_requirements(("b", "a")), PLATFORM.get) == ["a", "b", "mlflow<=3.17.2"]
    assert wanted(parse_requirements(("mlflow==2.22",)), PLATFORM.get) == ["mlflow==2.22"]
    assert wanted(parse_requirements(("mlflow-skinny==3.1", "numpy<2")), PLATFORM.get)[2:] == ["pandas"]


@pytest.mark.parametrize(
    ("line", "added"),
    [
        *(("mlflow==2.9", True), ("mlflow<2.13,>=2", True), ("mlflow-skinny==2.0.1", True), ("mlflow==2.20", False)),
        *(("mlflow==2.*", False), ("mlflow>=2.1", False), ("mlflow<4", False), ("numpy==1.0", False)),
    ],
)
def test_old_mlflow_gets_what_it_does_not_say_it_needs(line: str, added: bool) -> None:
    """MLflow before 2.20 imports a module that setuptools had until 81; a model's own setuptools is left alone."""
    assert ("setuptools<81" in wanted(parse_requirements((line,)), PLATFORM.get)) is added
    assert "setuptools<81" not in wanted(parse_requirements((line, "setuptools==70")), PLATFORM.get)


@pytest.mark.parametrize("line", ["git+https://example.org/x", "--index-url http://x", "./x", "x; touch y"])
def test_a_line_that_is_not_allowed_is_refused_here_too(line: str, tmp_path: Path) -> None:
    """Serving does not rely on admission for what it installs."""
    with pytest.raises(Unavailable) as caught:
        asyncio.run(Environments(tmp_path).python_for(version(line), 1))
    assert caught.value.code == "environment_unavailable"
    assert list(tmp_path.iterdir()) == []


def test_the_platforms_own_environment_is_used_where_it_satisfies(tmp_path: Path) -> None:
    """Nothing is built for a version that asks only for what is here."""
    environments = Environments(tmp_path, have=PLATFORM.get)
    asked = version("numpy==2.4.6", "mlflow", python=platform.python_version())
    assert asyncio.run(environments.python_for(asked, 1)) == Path(sys.executable)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["numpy; os_name ~= 'x'", "numpy; 'a' in extras", "numpy>=many", "numpy; import"])
def test_a_line_that_means_nothing_is_refused_by_its_words(line: str) -> None:
    """A marker that cannot be judged is the line's fault, and is told with the line."""
    with pytest.raises(ValueError, match=re.escape(line)):
        parse_requirements(("mlflow", line))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "the installer failed without a word"),
        ("error: Failed to fetch: `https://user:pw@index.example/simple/x/`", "Failed to fetch: `the package index`"),
        ("error: No such file: /var/lib/thing/x.txt", "No such file: …"),
        (
            "  × No solution found:\n  ╰─▶ Because there is no\n      version of x, no.\n\n      hint: use --pre\n",
            "Because there is no version of x, no.",
        ),
    ],
)
def test_the_installers_last_words_are_fit_to_be_shown(said: str, told: str) -> None:
    """Sentences that were folded are joined; addresses and paths are left out."""
    assert meaningful_line(said) == told


def test_long_complaints_are_cut() -> None:
    """No message is longer than 300 characters."""
    assert len(meaningful_line("error: " + "word " * 400)) == 300


def test_a_builder_does_not_wait_for_another_process_for_ever(tmp_path: Path) -> None:
    """Where another process holds the lock, a build is given up in time, in words."""
    builder = Builder(Shelter(tmp_path), turn_seconds=0.05)
    with (tmp_path / "builder.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another process") as caught:
            asyncio.run(builder.resolve_and_build("wanted", ["x"], "3.11"))
    assert caught.value.code == "environment_unavailable"
    assert not (tmp_path / "building").exists()


def test_what_is_remembered_of_versions_is_bounded(tmp_path: Path) -> None:
    """However many sets of requirements are asked for, the oldest answers are forgotten."""
    environments = Environments(tmp_path, have=PLATFORM.get)

    async def ask(count: int) -> None:
        for n in range(count):
            await environments.python_for(version(f"numpy<=9.{n}"), 1)

    asyncio.run(ask(MOST_REMEMBERED + 10))
    assert len(environments._own) == MOST_REMEMBERED
