"""What a hostile model directory may do to the registry: be rejected with a reason, and nothing else (group A)."""

from __future__ import annotations

import json
import time

import pytest

from registry.admission.libraries import libraries
from registry.admission.mlmodel import parse_mlmodel
from registry.admission.plain_yaml import load_plain_yaml
from registry.digest import check_paths
from registry.errors import InvalidRequest
from registry.records import VersionState
from tests.support.registry_app import MLMODEL, V1, RegistryInMemory

PYFUNC = b"flavors: {python_function: {loader_module: m}}\n"


def signature(text: str) -> bytes:
    """Return an MLmodel whose signature's inputs are this JSON text."""
    return PYFUNC + b"signature: {inputs: " + json.dumps(text).encode() + b"}\n"


SIGNATURES = {
    "a lone surrogate in a name": r'[{"type": "double", "name": "a\ud800"}]',
    "a lone surrogate in a key": r'[{"type": "double", "name": "a", "\ud800": 1}]',
    "NaN": '[{"type": "double", "name": NaN}]',
    "a number beyond doubles": '[{"type": "double", "name": 1e999}]',
    "a number beyond 64 bits": '[{"type": "double", "name": 18446744073709551616}]',
    "depth within the parser's": '[{"type": "double", "name": ' + "[" * 40 + "]" * 40 + "}]",
    "depth beyond the parser's": "[" * 5000 + "]" * 5000,
}


@pytest.mark.parametrize("text", SIGNATURES.values(), ids=SIGNATURES)
def test_signature_that_not_every_parser_takes_reaches_no_node(text: str) -> None:
    """One answer holds the signatures of all models: one that cannot be written would cut every node off (A11)."""
    registry = RegistryInMemory()
    registry.ready("good")
    registry.log_model("bad", mlmodel=signature(text))
    registry.settle()
    snapshot = registry.ask("GET", f"{V1}/snapshot")
    assert snapshot.status_code == 200
    assert {m["name"]: len(m["versions"]) for m in snapshot.json()["models"]} == {"good": 1, "bad": 0}
    shown = registry.ask("GET", f"{V1}/models/bad/versions/1").json()
    assert (shown["state"], "signature" in shown["reason"]) == ("rejected", True)


HOSTILE = {
    "tag that is no timestamp": b"a: !!timestamp x\n",
    "tag that is no number": b"a: !!int ''\n",
    "tag that is no boolean": b"a: !!bool x\n",
    "month that is none": b"a: 2020-99-99\n",
    "number of a megabyte": b"a: " + b"9" * 1_000_000,
    "hexadecimal of a megabyte": b"a: 0x" + b"f" * 1_000_000,
    "number to the base of sixty": b"a: 1" + b":59" * 300_000,
    "tagged number to the base of sixty": b"a: !!int '1" + b":59" * 300_000 + b"'",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_scalar_that_lies_about_its_type_is_refused_at_once(data: bytes) -> None:
    """Whatever the constructor would raise, or compute for minutes, is one refusal in words (A11)."""
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=r"is not plain YAML|holds a number"):
        load_plain_yaml(data)
    assert time.perf_counter() - begun < 5


def test_merge_keys_that_multiply_are_refused() -> None:
    """Four merges in sixteen levels are four billion pairs before anything could count them (A11)."""
    bomb = b"a0: &a0 {x: 1}\n" + b"".join(
        b"a%d: &a%d {<<: [%s]}\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 4)) for i in range(1, 16)
    )
    with pytest.raises(ValueError, match="merge keys"):
        load_plain_yaml(bomb)


@pytest.mark.parametrize(
    "data",
    [
        b"flavors: {python_function: {loader_module: m}, 1: {}}",
        b"flavors: {python_function: {loader_module: m}, 2020-01-01: {}}",
        b'flavors: {python_function: {loader_module: m}, "x\\0": {}}',
        b"flavors: {python_function: {loader_module: m}, " + b", ".join(b"f%d: {}" % i for i in range(100)) + b"}",
        b'flavors: {python_function: {loader_module: "a\\x1b[31m\\r\\nb"}}',
        b"flavors: {python_function: {loader_module: m, python_version: [3]}}",
        b'flavors: {python_function: {loader_module: m, python_version: "3\\0"}}',
        b"flavors: {python_function: {loader_module: m, python_version: 0x" + b"f" * 60 + b"}}",
    ],
)
def test_name_that_is_none_is_refused(data: bytes) -> None:
    """Flavours, the loader and the Python version are names: no numbers, control characters or thousands of them."""
    with pytest.raises(InvalidRequest) as caught:
        parse_mlmodel(data)
    assert caught.value.code == "not_servable"


def test_python_version_without_quotes_is_read() -> None:
    """YAML takes 3.11 for a number; people mean a version."""
    assert parse_mlmodel(b"flavors: {python_function: {loader_module: m, python_version: 3.11}}").python == "3.11"


def test_fault_of_ours_rejects_the_model_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version at which a check itself fails is tried again, then rejected; others are admitted meanwhile."""
    registry = RegistryInMemory()
    registry.log_model("odd", mlmodel=MLMODEL + b"# odd\n")
    registry.log_model("plain")

    def fails_at_odd(data: bytes) -> object:
        if data.endswith(b"# odd\n"):
            raise ZeroDivisionError
        return parse_mlmodel(data)

    monkeypatch.setattr("registry.admission.admit.parse_mlmodel", fails_at_odd)
    states = []
    for _ in range(4):
        registry.settle()
        record = registry.ledger.versions.page("odd", 1, 0)[0]  # type: ignore[arg-type]  # a name of the grammar
        states.append(record.state)
        registry.clock.now_ms += 10_000
    assert states == [VersionState.CHECKING, VersionState.CHECKING, VersionState.REJECTED, VersionState.REJECTED]
    assert registry.ask("GET", f"{V1}/models/plain/versions/1").json()["state"] == "ready"
    assert "ZeroDivisionError" in registry.ask("GET", f"{V1}/models/odd/versions/1").json()["reason"]


@pytest.mark.parametrize("pip", [b"numpy", b"[1]", b"[{a: b}]", b"{numpy: 1}"])
def test_conda_file_whose_packages_are_no_list_of_texts_is_refused(pip: bytes) -> None:
    """A text where a list belongs would be a list of letters, each the name of somebody's package (A12)."""
    with pytest.raises(InvalidRequest, match=r"conda\.yaml"):
        libraries("", (b"dependencies:\n- pip: " + pip + b"\n").decode())


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["a/x", "A/y"], "differ by case"),
        (["a/b/x", "a/B/y"], "differ by case"),
        (["x" * 256], "255 bytes"),
        (["\u00e9" * 128], "255 bytes"),
        (["/".join("d" * 65)], "64 segments"),
    ],
)
def test_path_that_some_disk_cannot_hold_is_refused(paths: list[str], words: str) -> None:
    """What could be sealed and then never be put on a node's disk is refused before (A14)."""
    with pytest.raises(InvalidRequest, match=words):
        check_paths(paths)


def test_folders_of_one_spelling_may_hold_many_files() -> None:
    """The rule on case is about different spellings alone."""
    check_paths([f"a/b/{i}" for i in range(100)] + [f"a/c/{i}" for i in range(100)])
