"""Settings of a serving node: what is accepted, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.environment import SettingsProblem
from registry.variables import KNOWN, PREFIX
from serving.settings import ServingSettings, load_settings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    """Nothing need be set."""
    settings = load_settings({"PATH": "/bin"})
    assert (settings.serving_host, settings.serving_port) == ("127.0.0.1", 8080)
    assert settings.grpc_port == 8081
    assert settings.body_bytes == 16 * 1024 * 1024
    assert settings.cache_bytes == 20 * 1024**3
    assert (settings.request_seconds, settings.load_seconds, settings.queue_rows) == (30, 60, 1024)


def test_values_are_read_as_their_types() -> None:
    """Text becomes paths, numbers and lists."""
    settings = load_settings(
        {
            "HEADGATE_HOME": "state",
            "HEADGATE_SERVING_PORT": "9000",
            "HEADGATE_ALLOWED_HOSTS": "a.example, b.example",
            "HEADGATE_REGISTRY_URL": "http://registry:5000/",
        }
    )
    assert (settings.home, settings.serving_port) == (Path("state"), 9000)
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert settings.registry_url == "http://registry:5000"


def test_two_servers_need_two_ports() -> None:
    """HTTP and gRPC cannot share one; 0 turns gRPC off."""
    with pytest.raises(SettingsProblem, match="HEADGATE_SERVING_PORT and HEADGATE_GRPC_PORT are both 8081"):
        load_settings({"HEADGATE_SERVING_PORT": "8081"})
    assert load_settings({"HEADGATE_SERVING_PORT": "8081", "HEADGATE_GRPC_PORT": "0"}).grpc_port == 0


def test_a_variable_that_is_empty_is_not_set() -> None:
    """Compose files leave a variable out by making it empty."""
    assert load_settings({"HEADGATE_S3_ENDPOINT": "", "HEADGATE_AUTH": ""}).s3_endpoint is None


def test_the_environment_of_this_process_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is handed in counts."""
    monkeypatch.setenv("HEADGATE_SERVING_PORT", "1234")
    assert load_settings({}).serving_port == 8080


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    """A misspelt setting stops the start instead of being ignored."""
    with pytest.raises(SettingsProblem, match="did you mean HEADGATE_SERVING_PORT"):
        load_settings({"HEADGATE_SERVING_PRT": "9000"})


def test_each_problem_is_one_line() -> None:
    """All problems are said at once, each with its variable, none with its value."""
    with pytest.raises(SettingsProblem) as refused:
        load_settings(
            {"HEADGATE_SERVING_PORT": "x9x", "HEADGATE_BODY_BYTES": "-1", "HEADGATE_REGISTRY_URL": "ftp://x9x"}
        )
    lines = refused.value.lines
    assert len(lines) == 3
    assert {line.split(":")[0] for line in lines} == {
        "HEADGATE_SERVING_PORT",
        "HEADGATE_BODY_BYTES",
        "HEADGATE_REGISTRY_URL",
    }
    assert not any("x9x" in line or "\n" in line for line in lines)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "serving"])
def test_an_address_beyond_loopback_needs_consent(host: str) -> None:
    """Without access control only loopback is allowed, unless HEADGATE_AUTH=off says otherwise."""
    with pytest.raises(SettingsProblem, match="HEADGATE_AUTH=off"):
        load_settings({"HEADGATE_SERVING_HOST": host})
    assert load_settings({"HEADGATE_SERVING_HOST": host, "HEADGATE_AUTH": "off"}).serving_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_consent(host: str) -> None:
    """Every spelling of this machine is fine."""
    assert load_settings({"HEADGATE_SERVING_HOST": host}).serving_host == host


def test_every_setting_is_a_known_name_with_a_sentence() -> None:
    """The list that other processes refuse unknown names by has each of them, and each is documented."""
    for name, field in ServingSettings.model_fields.items():
        assert PREFIX + name.upper() in KNOWN
        assert field.description
        assert field.description.endswith(".")


@pytest.mark.parametrize("target", ["churn", "churn@champion", "churn/3", "a.b-c_d@x"])
def test_a_default_model_is_a_name_perhaps_with_an_alias_or_a_version(target: str) -> None:
    """As people write it everywhere else."""
    assert load_settings({"HEADGATE_DEFAULT_MODEL": target}).default_model == target


@pytest.mark.parametrize("target", ["-x", "churn@latest", "churn/0", "churn/x", "churn@a/3", "models:/churn"])
def test_a_default_model_that_cannot_be_stops_the_start(target: str) -> None:
    """A slip would otherwise be a 404 for everybody."""
    with pytest.raises(SettingsProblem, match="HEADGATE_DEFAULT_MODEL.*name@alias or name/version"):
        load_settings({"HEADGATE_DEFAULT_MODEL": target})
