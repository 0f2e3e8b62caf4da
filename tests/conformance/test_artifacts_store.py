"""The store that `make up` embeds for artifacts: reachable from this machine alone, closed to strangers, durable."""

from __future__ import annotations

import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from deploy.local.seaweedfs import SeaweedCommand, plan_seaweedfs, wait_until_ready
from tests.support.seaweedfs import Seaweed, running_seaweed, seaweedfs

__all__ = ["seaweedfs"]  # pytest finds fixtures by name
pytestmark = pytest.mark.integration


def listening(pid: int) -> set[tuple[str, int]]:
    """Return (address in hex, port) of every TCP socket on which the process listens, IPv6 included."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:
            continue
        inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and columns[9] in inodes:
                address, port = columns[1].split(":")
                found.add((address, int(port, 16)))
    return found


def test_every_port_is_planned_and_on_loopback(seaweedfs: Seaweed) -> None:
    """It listens on 127.0.0.1 only, and on no port that the plan does not name."""
    found = listening(seaweedfs.pid)
    assert {address for address, _ in found} == {"0100007F"}
    assert {port for _, port in found} <= set(seaweedfs.command.ports.values())


def test_strangers_are_refused(seaweedfs: Seaweed) -> None:
    """The S3 port lists, creates and shows nothing without a signature."""
    for method, path in (("GET", "/"), ("PUT", "/mine"), ("GET", "/mine"), ("PUT", "/mine/x"), ("DELETE", "/mine/x")):
        request = urllib.request.Request(
            seaweedfs.endpoint + path, method=method, data=b"" if method == "PUT" else None
        )
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=5)
        raised.value.close()
        assert raised.value.code == 403


def test_credentials_are_made_once_and_private(tmp_path: Path) -> None:
    """Planning twice gives the same secret and ports; another directory has others; only the owner may read them."""
    first, again, other = (plan_seaweedfs(tmp_path / name) for name in ("a", "a", "b"))
    assert first == again
    assert first.secret_key != other.secret_key
    assert first.secret_key not in repr(first)
    assert first.secret_key not in " ".join(first.argv) + str(first.env)
    assert stat.S_IMODE((tmp_path / "a" / "s3.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_a_port_in_use_is_replaced(tmp_path: Path) -> None:
    """A port of last time that somebody else has taken since is chosen anew; the others stay."""
    first = plan_seaweedfs(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.ports["s3"]))
        taken.listen()
        second = plan_seaweedfs(tmp_path)
    assert second.ports["s3"] != first.ports["s3"]
    assert {**second.ports, "s3": 0} == {**first.ports, "s3": 0}
    assert len(set(second.ports.values())) == len(second.ports)


def test_never_ready_is_a_timeout(tmp_path: Path) -> None:
    """With nothing started, waiting ends in time and says what was waited for."""
    with pytest.raises(TimeoutError, match="S3 server"):
        wait_until_ready(plan_seaweedfs(tmp_path), 0.2)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """SIGKILL under load, restart on the same ports, then on others: every acknowledged object is there."""
    acknowledged: list[str] = []

    def write(server: Seaweed) -> None:
        client = server.client()
        for number in range(100_000):
            try:
                client.put_object(Bucket="durable", Key=f"{number}", Body=f"{number}".encode() * 1000)
            except (BotoCoreError, ClientError):
                client.close()
                return
            acknowledged.append(f"{number}")

    with running_seaweed(tmp_path) as server:
        server.client().create_bucket(Bucket="durable")
        writer = threading.Thread(target=write, args=(server,))
        writer.start()
        deadline = time.monotonic() + 20
        while len(acknowledged) < 150 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.kill()
        writer.join()
        server.start()
        assert lost(server.command, acknowledged) == []
        server.kill()
        (tmp_path / "ports.json").unlink()
        moved = Seaweed(plan_seaweedfs(tmp_path))
        moved.start()
        try:
            assert moved.endpoint != server.endpoint
            assert lost(moved.command, acknowledged) == []
        finally:
            moved.kill()
    assert len(acknowledged) >= 150


def lost(command: SeaweedCommand, keys: list[str]) -> list[str]:
    """Return the keys whose object is not what was written, with what came instead."""
    client = Seaweed(command).client()
    wrong = []
    for key in keys:
        try:
            data = client.get_object(Bucket="durable", Key=key)["Body"].read()
        except ClientError as error:
            wrong.append(f"{key}: {error}")
            continue
        if data != key.encode() * 1000:
            wrong.append(f"{key}: {len(data)} bytes")
    client.close()
    return wrong
