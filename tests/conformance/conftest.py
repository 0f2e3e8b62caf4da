"""Makes the assertions of the suites, which are no test modules, as telling as those of tests; and real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

# Before anything imports a suite: afterwards it would be too late.
for _suite in Path(__file__).parent.glob("*.py"):
    if not _suite.name.startswith(("test_", "conftest")):
        pytest.register_assert_rewrite(f"tests.conformance.{_suite.stem}")
pytest.register_assert_rewrite("tests.support.ledgers")

from tests.support.postgres import postgres_server, postgres_url  # noqa: E402 - after the registration above

__all__ = ["postgres_server", "postgres_url"]
