"""One table reader for the whole session."""

from __future__ import annotations

from tests.support.table_reader import tables

__all__ = ["tables"]
