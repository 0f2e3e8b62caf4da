"""The lock of a version's libraries: the digest of a sealed file. Versions that were admitted before have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no row is rewritten."""
    op.add_column("headgate_versions", sa.Column("lock", sa.Text()))
