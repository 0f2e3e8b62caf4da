"""What a version's source may look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.adapters.mlflow_app.sources import (
    BelowRun,
    LoggedModel,
    OtherVersion,
    Source,
    StoredAt,
    parse_location,
    parse_source,
    path_problem,
)
from registry.errors import HeadgateError, InvalidRequest

RUN = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("raw", "meant"),
    [
        ("mlflow-artifacts:/1/models/m-1/artifacts", StoredAt("1/models/m-1/artifacts")),
        ("mlflow-artifacts:/1/a b/ü/", StoredAt("1/a b/ü")),
        ("mlflow-artifacts:/1/a%20b", StoredAt("1/a%20b")),
        (f"models:/m-{RUN}", LoggedModel(f"m-{RUN}")),
        ("models:/churn/12", OtherVersion("churn", "12")),
        (f"runs:/{RUN}/model", BelowRun(RUN, "model")),
        (f"runs:/{RUN}/a/b", BelowRun(RUN, "a/b")),
    ],
)
def test_the_four_spellings_are_read(raw: str, meant: Source) -> None:
    """Each way to name a place in the store is understood."""
    assert parse_source(raw) == meant


@pytest.mark.parametrize(
    "raw",
    ["", "x", "s3://b/k", "MLFLOW-ARTIFACTS:/a", "mlflow-artifacts:a", "mlflow-artifacts:/", "mlflow-artifacts://h/a",
     "mlflow-artifacts:/a//b", "mlflow-artifacts:/./a", "mlflow-artifacts:/a/..", "mlflow-artifacts:/%2e%2e/a",
     "mlflow-artifacts:/a%2f..%2fb", "mlflow-artifacts:/%252e", "mlflow-artifacts:/a%5cb", "mlflow-artifacts:/a\\b",
     "mlflow-artifacts:/a%00", "mlflow-artifacts:/a\n", "mlflow-artifacts:/a?b", "mlflow-artifacts:/a#b",
     "mlflow-artifacts:/a%ff", "mlflow-artifacts:/\udcff", "models:/churn", "models:/churn/latest",
     "models:/churn@champion",
     "models:/churn/١", "models:/churn/0", "models:/ch urn/1", "models:/m-1", "models:/a/1/b",
     "runs:/x/model", f"runs:/{RUN}",
     f"runs:/{RUN}/", "mlflow-artifacts:/" + "a" * 500],
)  # fmt: skip
def test_everything_else_is_refused_in_words(raw: str) -> None:
    """A source that is no place in the store is refused, in a sentence that quotes little of it."""
    with pytest.raises(HeadgateError) as refused:
        parse_source(raw)
    assert len(refused.value.message) < 400
    assert refused.value.message.isprintable()


def test_a_location_is_a_folder_of_the_store() -> None:
    """What MLflow tells us of a place is believed only where it is in the store."""
    assert parse_location("mlflow-artifacts:/1/a") == StoredAt("1/a")
    for elsewhere in ("models:/churn/1", "s3://b/k", "/etc", ""):
        with pytest.raises(InvalidRequest):
            parse_location(elsewhere)


@given(st.text(max_size=60))
def test_no_accepted_path_leaves_the_store(text: str) -> None:
    """Whatever is accepted has no way up, nothing hidden and no empty part, read as it is or percent-decoded."""
    if not path_problem(text):
        assert not {"", ".", ".."} & set(text.split("/"))
        assert "\x00" not in text
        assert "\\" not in text


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the reader fail otherwise."""
    for scheme in ("", "mlflow-artifacts:/", "models:/", "runs:/"):
        try:
            parse_source(scheme + text)
        except HeadgateError as error:
            assert error.code in ("invalid_argument", "invalid_name", "unknown_version")
