"""A Prometheus of the test's own: our configuration and rules, asked every other second, with the test's targets."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.platform import free_ports, until
from tests.support.promql import PROMETHEUS, program

SECONDS = "2s"


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now; fails where Prometheus refuses it."""
        answer = httpx.post(f"{self.url}/api/v1/query", data={"query": expr}, timeout=30).json()
        assert answer["status"] == "success", f"{answer['error']}: {expr}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def targets(self) -> dict[str, str]:
        """Return the health of the targets by job, with the last error where there is one."""
        found = httpx.get(f"{self.url}/api/v1/targets", timeout=30).json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["lastError"] or target["health"] for target in found}

    def unhealthy_rules(self) -> list[str]:
        """Return what rules complain of that were evaluated."""
        groups = httpx.get(f"{self.url}/api/v1/rules", timeout=30).json()["data"]["groups"]
        return [f"{r['name']}: {r['lastError']}" for g in groups for r in g["rules"] if r.get("lastError")]

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def prometheus(home: Path, targets: Mapping[str, str], keys: Mapping[str, str] | None = None) -> Iterator[Prometheus]:
    """Run Prometheus in ``home`` over ``targets`` (address by job); jobs that we do not ship are added, and
    keep the labels that their series come with.

    ``keys`` are the contents of the key files, by job; the others' are empty, as ours is.
    """
    (port,) = free_ports(1)
    _write(home, targets, keys or {})
    command = [
        program("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = Prometheus(f"http://127.0.0.1:{port}")
    with (home / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(server.is_ready, 30, "Prometheus' readiness")
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _write(home: Path, targets: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """Write our configuration and rules for these targets, with seconds where ours say more."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": SECONDS, "scrape_timeout": SECONDS, "evaluation_interval": SECONDS}
    ours = {job["job_name"]: job for job in config["scrape_configs"]}
    pattern = config["scrape_configs"][0]
    config["scrape_configs"] = [
        dict(ours.get(name, {**pattern, "job_name": name, "honor_labels": True})) for name in targets
    ]
    for job in config["scrape_configs"]:
        name = job["job_name"]
        (home / f"{name}.key").write_text(keys.get(name, ""))
        job["authorization"] = {**job["authorization"], "credentials_file": f"{name}.key"}
        job["static_configs"] = [{"targets": [targets[name]]}]
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    (home / "rules").mkdir()
    for path in (PROMETHEUS / "rules").glob("*.yml"):
        rules = yaml.safe_load(path.read_text("utf-8"))
        for group in rules["groups"]:
            group["interval"] = SECONDS
        (home / "rules" / path.name).write_text(yaml.safe_dump(rules))


@dataclass(slots=True)
class Exporter:
    """Answers one page of metrics, and remembers with which key it was asked."""

    page: str
    address: str = ""
    keys: set[str] = field(default_factory=set)


@contextmanager
def exporter(page: str) -> Iterator[Exporter]:
    """Answer ``page`` on a port of this machine for as long as the block runs."""
    made = Exporter(page)

    class Answer(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            """Answer the page, whatever was asked for."""
            made.keys.add(self.headers.get("authorization", ""))
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(made.page.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        made.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
