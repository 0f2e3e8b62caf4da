"""The command line as a real process on a real terminal of 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_platform import FakePlatform
from tests.support.terminal import on_terminal


@pytest.mark.parametrize(("typed", "deleted"), [("n\n", 0), ("y\n", 1)])
def test_deleting_asks_first(fake: FakePlatform, typed: str, deleted: int) -> None:
    """On a terminal a deletion happens only after a yes."""
    fake.situation.add("churn")
    code, shown = on_terminal(fake, "versions", "delete", "churn", "1", typed=typed)
    assert "Delete churn version 1 for good?" in shown
    assert (code, fake.situation.count("DELETE")) == (1 - deleted, deleted)


def test_no_progress_before_the_path_is_known_to_be_a_model(fake: FakePlatform) -> None:
    """A path that is not there is one line, and no bar was drawn for it."""
    code, shown = on_terminal(fake, "register", "/nope", "--name", "churn")
    assert code == 1
    assert shown.splitlines() == ["error: '/nope' does not exist; give the directory that an MLflow save_model wrote"]


def test_progress_is_drawn_while_sending(fake: FakePlatform, model_directory: Path) -> None:
    """With something to send, the bar is there."""
    code, shown = on_terminal(fake, "register", str(model_directory), "--name", "churn")
    assert code == 0
    assert "uploading" in shown


def test_a_table_of_versions_breaks_no_word(fake: FakePlatform) -> None:
    """At 80 columns lines are wrapped between words, and each word of the table is there whole."""
    fake.situation.new_version("breast-cancer", "ready", flavors=["python_function", "sklearn"], size=12_345_678)
    reason = "it needs a library that cannot be had: scikit-learn==99.9.9"
    fake.situation.new_version("breast-cancer", "rejected", reason=reason, flavors=["python_function", "xgboost"])
    fake.situation.models["breast-cancer"].aliases = {"challenger": "1"}
    code, shown = on_terminal(fake, "versions", "breast-cancer")
    assert code == 0
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert {"2026-11-20", "(UTC)", "challenger", "rejected", "sklearn", "scikit-learn==99.9.9"} <= set(shown.split())
    assert "python_function" not in shown
