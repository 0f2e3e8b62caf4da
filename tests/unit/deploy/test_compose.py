"""compose.yaml: valid by the published schema, hardened, and everything that it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from registry.settings import RegistrySettings
from registry.variables import KNOWN
from serving.settings import ServingSettings, load_settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
DOCUMENT = cast("dict[str, Any]", yaml.safe_load(COMPOSE.read_text("utf-8")))
SERVICES = cast("dict[str, dict[str, Any]]", DOCUMENT["services"])
OURS = ("registry", "serving")
# ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message}: the name and what follows it.
REFERENCE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(:?[-?])?")


def example() -> dict[str, str]:
    """Return the variables of .env.example, those that are commented out included."""
    text = (DEPLOY / ".env.example").read_text("utf-8")
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, flags=re.MULTILINE))


def resolve(text: str, values: dict[str, str]) -> str:
    """Interpolate as compose does: innermost first (not all of its releases leave an unused default alone)."""
    pattern = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?:(:?)([-?])([^${}]*))?\}")

    def value(match: re.Match[str]) -> str:
        name, colon, kind, rest = match.groups()
        given = values.get(name)
        if given or (given == "" and not colon):
            return given
        if kind == "?":
            raise KeyError(name)
        return rest or ""

    while pattern.search(text):
        text = pattern.sub(value, text)
    return text


def environment(service: str, **values: str) -> dict[str, str]:
    """Return what a service of ours finds in its environment."""
    given = {"POSTGRES_PASSWORD": "p", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s", "GRAFANA_PASSWORD": "g", **values}
    return {name: resolve(str(text), given) for name, text in SERVICES[service]["environment"].items()}


def test_the_file_is_valid_by_the_compose_specification() -> None:
    """The published schema, as check-jsonschema carries it."""
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    """No capabilities, no new privileges, nothing written but volumes and memory, a pinned image, a restart."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert not service.get("privileged")
    assert re.search(r":v?\d", service["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """Nothing of this may be reached from another machine."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_database_and_store_are_on_networks_that_lead_nowhere_and_publish_nothing() -> None:
    """Only the registry talks to the database; only registry and serving talk to the store."""
    networks = DOCUMENT["networks"]
    assert networks["database"]["internal"] is True
    assert networks["objects"]["internal"] is True
    members = {n: {s for s, d in SERVICES.items() if n in d.get("networks", ())} for n in networks}
    assert members["database"] == {"postgres", "registry"}
    assert members["objects"] == {"s3", "registry", "serving"}
    assert not any("ports" in SERVICES[name] for name in ("postgres", "s3", "seaweedfs"))


def test_seaweedfs_is_bound_to_loopback_and_only_its_s3_port_is_passed_on() -> None:
    """Its other ports take orders from anybody."""
    command = SERVICES["seaweedfs"]["command"]
    assert "-ip.bind=127.0.0.1" in command
    assert not any(option.startswith("-s3.ip.bind") for option in command)
    assert SERVICES["seaweedfs"]["network_mode"] == "service:s3"
    assert "networks" not in SERVICES["seaweedfs"]
    door = (DEPLOY / "haproxy" / "s3.cfg").read_text("utf-8")
    (inner,) = re.findall(r"^    server \S+ 127\.0\.0\.1:(\d+)$", door, flags=re.MULTILINE)
    (outer,) = re.findall(r"^    bind :(\d+)$", door, flags=re.MULTILINE)
    assert f"-s3.port={inner}" in command
    assert environment("registry")["HEADGATE_S3_ENDPOINT"] == f"http://s3:{outer}"


def test_no_secret_has_a_default() -> None:
    """A secret that is not set refuses the start, and the message says where to set it."""
    for name in re.findall(r"[A-Z0-9_]*(?:PASSWORD|SECRET|ACCESS_KEY|S3_SECRET_KEY)[A-Z0-9_]*", " ".join(example())):
        assert example()[name] == ""
    required = {name for name, kind in REFERENCE.findall(COMPOSE.read_text("utf-8")) if kind == ":?"}
    assert required == {"POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "GRAFANA_PASSWORD"}
    holders = {"postgres": "POSTGRES_PASSWORD", "registry": "S3_SECRET_KEY", "grafana": "GRAFANA_PASSWORD"}
    for service, missing in holders.items():
        with pytest.raises(KeyError, match=missing):
            environment(service, **{missing: ""})


@pytest.mark.parametrize("name", OURS)
def test_our_processes_accept_the_environment_that_they_are_given(name: str) -> None:
    """Every variable is known, every value valid, and listening for others is consented to."""
    given = environment(name)
    assert {variable for variable in given if variable.startswith("HEADGATE_")} <= KNOWN
    if name == "registry":
        settings = RegistrySettings.load(given)
        assert (settings.registry_host, settings.registry_port) == ("0.0.0.0", 5000)
        assert settings.database == "postgresql://headgate:p@postgres:5432/headgate"
    else:
        node = load_settings(given)
        assert (node.serving_host, node.serving_port, node.grpc_port) == ("0.0.0.0", 8080, 8081)
        assert node.registry_url == "http://registry:5000"


@pytest.mark.parametrize("name", OURS)
def test_ones_own_database_and_store_replace_the_embedded_ones(name: str) -> None:
    """Their URLs go before; an empty endpoint means AWS."""
    given = environment(name, HEADGATE_DATABASE_URL="postgresql://u:q@db/x", HEADGATE_S3_ENDPOINT="")
    assert given["HEADGATE_S3_ENDPOINT"] == ""
    if name == "registry":
        assert given["HEADGATE_DATABASE_URL"] == "postgresql://u:q@db/x"


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_ours_answers_to_its_own_service_name(name: str) -> None:
    """The Host header is checked: others on the network call it by its service's name."""
    assert name in environment(name)["HEADGATE_ALLOWED_HOSTS"].split(",")


@pytest.mark.parametrize("name", OURS)
def test_images_of_ours_are_built_from_stages_that_exist(name: str) -> None:
    """Context, file and target are right, seen from the compose file."""
    build = SERVICES[name]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert context == ROOT
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (context / build["dockerfile"]).read_text("utf-8"), flags=re.MULTILINE)
    assert build["target"] in stages


@pytest.mark.parametrize("name", OURS)
def test_our_published_port_is_the_one_that_the_process_listens_on(name: str) -> None:
    """Whatever port of this machine was chosen."""
    published = [port.rpartition(":")[2] for port in SERVICES[name]["ports"]]
    settings = [f"HEADGATE_{name.upper()}_PORT", *(["HEADGATE_GRPC_PORT"] if name == "serving" else [])]
    assert published == [environment(name)[setting] for setting in settings]


def test_files_that_are_mounted_exist_and_volumes_are_declared() -> None:
    """A missing file would become an empty directory, silently."""
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source, *_ = resolve(volume, {}).split(":")
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
                assert volume.endswith(":ro")
            else:
                used.add(source)
    assert used == set(DOCUMENT["volumes"])


def test_whoever_is_waited_for_exists_and_can_become_healthy() -> None:
    """A wait for health needs a health check; ours come with the images."""
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            assert name in SERVICES
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
            assert wait.get("required", True) is ("profiles" not in SERVICES[name] or "profiles" in service)


def test_profiles_variables_and_documentation_agree() -> None:
    """Every variable of the file is in .env.example and in the guide, and the other way round."""
    used = {name for name, _ in REFERENCE.findall(COMPOSE.read_text("utf-8"))} | {"COMPOSE_PROFILES"}
    assert used == set(example())
    guide = (ROOT / "docs" / "guides" / "deploy.md").read_text("utf-8")
    assert all(f"`{name}`" in guide for name in used)
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    assert set(example()["COMPOSE_PROFILES"].split(",")) == profiles


def test_the_guides_variables_of_ours_exist() -> None:
    """The guide names no setting that nothing reads."""
    guide = (ROOT / "docs" / "guides" / "deploy.md").read_text("utf-8")
    assert set(re.findall(r"HEADGATE_[A-Z0-9_]+", guide)) <= KNOWN


def test_secrets_are_kept_out_of_git() -> None:
    """The file that one fills in is ignored where it lies."""
    assert ".env" in (DEPLOY / ".gitignore").read_text("utf-8").splitlines()


def test_the_settings_of_serving_and_the_file_agree_on_the_bucket() -> None:
    """Both processes must look into one bucket."""
    assert environment("registry")["HEADGATE_S3_BUCKET"] == environment("serving")["HEADGATE_S3_BUCKET"]
    assert environment("serving")["HEADGATE_S3_BUCKET"] == ServingSettings.model_fields["s3_bucket"].default
