"""The files that run in a model's own environment work wherever a model may have been saved."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from serving.runtimes.host import child

FILES = sorted(Path(str(child.__path__[0])).glob("*.py"))
FOREIGN = {"numpy", "pandas", "mlflow", "onnxruntime", "sklearn"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_the_syntax_is_that_of_python_3_9(file: Path) -> None:
    """Every file parses as Python 3.9, and its annotations are never evaluated."""
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    assert not tree.body or "from __future__ import annotations" in file.read_text()
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Match)]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_nothing_of_the_platform_is_imported(file: Path) -> None:
    """Only the standard library, one another, and what a model's environment has."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    assert names <= set(sys.stdlib_module_names) | FOREIGN
