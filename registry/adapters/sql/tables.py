"""The tables, as SQLAlchemy sees them. The migrations make them; a test holds the two equal.

All names begin with ``headgate_``, because MLflow's tables live in the same database. Text has no length: SQLite would
not enforce one and PostgreSQL would, and the two are to behave alike. What may be long and is a key is kept as its
SHA-256 too, because PostgreSQL's indexes refuse long values. JSON is kept as text that only this package reads.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.types import TypeEngine

PREFIX = "headgate_"


class Words(TypeDecorator[str]):
    """Text from outside. PostgreSQL stores no NUL and neither database stores lone surrogates: both become U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return ``value`` as both databases can keep it."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in value)


class Name(Words):
    """Text that is sorted by code point: PostgreSQL would else sort by the language it was set up in."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of a database."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row: the newest revision. Its lock is what puts all changes that nodes see in one order.
snapshot = Table(
    "headgate_snapshot",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

models = Table(
    "headgate_models",
    metadata,
    Column("name", Name, primary_key=True),
    Column("changed", BigInteger, nullable=False),  # the snapshot revision of its last change
    Column("removed", Boolean, nullable=False),  # MLflow has it no longer; the journal stays
    Column("version_count", BigInteger, nullable=False),
    Column("plan_revision", BigInteger, nullable=False),  # newest in its journal; 0: none yet
    Index(None, "changed"),
)

versions = Table(
    "headgate_versions",
    metadata,
    Column("model", Name, ForeignKey("headgate_models.name"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("source", Words, nullable=False),
    Column("location", Words, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("run_id", Words),
    Column("user_name", Words),
    Column("checks", Text, nullable=False),
    Column("claimed_until_ms", BigInteger, nullable=False),
    # What was sealed; all of it is null until something was.
    Column("digest", Text),
    Column("size", BigInteger),
    Column("tier", Text),
    Column("runtime", Text),
    Column("signature", Text),
    Column("requirements", Text),
    Column("python", Text),
    Column("flavors", Text),
    Column("lock", Text),  # null: the platform's own environment satisfies it, or it was admitted before locks were
    # The queue of admission: short however many versions there are.
    Index(
        "ix_headgate_versions_queue",
        "created_ms",
        sqlite_where=text("state IN ('pending', 'checking')"),
        postgresql_where=text("state IN ('pending', 'checking')"),
    ),
)

# Numbers that may never be given again although their versions are gone: a version's number is part of its address.
used_numbers = Table(
    "headgate_used_numbers",
    metadata,
    Column("model", Name, primary_key=True),
    Column("highest", BigInteger, nullable=False),
)

plans = Table(
    "headgate_plans",
    metadata,
    Column("model", Name, ForeignKey("headgate_models.name"), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("plan", Text),  # null: this revision took all traffic away
    Column("who", Words, nullable=False),
    Column("why", Words, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

aliases = Table(
    "headgate_aliases",
    metadata,
    Column("model", Name, ForeignKey("headgate_models.name"), primary_key=True),
    Column("alias", Name, primary_key=True),
    Column("version", BigInteger),  # null: removed, and MLflow must still forget it
    Column("mirrored", BigInteger),  # what MLflow was last seen to say
    # An alias can never name a version that has no record, whatever the code above it does.
    ForeignKeyConstraint(["model", "version"], ["headgate_versions.model", "headgate_versions.number"]),
)

alias_changes = Table(
    "headgate_alias_changes",
    metadata,
    Column("model", Name, ForeignKey("headgate_models.name"), primary_key=True),
    Column("alias", Name, primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger),  # null: removed; no foreign key, for the journal outlives the version's record
    Column("who", Words, nullable=False),
    Column("why", Words, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

uploads = Table(
    "headgate_uploads",
    metadata,
    Column("id", Name, primary_key=True),
    Column("committed", Boolean, nullable=False),
    Column("abandoned", Boolean, nullable=False),  # given up: its files may be on their way out
    Column("created_ms", BigInteger, nullable=False),
    Column("touched_ms", BigInteger, nullable=False),  # when it was begun, or its last file came
    Index(
        "ix_headgate_uploads_open",
        "touched_ms",
        sqlite_where=text("NOT committed"),
        postgresql_where=text("NOT committed"),
    ),
)

upload_files = Table(
    "headgate_upload_files",
    metadata,
    Column("upload", Name, ForeignKey("headgate_uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("path_sha256", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("path", Words, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("arrived", Boolean, nullable=False),
)

registrations = Table(
    "headgate_registrations",
    metadata,
    # No foreign key: the key is recorded before the model's first version exists.
    Column("model", Name, primary_key=True),
    Column("key_sha256", Text, primary_key=True),
    Column("key", Words, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("version", BigInteger),
)

rollouts = Table(
    "headgate_rollouts",
    metadata,
    Column("id", Name, primary_key=True),
    Column("model", Name, ForeignKey("headgate_models.name"), nullable=False),
    Column("turn", BigInteger, nullable=False),  # how often it was written: the next writer must have seen this one
    Column("ended", Boolean, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    # One a model, whatever the code above it does.
    Index(
        "ix_headgate_rollouts_active",
        "model",
        unique=True,
        sqlite_where=text("NOT ended"),
        postgresql_where=text("NOT ended"),
    ),
    Index(None, "model", "started_ms"),
)

rollout_events = Table(
    "headgate_rollout_events",
    metadata,
    Column("rollout", Name, ForeignKey("headgate_rollouts.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("message", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("revision", BigInteger),  # of the plan that came of it
    Column("numbers", Text, nullable=False),
)

# One row for each process of a node; `sequence` is what makes its reports count once.
nodes = Table(
    "headgate_nodes",
    metadata,
    Column("boot", Name, primary_key=True),
    Column("node", Name, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("held", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

arm_windows = Table(
    "headgate_arm_windows",
    metadata,
    Column("model", Name, ForeignKey("headgate_models.name"), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("arm", Name, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("node", Name, primary_key=True),
    Column("counts", Text, nullable=False),
)

shadow_windows = Table(
    "headgate_shadow_windows",
    metadata,
    Column("model", Name, ForeignKey("headgate_models.name"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("counts", Text, nullable=False),
)

leases = Table(
    "headgate_leases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("holder", Name, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

# What a version's live rows are compared with: the newest, as the digest of a sealed document.
baselines = Table(
    "headgate_baselines",
    metadata,
    Column("model", Name, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["headgate_versions.model", "headgate_versions.number"]),
)

# What nodes saw of a version's rows: one open window a baseline, which grows until it is sealed, then its verdict.
feature_windows = Table(
    "headgate_feature_windows",
    metadata,
    Column("model", Name, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("baseline", Text, nullable=False),  # its digest; empty: there was none, and counts are samples
    Column("state", Text, nullable=False),  # open, sealed (no more is added), judged
    Column("opened_ms", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),  # empty once judged
    Column("verdict", Text),
    ForeignKeyConstraint(["model", "version"], ["headgate_versions.model", "headgate_versions.number"]),
    Index(
        "ix_headgate_feature_windows_open",
        "model",
        "version",
        "baseline",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index("ix_headgate_feature_windows_state_last_ms", "state", "last_ms"),
)

# Predictions that labels may join, a row for each request; `labels` maps the number of a row to its label.
predictions = Table(
    "headgate_predictions",
    metadata,
    Column("model", Name, primary_key=True),
    Column("request", Name, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("arm", Name, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("rows", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("labelled_ms", BigInteger, nullable=False),  # when the last label came; 0: none yet
    ForeignKeyConstraint(["model", "version"], ["headgate_versions.model", "headgate_versions.number"]),
    Index("ix_headgate_predictions_model_at_ms", "model", "at_ms"),
    Index("ix_headgate_predictions_model_version_labelled_ms", "model", "version", "labelled_ms"),
)
