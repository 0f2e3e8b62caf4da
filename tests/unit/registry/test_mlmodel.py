"""Reading what came with a model: MLmodel, its tier, its libraries."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from registry.admission.libraries import libraries
from registry.admission.mlmodel import parse_mlmodel
from registry.admission.tier import tier_of
from registry.errors import InvalidRequest
from registry.records import Tier


def mlmodel(loader: str = "mlflow.sklearn", **pyfunc: object) -> bytes:
    """Return the bytes of a small MLmodel file."""
    flavors = {
        "python_function": {"loader_module": loader, "python_version": "3.11.7", **pyfunc},
        loader.removeprefix("mlflow."): {},
    }
    return yaml.safe_dump({"flavors": flavors}).encode()


def test_ordinary_file_is_read() -> None:
    """Flavours, loader, Python and signature come out."""
    model = parse_mlmodel(mlmodel() + b'signature:\n  inputs: \'[{"type": "long", "name": "a"}]\'\n')
    assert (model.loader_module, model.python) == ("mlflow.sklearn", "3.11.7")
    assert model.signature is not None and model.signature["inputs"][0]["name"] == "a"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"x",
        b"flavors: 3",
        b"flavors: {}",
        b"flavors: {sklearn: {}}",
        b"flavors: {python_function: {}}",
        b"\xff\xfe\x00",
        b"!!python/object/apply:os.system ['true']",
        b"a: &a [1]\nb: [" + b"*a," * 100 + b"]",
        b"- " * 100_000,
        b"[" * 100_000,
        b"x" * (2**20 + 1),
        b"flavors: {python_function: {loader_module: m}}\nsignature: {inputs: '[{'}",
        b"flavors: {python_function: {loader_module: m}}\nsignature: 3",
        b"flavors: {python_function: {loader_module: m}, 1: {}}",
        b"flavors: {python_function: {loader_module: m}}\nsignature: {inputs: '"
        b'[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [Infinity]}}]\'}',
        b"flavors: {python_function: {loader_module: m}}\nsignature: {inputs: '" + b"[" * 200_000 + b"'}",
    ],
)
def test_hostile_file_is_refused_in_words(data: bytes) -> None:
    """Anything but a plain MLmodel is a rejection with a reason, never an exception of the parser."""
    with pytest.raises(InvalidRequest) as caught:
        parse_mlmodel(data)
    assert caught.value.code == "not_servable"


def test_small_file_that_stands_for_billions_is_refused() -> None:
    """Aliases that multiply are counted once they are followed."""
    bomb = b"a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 6)) for i in range(1, 10)
    )
    with pytest.raises(InvalidRequest, match="values"):
        parse_mlmodel(bomb)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No bytes raise anything but the refusal."""
    try:
        parse_mlmodel(data)
    except InvalidRequest as error:
        assert error.code == "not_servable"


@pytest.mark.parametrize(
    ("loader", "paths", "tier"),
    [
        ("mlflow.onnx", ["MLmodel", "model.onnx", "requirements.txt"], Tier.DATA),
        ("mlflow.xgboost", ["MLmodel", "model.ubj"], Tier.DATA),
        ("mlflow.lightgbm", ["MLmodel", "model.lgb"], Tier.DATA),
        ("mlflow.lightgbm", ["MLmodel", "model.pkl"], Tier.CODE),
        ("mlflow.onnx", ["MLmodel", "model.onnx", "code/x.py"], Tier.CODE),
        ("mlflow.sklearn", ["MLmodel", "model.pkl"], Tier.CODE),
        ("evil", ["MLmodel"], Tier.CODE),
    ],
)
def test_tier_follows_loader_and_files(loader: str, paths: list[str], tier: Tier) -> None:
    """Only a known parser of plain files, with nothing beside them, is of the data tier."""
    assert tier_of(parse_mlmodel(mlmodel(loader)), paths)[0] is tier


def test_code_that_came_along_makes_it_code() -> None:
    """A folder of Python files is executed on loading, whatever the loader."""
    assert tier_of(parse_mlmodel(mlmodel("mlflow.onnx", code="code")), ["model.onnx"])[0] is Tier.CODE


def test_requirements_are_cleaned() -> None:
    """Comments and blank lines go; conda.yaml serves where there is no requirements.txt."""
    assert libraries("# x\nnumpy==2.4.6  # y\n\nscikit-learn>=1.9\n", "") == ("numpy==2.4.6", "scikit-learn>=1.9")
    conda = "dependencies:\n- python=3.11\n- pip:\n  - mlflow\n  - numpy==2.0\n"
    assert libraries("", conda) == ("mlflow", "numpy==2.0")
    assert libraries("", "") == ()


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://evil",
        "-e .",
        "git+https://x/y",
        "x @ https://e/x.whl",
        "./x.whl",
        "/abs/x",
        "numpy; import os `id`",
        "-r other.txt",
    ],
)
def test_requirement_from_elsewhere_is_refused(line: str) -> None:
    """A line that would make the server install from an address is refused, naming it."""
    with pytest.raises(InvalidRequest) as caught:
        libraries(f"numpy==2.4.6\n{line}\n", "")
    assert caught.value.code == "not_servable"


def test_damaged_conda_file_is_refused() -> None:
    """A conda.yaml that cannot be read is a rejection, not a crash."""
    with pytest.raises(InvalidRequest):
        libraries("", "dependencies: 3")
