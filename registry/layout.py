"""The bucket's keys, all made here. Pure.

    <bucket>/
    ├── mlflow/…                            MLflow's own artifacts: the working copy, mutable
    │   └── uploads/<upload id>/<path>      what `POST /uploads` received
    ├── blobs/sha256/<2 hex>/<64 hex>       sealed files, write-once, shared by every version that holds them
    ├── manifests/sha256/<2 hex>/<64 hex>   the list of an artifact's files; its hash is the artifact's digest
    └── captures/model=<model>/version=<version>/day=<YYYY-MM-DD>/<name>.parquet
                                            requests with their answers that nodes were asked to keep

Clients never name a key: they give bytes or digests.
"""

from __future__ import annotations

from urllib.parse import quote_plus

from registry.digest import check_path
from registry.errors import InvalidRequest, quote
from registry.records import Digest

MLFLOW_PREFIX = "mlflow"
ARTIFACT_SCHEME = "mlflow-artifacts:/"


def blob_key(digest: Digest) -> str:
    """Return the key of a sealed file."""
    hexadecimal = digest.removeprefix("sha256:")
    return f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal}"


def manifest_key(digest: Digest) -> str:
    """Return the key of a manifest."""
    hexadecimal = digest.removeprefix("sha256:")
    return f"manifests/sha256/{hexadecimal[:2]}/{hexadecimal}"


def capture_key(model: str, version: str, day: str, name: str) -> str:
    """Return the key of a file of captured requests: a partition of a Hive-style table, ``day`` as YYYY-MM-DD."""
    return f"captures/model={quote_plus(model)}/version={quote_plus(version)}/day={day}/{quote_plus(name)}.parquet"


def upload_prefix(upload_id: str) -> str:
    """Return the prefix below which an upload's files lie, with its slash."""
    return f"{MLFLOW_PREFIX}/uploads/{upload_id}/"


def upload_source(upload_id: str) -> str:
    """Return the MLflow source of a version that was uploaded."""
    return f"{ARTIFACT_SCHEME}uploads/{upload_id}"


def source_prefix(location: str) -> str:
    """Return the prefix below which a version's files lie, from MLflow's resolved location.

    Raises InvalidRequest ``not_servable`` for any location but ``mlflow-artifacts:/<path>``: the platform never reads
    from an address that a client wrote.
    """
    path = location.removeprefix(ARTIFACT_SCHEME)
    if path == location or path.startswith("/"):
        raise InvalidRequest(
            "not_servable",
            f"the artifacts are at '{quote(location)}', which is not in this registry's store; "
            "log the model through this registry (mlflow-artifacts:/…), or upload it",
        )
    return f"{MLFLOW_PREFIX}/{check_path(path.rstrip('/'))}/"
