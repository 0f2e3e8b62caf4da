"""The platform under measurement: real processes, the serving node and its hosts on one core, the rest on the other.

Models come in as everybody's do: uploaded, admitted, promoted. Not here: what is measured.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from headgate import Client

from tests.bench.load import Connection, ask_once, body_of, http_request, status_of
from tests.bench.machine import LOAD_CORE, SERVER_CORE, family, move, on_core, private_mb
from tests.bench.models import Work, flat
from tests.support.platform import Platform

WARM_PARENT_SECONDS = 60


class Product:
    """A running platform, by what a measurement asks of it."""

    def __init__(self, platform: Platform) -> None:
        self._client = Client(platform.registry_url, platform.serving_url)
        self.node: psutil.Process = platform.process("serving")
        self.port = int(platform.serving_url.rsplit(":", 1)[1])
        self.grpc_port = int(platform.grpc_address.rsplit(":", 1)[1])

    def close(self) -> None:
        """Let go of the client."""
        self._client.close()

    def register(self, work: Work, name: str | None = None) -> str:
        """Register a version under the model's own name, give it the traffic, and load it; return its predict path."""
        name = name or work.name
        version = self._client.register(work.directory, name, timeout=300)
        self._client.promote(name, version.version)
        path = f"/models/{name}/predict"
        self.check(path, work)
        return path

    def register_only(self, work: Work) -> None:
        """Register a version, which then has no traffic: it is loaded when it is asked for, and not before."""
        self._client.register(work.directory, work.name, timeout=300)

    def check(self, path: str, work: Work) -> None:
        """Wait until the path answers, and make sure that it answers right."""
        request = http_request(path, work.body(0, 3))
        deadline = time.monotonic() + WARM_PARENT_SECONDS
        while True:
            status, body = ask_once(self.port, request)
            if status == 200:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path} answers {status}: {body[:500].decode(errors='replace')}")
            time.sleep(0.05)
        got = flat(json.loads(body)["predictions"])
        if any(abs(a - float(b)) > 1e-4 for a, b in zip(got, work.answers[:3], strict=True)):
            raise RuntimeError(f"{path} answers {got}, not {work.answers[:3]}")

    def show(self, name: str, version: str = "1") -> dict[str, Any]:
        """Return what the node says of one version."""
        status, body = ask_once(self.port, http_request(f"/models/{name}/versions/{version}", method="GET"))
        if status != 200:
            raise RuntimeError(f"GET {name} {version}: {status}")
        shown: dict[str, Any] = json.loads(body)
        return shown

    def private_mb(self) -> float:
        """Return the private memory of the node, its warm parents and its hosts together."""
        return private_mb(family(self.node))


def unload(connection: Connection, name: str, version: str = "1") -> None:
    """Unload a version, and wait until it is cold."""
    order = http_request(f"/models/{name}/versions/{version}/unload")
    answer = connection.ask(order)
    while status_of(answer) != 200 or json.loads(body_of(answer))["state"] != "cold":
        time.sleep(0.002)
        answer = connection.ask(order)


@contextmanager
def running(home: Path, extra: Mapping[str, str] | None = None) -> Iterator[Product]:
    """Start a platform with the serving node on its core; stop it whatever happens."""
    platform = Platform(home, extra)
    try:
        with on_core(SERVER_CORE):
            platform.start()
        for child in ("s3", "registry"):
            move(platform.process(child), LOAD_CORE)
        product = Product(platform)
        try:
            yield product
        finally:
            product.close()
    finally:
        platform.stop()
