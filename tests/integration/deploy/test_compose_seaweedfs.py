"""The command that compose.yaml gives SeaweedFS, run for real: it works, and only loopback listens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.integration.deploy.stage import ROOT, free_port, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Run the service's command on free ports and another directory; give its process id and its S3 port."""
    home = tmp_path_factory.mktemp("seaweedfs")
    service = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))["services"]["seaweedfs"]
    s3 = free_port()
    names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    ports = {name: free_port() for name in (*names, "filer.port", "filer.port.grpc")} | {"s3.port": s3}
    # The last of several equal flags counts.
    moved = [f"-dir={home}", *(f"-{name}={port}" for name, port in ports.items())]
    env = {"PATH": os.defpath, "TMPDIR": str(home), "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    command = [str(Path(sys.executable).with_name("weed")), *service["command"], *moved]
    log = home / "log"
    with log.open("wb") as output, subprocess.Popen(command, env=env, stdout=output, stderr=output) as process:
        try:
            until(lambda: answers(s3) or process.poll() is not None, "SeaweedFS")
            assert process.poll() is None, log.read_text("utf-8", "replace")[-2000:]
            yield process.pid, s3
        finally:
            process.kill()


def client(port: int, secret: str) -> Any:
    """Return an S3 client that gives up quickly."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key=secret,
        config=Config(connect_timeout=1, read_timeout=30, retries={"total_max_attempts": 1}),
    )


def answers(port: int) -> bool:
    """Tell whether a signed request is answered."""
    try:
        client(port, "secret").list_buckets()
    except Exception:
        return False
    return True


def listeners(pid: int) -> set[str]:
    """Return the local addresses, as the kernel writes them, on which a process listens."""
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    inodes = {link[8:-1] for link in sockets if link.startswith("socket:[")}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_all_its_ports_are_on_loopback(seaweedfs: tuple[int, int]) -> None:
    """127.0.0.1, and nothing else: the door in front decides what others reach."""
    assert listeners(seaweedfs[0]) == {"0100007F"}


def test_the_given_credentials_work_and_others_do_not(seaweedfs: tuple[int, int]) -> None:
    """The secret of the environment is the only one."""
    store = cast("Any", client(seaweedfs[1], "secret"))
    store.create_bucket(Bucket="headgate")
    store.put_object(Bucket="headgate", Key="a", Body=b"1")
    assert store.get_object(Bucket="headgate", Key="a")["Body"].read() == b"1"
    with pytest.raises(ClientError):
        client(seaweedfs[1], "another").get_object(Bucket="headgate", Key="a")
