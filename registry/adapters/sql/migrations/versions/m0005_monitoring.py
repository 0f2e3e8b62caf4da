"""What monitoring keeps: baselines, windows of features, predictions that labels may join."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _name() -> sa.Text:
    """Text sorted by code point on both databases."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _version_of(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["model", "version"],
        ["headgate_versions.model", "headgate_versions.number"],
        name=f"fk_{table}_model",
    )


def upgrade() -> None:
    """Make the tables."""
    _baselines()
    _feature_windows()
    _predictions()


def _baselines() -> None:
    op.create_table(
        "headgate_baselines",
        sa.Column("model", _name(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        _version_of("headgate_baselines"),
        sa.PrimaryKeyConstraint("model", "version", name="pk_headgate_baselines"),
    )


def _feature_windows() -> None:
    op.create_table(
        "headgate_feature_windows",
        sa.Column("model", _name(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("baseline", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text()),
        _version_of("headgate_feature_windows"),
        sa.PrimaryKeyConstraint("model", "version", "number", name="pk_headgate_feature_windows"),
    )
    open_ones = sa.text("state = 'open'")
    op.create_index(
        "ix_headgate_feature_windows_open",
        "headgate_feature_windows",
        ["model", "version", "baseline"],
        unique=True,
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
    op.create_index("ix_headgate_feature_windows_state_last_ms", "headgate_feature_windows", ["state", "last_ms"])


def _predictions() -> None:
    op.create_table(
        "headgate_predictions",
        sa.Column("model", _name(), nullable=False),
        sa.Column("request", _name(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("arm", _name(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("labelled_ms", sa.BigInteger(), nullable=False),
        _version_of("headgate_predictions"),
        sa.PrimaryKeyConstraint("model", "request", name="pk_headgate_predictions"),
    )
    op.create_index("ix_headgate_predictions_model_at_ms", "headgate_predictions", ["model", "at_ms"])
    op.create_index(
        "ix_headgate_predictions_model_version_labelled_ms",
        "headgate_predictions",
        ["model", "version", "labelled_ms"],
    )
