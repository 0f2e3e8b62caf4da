"""The ledger: models, versions, plans, aliases, uploads, idempotency keys, and the snapshot's revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _name() -> sa.Text:
    """Text sorted by code point on both databases."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _snapshot()
    _models_and_versions()
    _plans_and_aliases()
    _uploads()
    _registrations()


def _snapshot() -> None:
    snapshot = op.create_table(
        "headgate_snapshot",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_headgate_snapshot_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_headgate_snapshot"),
    )
    op.bulk_insert(snapshot, [{"id": 1, "revision": 0}])


def _models_and_versions() -> None:
    op.create_table(
        "headgate_models",
        sa.Column("name", _name(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("version_count", sa.BigInteger(), nullable=False),
        sa.Column("plan_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_headgate_models"),
    )
    op.create_index("ix_headgate_models_changed", "headgate_models", ["changed"])
    op.create_table(
        "headgate_versions",
        sa.Column("model", _name(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("user_name", sa.Text()),
        sa.Column("checks", sa.Text(), nullable=False),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("tier", sa.Text()),
        sa.Column("runtime", sa.Text()),
        sa.Column("signature", sa.Text()),
        sa.Column("requirements", sa.Text()),
        sa.Column("python", sa.Text()),
        sa.Column("flavors", sa.Text()),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_versions_model"),
        sa.PrimaryKeyConstraint("model", "number", name="pk_headgate_versions"),
    )
    queue = sa.text("state IN ('pending', 'checking')")
    op.create_index(
        "ix_headgate_versions_queue", "headgate_versions", ["created_ms"], sqlite_where=queue, postgresql_where=queue
    )


def _plans_and_aliases() -> None:
    op.create_table(
        "headgate_used_numbers",
        sa.Column("model", _name(), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_headgate_used_numbers"),
    )
    op.create_table(
        "headgate_plans",
        sa.Column("model", _name(), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("plan", sa.Text()),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_plans_model"),
        sa.PrimaryKeyConstraint("model", "revision", name="pk_headgate_plans"),
    )
    op.create_table(
        "headgate_aliases",
        sa.Column("model", _name(), nullable=False),
        sa.Column("alias", _name(), nullable=False),
        sa.Column("version", sa.BigInteger()),
        sa.Column("mirrored", sa.BigInteger()),
        sa.ForeignKeyConstraint(["model"], ["headgate_models.name"], name="fk_headgate_aliases_model"),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["headgate_versions.model", "headgate_versions.number"],
            name="fk_headgate_aliases_model_version",
        ),
        sa.PrimaryKeyConstraint("model", "alias", name="pk_headgate_aliases"),
    )


def _uploads() -> None:
    op.create_table(
        "headgate_uploads",
        sa.Column("id", _name(), nullable=False),
        sa.Column("committed", sa.Boolean(), nullable=False),
        sa.Column("abandoned", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_headgate_uploads"),
    )
    still_open = sa.text("NOT committed")
    op.create_index(
        "ix_headgate_uploads_open",
        "headgate_uploads",
        ["touched_ms"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "headgate_upload_files",
        sa.Column("upload", _name(), nullable=False),
        sa.Column("path_sha256", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("arrived", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload"], ["headgate_uploads.id"], name="fk_headgate_upload_files_upload", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload", "path_sha256", name="pk_headgate_upload_files"),
    )


def _registrations() -> None:
    op.create_table(
        "headgate_registrations",
        sa.Column("model", _name(), nullable=False),
        sa.Column("key_sha256", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger()),
        sa.PrimaryKeyConstraint("model", "key_sha256", name="pk_headgate_registrations"),
    )
