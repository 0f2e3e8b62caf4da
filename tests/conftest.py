"""Fixtures that all tests share, and assertions outside test modules made as telling as those inside."""

from __future__ import annotations

import pytest

# Before anything imports them: afterwards it would be too late.
pytest.register_assert_rewrite("tests.support", "tests.conformance", "tests.e2e")

from tests.support.platform import platform  # noqa: E402 - after the registration above

__all__ = ["platform"]
