"""What all tests of this folder share: coroutines run on asyncio."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run coroutine tests on asyncio alone."""
    return "asyncio"
