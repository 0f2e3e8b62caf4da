"""The platform on PostgreSQL: MLflow's tables and ours in one database, and everything outlives a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.control import Control, Models
from tests.support.platform import running
from tests.support.postgres import PostgresServer, postgres_server, postgres_url

pytestmark = pytest.mark.e2e

__all__ = ["PostgresServer", "postgres_server", "postgres_url"]


def test_a_model_is_registered_promoted_and_answers(postgres_url: str, models: Models, tmp_path: Path) -> None:
    """A version registered on PostgreSQL takes the traffic, and still does after the platform was started again."""
    with running(tmp_path / "home", {"HEADGATE_DATABASE_URL": postgres_url}) as platform:
        control = Control(platform)
        control.add("steady", models.answering(7))
        control.promote("steady", "1")
        control.wait_answer("steady", 7)
        platform.stop()
        platform.start()
        control.wait_answer("steady", 7)
    assert not list((tmp_path / "home").rglob("*.db"))
