"""Errors in TensorFlow Serving's statuses and words."""

from __future__ import annotations

import orjson
import pytest

from registry.edge.problems import STATUS
from registry.errors import BRANCHES, HeadgateError, InvalidRequest, NotFound, Unavailable
from serving.protocols.tfs.errors import tfs_problem, tfs_status

CANONICAL = {400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504}
OF_HTTP = {"request_timeout": 408, "body_too_large": 413, "headers_too_large": 431}
ELSEWHERE = {"quota_exceeded", "digest_mismatch", "precondition_required"}
"""Codes that no route of a serving node has."""


def every_code() -> list[str]:
    """Return all codes there are."""
    return [code for branch in BRANCHES for code in branch.codes]


@pytest.mark.parametrize("code", every_code())
def test_every_code_has_a_status_of_theirs_in_the_same_class(code: str) -> None:
    """A caller's fault stays a caller's and ours ours; the status is one of their canonical codes, or HTTP's own."""
    status = tfs_status(code)
    assert status // 100 == STATUS[code] // 100
    assert status in CANONICAL or OF_HTTP.get(code) == status or code in ELSEWHERE


def words(path: str, error: HeadgateError) -> str:
    """Return what an error says."""
    text: str = orjson.loads(tfs_problem(path, error, "r")[1])["error"]
    return text


def test_known_words_are_theirs_to_the_letter() -> None:
    """Clients compare these."""
    unknown, nothing = NotFound("unknown_model", "no"), NotFound("not_found", "no", {"method": "GET"})
    assert words("/v1/models/half:predict", unknown) == "Servable not found for request: Latest(half)"
    assert words("/v1/models/half/versions/3:predict", unknown) == "Servable not found for request: Specific(half, 3)"
    assert words("/v1/models/half", unknown) == "Could not find any versions of model half"
    assert words("/v1/x", nothing) == "Malformed request: GET /v1/x"
    assert words("/v1/models/versions/3", nothing) == "Missing model name in request."


def test_other_words_are_ours() -> None:
    """What they have no words for says what was wrong and what would be right, as everywhere."""
    assert words("/v1/models/half:predict", InvalidRequest("invalid_input", "x is missing")) == "x is missing"


def test_paths_are_quoted_in_part() -> None:
    """An error repeats at most 64 characters of a path, printable ones."""
    said = words("/v1/" + "ü" * 500, NotFound("not_found", "no", {"method": "GET"}))
    assert len(said) < 100
    assert said.isascii() or said.endswith("…")


def test_retrying_is_told_as_everywhere() -> None:
    """Retry-After goes with what may succeed later."""
    status, _, headers = tfs_problem("/v1/models/half:predict", Unavailable("loading", "wait", retry_after=2), "r")
    assert status == 503
    assert (b"retry-after", b"2") in headers
