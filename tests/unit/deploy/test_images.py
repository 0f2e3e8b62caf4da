"""The Dockerfile: clean by its linter, and everything that it names exists."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from registry.settings import RegistrySettings
from registry.variables import KNOWN
from serving.settings import ServingSettings

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "deploy" / "images" / "Dockerfile"
HEALTHCHECK = ROOT / "deploy" / "images" / "healthcheck.py"
PORTS = {
    "registry": RegistrySettings.model_fields["registry_port"].default,
    "serving": ServingSettings.model_fields["serving_port"].default,
}


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continuation lines joined, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.read_text("utf-8").splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stage(name: str) -> dict[str, str]:
    """Return the instructions of one stage; of several with one name the last."""
    found: dict[str, str] = {}
    current = ""
    for word, rest in instructions():
        if word == "FROM":
            current = rest.rpartition(" ")[2]
        if current == name:
            found[word] = rest
    return found


def copied() -> list[str]:
    """Return the sources of COPY that come from the checkout."""
    return [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in shlex.split(rest)[:-1]
    ]


def test_the_linter_has_nothing_to_say() -> None:
    """hadolint knows the traps of Dockerfiles and of the shell in them."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DOCKERFILE], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_reaches_the_build(source: str) -> None:
    """A path that .dockerignore keeps out would fail only in the build."""
    path = source.rstrip("/")
    assert (ROOT / path).exists()
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").rstrip("/")
            if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in parents):
                ignored = not line.startswith("!")
    assert not ignored


def test_no_secret_or_cache_reaches_the_build() -> None:
    """The rules that keep them out come last, where nothing overrules them."""
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[-3:] == ["**/__pycache__", "**/*.pyc", "**/.env"]


@pytest.mark.parametrize("name", ["registry", "serving"])
def test_each_image_runs_a_module_that_exists_on_its_own_port(name: str) -> None:
    """Entry point, port and health check speak of the same process."""
    found = stage(name)
    entry = json.loads(found["ENTRYPOINT"])
    assert entry == ["python", "-m", name]
    assert importlib.util.find_spec(f"{name}.__main__") is not None
    assert found["EXPOSE"].split()[0] == str(PORTS[name])
    check = json.loads(found["HEALTHCHECK"].partition(" CMD ")[2])
    assert check == ["python", "/opt/healthcheck.py", f"HEADGATE_{name.upper()}_PORT", str(PORTS[name])]


def test_serving_exposes_what_speaks_grpc() -> None:
    """Beside the port of HTTP."""
    assert stage("serving")["EXPOSE"].split()[1:] == [str(ServingSettings.model_fields["grpc_port"].default)]


def test_variables_of_ours_are_ones_that_exist() -> None:
    """The processes refuse unknown names."""
    assert set(re.findall(r"HEADGATE_[A-Z0-9_]+", DOCKERFILE.read_text("utf-8"))) <= KNOWN


def test_the_image_runs_without_root_and_owns_nothing_but_its_home() -> None:
    """The last user that a stage sets is a number, so that Kubernetes can tell that it is not root."""
    found = stage("platform")
    assert found["USER"] == "10001:10001"
    assert found["VOLUME"] == found["WORKDIR"] == "/var/lib/headgate"
    assert f"HEADGATE_HOME={found['VOLUME']}" in found["ENV"]


def test_every_install_is_from_hashes() -> None:
    """Only our own wheel, just built, is installed without one, and then without dependencies."""
    installs = [
        part.strip()
        for word, rest in instructions()
        if word == "RUN"
        for part in rest.split("&&")
        if re.search(r"\b(pip install|pip sync|uv build)\b", part)
    ]
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or install.endswith("--no-deps dist/*.whl"), install


def test_the_version_is_the_platforms() -> None:
    """The label says what is inside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert ("ARG", f"VERSION={project['version']}") in instructions()
    assert project["license"] in stage("platform")["LABEL"]


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_livez_says(status: int, expected: int) -> None:
    """200 is health, anything else is not; a proxy in the environment changes nothing."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {"HEADGATE_SERVING_PORT": str(server.server_port), "http_proxy": "http://127.0.0.1:9"}
        done = subprocess.run([sys.executable, HEALTHCHECK, "HEADGATE_SERVING_PORT", "1"], env=env, timeout=30)
        server.shutdown()
    assert done.returncode == expected


def test_the_health_check_of_nobody_fails() -> None:
    """Nothing listens on the discard port."""
    done = subprocess.run([sys.executable, HEALTHCHECK, "HEADGATE_SERVING_PORT", "9"], env={}, timeout=30)
    assert done.returncode == 1
