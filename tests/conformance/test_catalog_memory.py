"""The catalog in memory keeps the promises, and can be taken away."""

from __future__ import annotations

import pytest

from registry.adapters.memory.catalog import MemoryCatalog
from registry.errors import Unavailable
from tests.conformance.catalog import CatalogPromises, model

__all__ = ["model"]


@pytest.fixture
def catalog() -> MemoryCatalog:
    """An empty catalog."""
    return MemoryCatalog()


@pytest.fixture
def users(catalog: MemoryCatalog) -> MemoryCatalog:
    """It lets a test act as its users."""
    return catalog


class TestMemoryCatalog(CatalogPromises):
    """The binding."""

    def test_it_can_be_out_of_reach(self, catalog: MemoryCatalog) -> None:
        """While it is unreachable every call says so in the port's own error."""
        catalog.reachable = False
        with pytest.raises(Unavailable, match="database"):
            catalog.names()
