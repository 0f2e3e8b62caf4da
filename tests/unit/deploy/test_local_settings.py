"""What `make up` accepts of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.settings import LocalSettings
from registry.environment import SettingsProblem
from registry.settings import RegistrySettings
from serving.settings import ServingSettings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    """State in ./var, the registry on 5000, serving on 8080, gRPC on 8081, all on loopback."""
    settings = LocalSettings.load({})
    assert (settings.home, settings.registry_port, settings.serving_port) == (Path("var"), 5000, 8080)
    assert settings.grpc_port == 8081
    assert settings.registry_host == settings.serving_host == "127.0.0.1"
    assert settings.s3_endpoint is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HEADGATE_REGISTRY_PORT": "0"}, "HEADGATE_REGISTRY_PORT"),
        ({"HEADGATE_SERVING_PORT": "65536"}, "HEADGATE_SERVING_PORT"),
        ({"HEADGATE_SERVING_PORT": "http"}, "HEADGATE_SERVING_PORT"),
        ({"HEADGATE_S3_ENDPOINT": "s3.example.org"}, "HEADGATE_S3_ENDPOINT"),
        ({"HEADGATE_S3_BUCKET": "No"}, "HEADGATE_S3_BUCKET"),
        ({"HEADGATE_HOEM": "x"}, "did you mean HEADGATE_HOME"),
        ({"HEADGATE_REGISTRY_PORT": "8080"}, "are both 8080"),
        ({"HEADGATE_SERVING_PORT": "8081"}, "HEADGATE_SERVING_PORT and HEADGATE_GRPC_PORT are both 8081"),
        ({"HEADGATE_SERVING_HOST": "0.0.0.0"}, "HEADGATE_AUTH=off"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_variable(environ: dict[str, str], words: str) -> None:
    """Whoever reads the line knows what to change."""
    with pytest.raises(SettingsProblem) as refusal:
        LocalSettings.load(environ)
    assert len(refusal.value.lines) == 1
    assert words in refusal.value.lines[0]
    assert "\n" not in refusal.value.lines[0]


def test_what_is_read_twice_is_described_once() -> None:
    """Each of these settings has the same default and the same sentence as with the process that owns it."""
    owners = {**ServingSettings.model_fields, **RegistrySettings.model_fields}
    for name, field in LocalSettings.model_fields.items():
        assert (field.default, field.description) == (owners[name].default, owners[name].description), name
