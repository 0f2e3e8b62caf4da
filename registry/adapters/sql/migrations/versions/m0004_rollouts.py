"""Rollouts and their journals, what nodes report, and who leads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _name() -> sa.Text:
    """Text sorted by code point on both databases."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _rollouts()
    _nodes_and_leases()
    _windows()


def _rollouts() -> None:
    op.create_table(
        "headgate_rollouts",
        sa.Column("id", _name(), nullable=False),
        sa.Column("model", _name(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_rollouts_model"),
        sa.PrimaryKeyConstraint("id", name="pk_headgate_rollouts"),
    )
    going_on = sa.text("NOT ended")
    op.create_index(
        "ix_headgate_rollouts_active",
        "headgate_rollouts",
        ["model"],
        unique=True,
        sqlite_where=going_on,
        postgresql_where=going_on,
    )
    op.create_index("ix_headgate_rollouts_model_started_ms", "headgate_rollouts", ["model", "started_ms"])
    op.create_table(
        "headgate_rollout_events",
        sa.Column("rollout", _name(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger()),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["headgate_rollouts.id"], name="fk_headgate_rollout_events_rollout"),
        sa.PrimaryKeyConstraint("rollout", "number", name="pk_headgate_rollout_events"),
    )


def _nodes_and_leases() -> None:
    op.create_table(
        "headgate_nodes",
        sa.Column("boot", _name(), nullable=False),
        sa.Column("node", _name(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("boot", name="pk_headgate_nodes"),
    )
    op.create_table(
        "headgate_leases",
        sa.Column("name", _name(), nullable=False),
        sa.Column("holder", _name(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_headgate_leases"),
    )


def _windows() -> None:
    op.create_table(
        "headgate_arm_windows",
        sa.Column("model", _name(), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("arm", _name(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node", _name(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_arm_windows_model"),
        sa.PrimaryKeyConstraint(
            "model", "revision", "arm", "version", "bucket_ms", "node", name="pk_headgate_arm_windows"
        ),
    )
    op.create_table(
        "headgate_shadow_windows",
        sa.Column("model", _name(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_shadow_windows_model"),
        sa.PrimaryKeyConstraint("model", "version", "revision", "bucket_ms", name="pk_headgate_shadow_windows"),
    )
