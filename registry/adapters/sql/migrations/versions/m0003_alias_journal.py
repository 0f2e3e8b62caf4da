"""The journal of aliases. Aliases that exist begin theirs with what they name now."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _name() -> sa.Text:
    """Text sorted by code point on both databases."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, and write a first line for every alias that names a version."""
    op.create_table(
        "headgate_alias_changes",
        sa.Column("model", _name(), nullable=False),
        sa.Column("alias", _name(), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger()),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_alias_changes_model"),
        sa.PrimaryKeyConstraint("model", "alias", "revision", name="pk_headgate_alias_changes"),
    )
    first = sa.text(
        "INSERT INTO headgate_alias_changes (model, alias, revision, version, who, why, at_ms) "
        "SELECT model, alias, 1, version, 'headgate', 'what it named before aliases had a journal', :now "
        "FROM headgate_aliases WHERE version IS NOT NULL"
    )
    op.get_bind().execute(first, {"now": time.time_ns() // 1_000_000})
