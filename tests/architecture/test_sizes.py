"""The house's sizes: a file or function that outgrows them is asking for a noun of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("registry", "serving", "deploy", "clients", "docs")
MODULE_LINES, TEST_LINES, FUNCTION_LINES = 400, 500, 60
POSITIONAL, ARGUMENTS = 4, 7

# path: why it may be larger
EXEMPT: dict[str, str] = {}
# path: function: why it may take more arguments
MANY_ARGUMENTS: dict[str, str] = {
    "clients/python/src/headgate/client.py: register": "each option has its name, so that a misspelt one is refused",
    "clients/python/src/headgate/async_client.py: register": "as of the blocking client",
}


def sources() -> list[Path]:
    """Return every Python file of the project."""
    return [
        path
        for top in (*PRODUCT, "tests")
        for path in sorted((ROOT / top).rglob("*.py"))
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_file_keeps_its_size(path: Path) -> None:
    """No module outgrows its limit, no function its own, and modules say what they are for."""
    name = str(path.relative_to(ROOT))
    text = path.read_text()
    limit = TEST_LINES if name.startswith("tests/") else MODULE_LINES
    assert len(text.splitlines()) <= limit or name in EXEMPT, f"{name} has over {limit} lines: which noun is missing?"
    tree = ast.parse(text)
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), f"{name} does not say what it is responsible for"
    else:
        assert not [n for n in tree.body if not isinstance(n, ast.Import | ast.ImportFrom | ast.Expr | ast.Assign)], (
            f"{name} holds code; only re-exports belong there"
        )
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            route_file = node.name.endswith("_routes")  # a table of small functions, not one long one
            assert lines <= FUNCTION_LINES or route_file, f"{name}: {node.name} has {lines} lines"
            arguments = node.args
            positional = [a for a in (*arguments.posonlyargs, *arguments.args) if a.arg not in ("self", "cls")]
            in_all = len(positional) + len(arguments.kwonlyargs)
            exempt = name.startswith("tests/") or "/cli/" in name or f"{name}: {node.name}" in MANY_ARGUMENTS
            assert in_all <= ARGUMENTS or exempt, f"{name}: {node.name} takes {in_all} arguments"


def test_exemptions_are_used() -> None:
    """An exemption that nothing needs any more is removed."""
    for name in EXEMPT:
        assert len((ROOT / name).read_text().splitlines()) > MODULE_LINES
    for place in MANY_ARGUMENTS:
        name, _, function = place.partition(": ")
        assert f"def {function}(" in (ROOT / name).read_text()


def test_top_level_is_the_plan() -> None:
    """Nothing lies at the top but what the plan names."""
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    top = {name.split("/")[0] for name in listed}
    assert top <= {
        "registry", "serving", "clients", "deploy", "tests", "docs", "requirements", ".ci", "pyproject.toml",
        "Makefile",
        "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ".gitignore", ".gitattributes",
        ".editorconfig", ".dockerignore",
    }  # fmt: skip
