"""The import contracts catch what they are for: each is shown a violation of its own."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

# contract → a module, and the import that it must not have
VIOLATIONS = {
    "Servers, clients and deployment stand apart": ("registry/operations.py", "import serving.ports"),
    "Serving never imports clients or deployment": ("serving/predictor.py", "import headgate"),
    "Clients import no server": ("headgate/flows.py", "import registry.errors"),
    "Serving knows only the registry's kernel and the edge they share": (
        "serving/ports.py",
        "import registry.operations",
    ),
    "The registry's floors: edges, then verbs, then pure parts, then the kernel": (
        "registry/errors.py",
        "import registry.operations",
    ),
    "Frameworks stay at the registry's edges": ("registry/operations.py", "import fastapi"),
    "Serving's floors: edges, the story, what it stands on, values": (
        "serving/exchange.py",
        "import serving.predictor",
    ),
    "Frameworks stay at serving's edges": ("serving/predictor.py", "import fastapi"),
    "The kernel is the standard library": ("registry/errors.py", "import numpy"),
    "Pure policies take time and chance as arguments": ("serving/routing/choose.py", "import time"),
    "Adapters don't know one another": ("registry/adapters/sql/ledger.py", "import registry.adapters.memory.ledger"),
    "What runs in a model's environment knows nothing of the platform": (
        "serving/runtimes/host/child/host.py",
        "import registry.errors",
    ),
    "Deployment starts processes and imports none of them": ("deploy/local/children.py", "import serving.cli"),
    "The client's flows do no I/O": ("headgate/flows.py", "import httpx"),
    "The registry's own process opens no table": (
        "registry/adapters/tables/process.py",
        "import registry.adapters.tables.opening",
    ),
    "Siblings never form cycles": ("registry/records.py", "import registry.layout"),
}


def test_every_contract_is_shown_a_violation() -> None:
    """A contract that is added comes with the violation that it catches."""
    assert {contract["name"] for contract in CONTRACTS} == set(VIOLATIONS)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, in which every violation is committed at once."""
    copy = tmp_path_factory.mktemp("house")
    for name, source in {
        "registry": ROOT / "registry",
        "serving": ROOT / "serving",
        "deploy": ROOT / "deploy",
        "headgate": ROOT / "clients/python/src/headgate",
    }.items():
        for path in source.rglob("*.py"):
            target = copy / name / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text())
    for module, line in VIOLATIONS.values():
        with (copy / module).open("a") as file:
            file.write(f"\n{line}\n")
    (copy / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return copy


def test_each_contract_breaks_at_its_violation(house: Path) -> None:
    """In a house where each rule is broken, each contract says so."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=house,
        env={"PYTHONPATH": str(house), "PATH": "/usr/bin:/bin", "COLUMNS": "250"},
        capture_output=True,
        text=True,
    )
    kept = [line for line in done.stdout.splitlines() if line.endswith(" KEPT")]
    assert done.returncode == 1, done.stderr
    assert not kept
