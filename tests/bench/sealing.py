"""How fast artifacts are sealed, and in how much memory: one large file and many small ones, on a real SeaweedFS.

The sealing runs in a fresh process, so that its peak memory is its own. Not here: what admission does beside sealing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local.seaweedfs import REGION
from registry.adapters.s3.artifacts import S3Artifacts
from registry.adapters.s3.client import S3Client, s3_client
from tests.support.seaweedfs import running_seaweed

BUCKET = "bench"
_MIB = 1024 * 1024
_LARGE_PREFIX = "mlflow/large/"
_SMALL_PREFIX = "mlflow/small/"
_SMALL_BYTES = 20_000
_THREADS = 8


def measure(large_mib: int = 1024, small_files: int = 1000) -> dict[str, float]:
    """Seal one file of ``large_mib`` MiB and ``small_files`` of 20 kB; return rates (MB/s, files/s) and memory (MB)."""
    with tempfile.TemporaryDirectory() as directory, running_seaweed(Path(directory)) as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        _fill_large(client, large_mib)
        _fill_small(client, small_files)
        client.close()
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.sealing", server.endpoint],
            env={**os.environ, **server.environment()},
            stdout=subprocess.PIPE,
            check=True,
        )
        result: dict[str, float] = json.loads(done.stdout)
        result["sealing_store_memory_mb"] = _resident_mb(server.pid)
    return result


def _fill_large(client: S3Client, mebibytes: int) -> None:
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=f"{_LARGE_PREFIX}model.bin")["UploadId"]
    where = {"Bucket": BUCKET, "Key": f"{_LARGE_PREFIX}model.bin", "UploadId": upload}
    noise, parts = random.Random(1), []
    for number in range(1, max(1, mebibytes // 16) + 1):
        etag = client.upload_part(**where, PartNumber=number, Body=noise.randbytes(16 * _MIB))["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


def _fill_small(client: S3Client, files: int) -> None:
    def put(number: int) -> None:
        body = random.Random(number).randbytes(_SMALL_BYTES)
        client.put_object(Bucket=BUCKET, Key=f"{_SMALL_PREFIX}{number:06}", Body=body)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(put, range(files)))


def _seal_everything(endpoint: str) -> dict[str, float]:
    artifacts = S3Artifacts(s3_client(endpoint, REGION), BUCKET)
    idle = _peak_mb()
    (large,) = artifacts.list_files(_LARGE_PREFIX)
    began = time.perf_counter()
    artifacts.seal(_LARGE_PREFIX, large)
    large_seconds = time.perf_counter() - began
    large_peak = _peak_mb()
    small = artifacts.list_files(_SMALL_PREFIX)
    began = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda file: artifacts.seal(_SMALL_PREFIX, file), small))
    small_seconds = time.perf_counter() - began
    return {
        "sealing_large_mb_per_s": large.size / 1e6 / large_seconds,
        "sealing_small_files_per_s": len(small) / small_seconds,
        "sealing_idle_memory_mb": idle,
        "sealing_large_peak_memory_mb": large_peak,
        "sealing_peak_memory_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    # Not getrusage: its peak includes what the process was before exec, a copy of its parent.
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024 / 1e6


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    print(json.dumps(_seal_everything(sys.argv[1])))
