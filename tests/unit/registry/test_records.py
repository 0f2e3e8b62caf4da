"""Names, versions, aliases, and the snapshot's wire form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BRANCHES, Conflict, HeadgateError, InvalidRequest, NotFound, quote
from registry.lifecycle import may_move, require_move
from registry.plans import Plan
from registry.records import VersionNumber, VersionState, parse_alias, parse_digest, parse_model_name, parse_version
from registry.signature import parse_signature, signature_json
from registry.snapshots import ModelSnapshot, ServableVersion, SnapshotPage

NAMES = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", fullmatch=True)


@given(NAMES)
def test_name_of_the_grammar_is_itself(name: str) -> None:
    """Every name of the grammar is accepted, unchanged."""
    assert parse_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "-a",
        ".a",
        "a-",
        "a.",
        "a b",
        "a/b",
        "a\x00",
        "a\r\nb",
        "mod\u0435l",
        "caf\u00e9",
        "\u202eabc",
        "a\u200b",
        "😀",
        "=1+1",
        "<script>",
        "{{7*7}}",
        "${jndi:x}",
        "'; DROP",
        "a" * 129,
        "a\n",
    ],
)
def test_other_name_is_refused_with_the_rule(name: str) -> None:
    """Any other name is refused, and the refusal says what would do."""
    with pytest.raises(InvalidRequest, match="beginning and ending with a letter or digit"):
        parse_model_name(name)


@pytest.mark.parametrize("raw", ["0", "01", "+1", "-1", "1_0", " 1", "1 ", "١", "1e3", "1.0", "", "9" * 19, "1\n", "²"])
def test_version_has_one_spelling(raw: str) -> None:
    """Every other spelling of a number is a version that does not exist."""
    with pytest.raises(NotFound):
        parse_version(raw)


@pytest.mark.parametrize("raw", ["latest", "LATEST", "v1", "V22", "1", "", "a b", "a" * 64, "-a", "a\n"])
def test_alias_grammar(raw: str) -> None:
    """Aliases that read like versions, or break the grammar, are refused."""
    with pytest.raises(InvalidRequest):
        parse_alias(raw)
    assert parse_alias("champion") == "champion"
    assert parse_alias("version_1") == "version_1"


def test_digest_grammar() -> None:
    """A digest is sha256 and 64 lower-case hex digits."""
    assert parse_digest("sha256:" + "0" * 64)
    for raw in ("sha256:" + "0" * 63, "md5:" + "0" * 32, "sha256:" + "G" * 64, "sha256:" + "A" * 64):
        with pytest.raises(InvalidRequest):
            parse_digest(raw)


def test_snapshot_survives_the_wire() -> None:
    """A page is the same after its JSON was written and read."""
    version = ServableVersion(
        VersionNumber("3"),
        parse_digest("sha256:" + "1" * 64),
        10,
        "host",
        {"inputs": None},
        ("numpy==2",),
        "3.11.7",
        ("sklearn",),
    )
    model = ModelSnapshot(
        parse_model_name("churn"),
        Plan(VersionNumber("3"), "n"),
        7,
        {parse_alias("champion"): VersionNumber("3")},
        {version.version: version},
        {VersionNumber("4"): "rejected"},
    )
    page = SnapshotPage(9, full=True, models=(model,), removed=("old",))
    assert SnapshotPage.from_json(json.loads(json.dumps(page.to_json()))) == page


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_damaged_snapshot_raises_what_is_promised(raw: object) -> None:
    """Any JSON that is no snapshot raises one of the errors that the docstring names."""
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError, InvalidRequest)):
        SnapshotPage.from_json({"models": [raw], "revision": 1, "full": True, "removed": []})


def test_legal_moves_are_the_drawn_ones() -> None:
    """A retired version moves no more; a pending one cannot become ready unchecked; a refusal says what it can
    become."""
    assert not any(may_move(VersionState.RETIRED, state) for state in VersionState)
    assert not may_move(VersionState.PENDING, VersionState.READY)
    with pytest.raises(Conflict, match="it can become checking, retired"):
        require_move(VersionState.PENDING, VersionState.READY)


@pytest.mark.parametrize("branch", BRANCHES)
def test_error_takes_only_its_own_codes(branch: type[HeadgateError]) -> None:
    """A code of another branch is a programming error; a long message is cut at 2,048 characters."""
    with pytest.raises(ValueError, match="has no code"):
        branch("nonsense", "x")
    assert len(branch(next(iter(branch.codes)), "x" * 10_000).message) == 2048


@given(st.text())
def test_quote_is_short_and_printable(text: str) -> None:
    """Whatever a caller sent, what is repeated of it is at most 64 printable characters."""
    quoted = quote(text)
    assert len(quoted) <= 64 and "\n" not in quoted and quoted.isprintable()


def test_signature_is_read_from_mlmodel() -> None:
    """Columns, tensors and params come out typed; damage raises ValueError."""
    raw = signature_json(
        {
            "inputs": '[{"type": "double", "name": "x", "required": true}]',
            "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]',
            "params": '[{"name": "t", "dtype": "float", "default": 0.5, "shape": null}]',
        }
    )
    signature = parse_signature(raw)
    assert signature.inputs is not None and signature.inputs.columns[0].name == "x"
    assert signature.outputs is not None and signature.outputs.tensors[0].shape == (-1,)
    assert signature.params is not None and signature.params[0].default == 0.5
    for damaged in ({"inputs": "[{}]"}, {"inputs": "nonsense"}, {"inputs": [{"type": "tensor"}]}, {"params": [1]}):
        with pytest.raises(ValueError, match="."):
            signature_json(damaged)
