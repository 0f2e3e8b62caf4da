"""How the registry talks to S3: the client's limits, and what its failures mean to us, decided here and nowhere else.

Not here: which objects exist and why (``artifacts.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from registry.errors import Unavailable

S3Client: TypeAlias = Any  # boto3 makes its classes at run time and ships no types
"""A boto3 S3 client; safe to share between threads."""

CONNECTIONS = 16
_CONNECT_SECONDS = 3
_READ_SECONDS = 15
_ATTEMPTS = 3
_REFUSALS = frozenset({401, 403})


def s3_client(endpoint: str | None, region: str, *, connections: int = CONNECTIONS) -> S3Client:
    """Return a client that takes its credentials from the AWS chain (environment, files, instance role).

    Args:
        endpoint: The server's address, or None for AWS.
        region: The bucket's region; servers other than AWS take any.
        connections: How many are kept open.
    """
    # A session of its own: the module's default one is shared, not thread-safe while it makes clients, and remembers
    # the credentials of its first use.
    session = boto3.session.Session()
    return session.client("s3", endpoint_url=endpoint, region_name=region, config=client_config(endpoint, connections))


def client_config(endpoint: str | None, connections: int = CONNECTIONS) -> Config:
    """Return the limits of a client: few retries and short waits, so that a dead S3 is noticed within seconds."""
    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=connections,
        s3={"addressing_style": "path" if endpoint else "auto"},
        tcp_keepalive=True,
        # boto3 would add CRC trailers to every upload, which many other S3 servers refuse. Content-MD5 goes with
        # what we send, and what we store is hashed in any case.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an answer that was an error."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: ClientError) -> bool:
    """Tell whether the object is not there; a missing bucket is something else."""
    return status_of(error) == 404 and error.response.get("Error", {}).get("Code") != "NoSuchBucket"


def is_precondition(error: ClientError) -> bool:
    """Tell whether ``If-Match`` or ``If-None-Match`` did not hold; 409 is AWS's word for a race being decided."""
    return status_of(error) == 412 or error.response.get("Error", {}).get("Code") == "ConditionalRequestConflict"


@contextmanager
def reaching_s3() -> Iterator[None]:
    """Turn every failure of S3 within into Unavailable ``artifact_unavailable``; name no bucket, key or address."""
    try:
        yield
    except ClientError as error:
        if status_of(error) in _REFUSALS:
            message = "the object store refused this server's credentials; they need read, write and list on its bucket"
        elif error.response.get("Error", {}).get("Code") == "NoSuchBucket":
            message = "the object store has no such bucket; create it, or correct the setting that names it"
        else:
            message = "the object store answered with an error; try again"
        raise Unavailable("artifact_unavailable", message) from error
    except BotoCoreError as error:
        raise Unavailable("artifact_unavailable", "the object store cannot be reached; try again") from error
