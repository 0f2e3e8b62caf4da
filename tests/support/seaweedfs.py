"""A real SeaweedFS for a test session, run by the very launcher that `make up` uses; one bucket a test."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from deploy.local.seaweedfs import REGION, SeaweedCommand, plan_seaweedfs, wait_until_ready
from registry.adapters.s3.client import S3Client, client_config

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Seaweed:
    """A running server; ``kill`` and ``start`` let a test take it away and bring it back on the same ports."""

    def __init__(self, command: SeaweedCommand) -> None:
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Address of the S3 port."""
        return self.command.endpoint

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            self.command.argv,
            env=dict(self.command.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 -- tests start it from their only busy thread
        )
        try:
            wait_until_ready(self.command, 20)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """End it with SIGKILL, and remove the sockets that it leaves behind."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
        for name in ("master", "volume", "filer", "s3", "admin"):
            Path(f"/tmp/seaweedfs-{name}-grpc-{self.command.ports[f'{name}.grpc']}.sock").unlink(missing_ok=True)

    def client(self) -> S3Client:
        """Return a new client with the platform's own limits and this server's credentials."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.command.access_key,
            aws_secret_access_key=self.command.secret_key,
            config=client_config(self.endpoint),
        )

    def environment(self) -> dict[str, str]:
        """Return the AWS variables for a child process."""
        return {
            "AWS_ACCESS_KEY_ID": self.command.access_key,
            "AWS_SECRET_ACCESS_KEY": self.command.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def running_seaweed(directory: Path) -> Iterator[Seaweed]:
    """Run a server of its own below ``directory``."""
    server = Seaweed(plan_seaweedfs(directory))
    server.start()
    try:
        yield server
    finally:
        server.kill()


_shared: list[Seaweed] = []


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Seaweed:
    """One server for the session, also where several modules import this fixture (each import makes its own)."""
    if not _shared:
        server = Seaweed(plan_seaweedfs(tmp_path_factory.mktemp("s3")))
        atexit.register(server.kill)
        server.start()
        _shared.append(server)
    return _shared[0]


@pytest.fixture
def aws_credentials(seaweedfs: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Seaweed:
    """The session's server, with its credentials where the AWS chain finds them, for this test alone."""
    for name, value in seaweedfs.environment().items():
        monkeypatch.setenv(name, value)
    return seaweedfs


@pytest.fixture
def bucket(seaweedfs: Seaweed) -> Iterator[str]:
    """A fresh bucket; it goes, with all that is in it, after the test."""
    client = seaweedfs.client()
    name = f"test-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    try:
        yield name
    finally:
        with contextlib.suppress(client.exceptions.NoSuchBucket):
            client.delete_bucket(Bucket=name)  # this server removes the objects along with it
        client.close()


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
