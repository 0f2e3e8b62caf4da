"""Which requirement lines of a model may be installed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement

from registry.requirements import refuse_requirement, refuse_requirements, strip_comment


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy==2.4.6",
        "scikit-learn>=1.3,<2",
        "scikit-learn >= 1.3 , < 2",
        "mlflow[extras,gateway]==3.17.2",
        "torch==2.4.0+cpu",
        "pandas~=2.2",
        "pandas (>=2,<3)",
        "tomli; python_version < '3.11'",
        'tomli>=2 ; python_version < "3.11" and sys_platform == "linux"',
        "zope.interface==5.*",
        "a",
        "numpy==1!2.0rc1.post1",
        "",
        "   ",
        "# only a comment",
        "numpy==2.4.6  # pinned",
    ],
)
def test_ordinary_requirements_may_be_installed(line: str) -> None:
    """A name with extras, bounds and a marker, an empty line or a comment is accepted."""
    assert refuse_requirement(line) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("-e .", "option"),
        ("-r other.txt", "option"),
        ("--index-url http://198.51.100.1/simple", "option"),
        ("--extra-index-url=http://198.51.100.1", "option"),
        ("-c constraints.txt", "option"),
        ("git+https://example.org/x.git", "version control"),
        ("x @ git+ssh://git@example.org/x.git", "version control"),
        ("HG+https://example.org/x", "version control"),
        ("https://example.org/x-1.0-py3-none-any.whl", "address"),
        ("x @ file:///etc/passwd", "address"),
        ("x @ file:x", "direct reference"),
        ("x@file:x", "direct reference"),
        ("file:x", "address"),
        ("./x", "file"),
        ("../x", "file"),
        ("/x", "file"),
        ("~/x", "file"),
        ("x/y", "file"),
        ("x\\y", "file"),
        ("x-1.0-py3-none-any.whl", "file"),
        ("x-1.0.tar.gz", "file"),
        ("x==1 --hash=sha256:00", "no requirement"),
        ("x==1 --index-url=y", "no requirement"),
        ("x; touch y", None),
        ("$(touch y)", "no requirement"),
        ("${X}", "no requirement"),
        ("x==${X}", "no requirement"),
        ("x==1 y==2", "no requirement"),
        ("x==1; python_version < '3' $(y)", "no requirement"),
        ("x\ny", "control characters"),
        ("x\0", "control characters"),
        ("x" * 600, "longer"),
        ("ｎumpy", "no requirement"),
    ],
)
def test_everything_else_is_refused_with_a_reason(line: str, word: str | None) -> None:
    """Indexes, addresses, paths, version control, options and shell characters are refused in words."""
    reason = refuse_requirement(line)
    if word is None:  # a marker is only text here; the resolver refuses one that is no marker
        assert reason is None
    else:
        assert reason is not None
        assert word in reason


@given(st.text(max_size=80))
def test_no_text_crashes_and_reasons_stay_short(line: str) -> None:
    """Whatever the line, the answer is None or one short printable sentence."""
    reason = refuse_requirement(line)
    assert reason is None or (len(reason) < 300 and "\n" not in reason)


@given(st.text(alphabet="ab1.-_=<>!~,;[]()@:/ #'\"$", max_size=40))
def test_what_is_accepted_never_names_an_address(line: str) -> None:
    """An accepted line that parses as PEP 508 has no direct reference."""
    if refuse_requirement(line) is None and strip_comment(line):
        try:
            parsed = Requirement(strip_comment(line))
        except InvalidRequirement:
            return
        assert parsed.url is None


def test_every_refused_line_has_its_reason() -> None:
    """Reasons come in the order of the lines, for the refused ones only."""
    assert [r.split("'")[1] for r in refuse_requirements(("numpy", "-e .", "pandas", "./x"))] == ["-e .", "./x"]
