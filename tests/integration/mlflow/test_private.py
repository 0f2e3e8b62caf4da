"""MLflow still has all of its own that we build on. If one of these fails after an upgrade, mend ``private.py``."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator

import pytest

from registry.adapters.mlflow_app import private

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """MLflow's import warns of what it uses of other libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", private.ADDRESSES)
def test_each_name_is_where_it_was(name: str) -> None:
    """The address leads to something."""
    assert private.resolve(private.ADDRESSES[name]) is not None


@pytest.mark.parametrize("name", private.GLOBALS)
def test_each_variable_that_we_set_is_read(name: str) -> None:
    """The handlers still keep it in a variable of that name."""
    handlers = private.resolve("mlflow.server.handlers")
    assert hasattr(handlers, name)
    assert name in inspect.getsource(handlers._get_artifact_repo_mlflow_artifacts)


def test_the_servers_environment_variables_keep_their_names() -> None:
    """What we set is what MLflow's server reads."""
    constants = private.resolve("mlflow.server.constants")
    assert constants.BACKEND_STORE_URI_ENV_VAR == private.BACKEND_STORE
    assert constants.ARTIFACT_ROOT_ENV_VAR == private.ARTIFACT_ROOT
    assert constants.ARTIFACTS_DESTINATION_ENV_VAR == private.ARTIFACT_DESTINATION
    assert constants.SERVE_ARTIFACTS_ENV_VAR == private.SERVE_ARTIFACTS
    foreign = {constants.READ_REPLICA_BACKEND_STORE_URI_ENV_VAR, constants.REGISTRY_STORE_URI_ENV_VAR}
    assert foreign | {constants.ARTIFACTS_ONLY_ENV_VAR, constants.PROMETHEUS_EXPORTER_ENV_VAR} <= set(private.FOREIGN)
    assert private.resolve("mlflow.server.handlers:STATIC_PREFIX_ENV_VAR") in private.FOREIGN


@pytest.mark.parametrize("name", [name for name in private.SWITCHES if name.startswith("MLFLOW_")])
def test_each_switch_is_still_one(name: str) -> None:
    """MLflow declares the variable."""
    assert private.resolve(f"mlflow.environment_variables:{name}").name == name


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("registry.adapters.mlflow_app.store:HeadgateRegistryStore", "RegistryStore"),
        ("registry.adapters.mlflow_app.tracking:HeadgateTrackingStore", "TrackingStore"),
    ],
)
def test_what_we_override_still_exists_with_the_same_parameters(ours: str, theirs: str) -> None:
    """A method that MLflow renamed or gave another parameter would pass our rules by."""
    base = private.resolve(private.ADDRESSES[theirs])
    for name, method in vars(private.resolve(ours)).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            assert hasattr(base, name), name
            expected = list(inspect.signature(getattr(base, name)).parameters)
            given = [p.name for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
            assert given == expected[: len(given)], name
            assert len(given) == len(expected) or "others" in inspect.signature(method).parameters, name


def test_every_way_to_write_the_model_registry_is_known() -> None:
    """A method that writes and that a new MLflow adds must be looked at: does it need our rules?"""
    base = private.resolve(private.ADDRESSES["RegistryStore"])
    writers = {
        name
        for name, method in vars(base).items()
        if inspect.isfunction(method) and not name.startswith("_") and "read_only=False" in inspect.getsource(method)
    }
    assert {name for name in writers if "webhook" not in name} == {
        "create_registered_model",
        "update_registered_model",
        "rename_registered_model",
        "delete_registered_model",
        "set_registered_model_tag",
        "delete_registered_model_tag",
        "create_model_version",
        "update_model_version",
        "transition_model_version_stage",
        "delete_model_version",
        "set_model_version_tag",
        "delete_model_version_tag",
        "set_registered_model_alias",
        "delete_registered_model_alias",
    }
