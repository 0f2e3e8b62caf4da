"""The embedded bucket, opened with the credentials of its own home: for tests that damage what lies in it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import boto3

from registry.layout import blob_key, manifest_key
from registry.records import Digest
from tests.support.platform import Platform

BUCKET = "headgate"


class Bucket:
    """The objects of a platform."""

    def __init__(self, platform: Platform) -> None:
        home = platform.home / "s3"
        # Read, not planned anew: planning chooses other ports while the server has these.
        port = json.loads((home / "ports.json").read_text())["s3"]
        credential = json.loads((home / "s3.json").read_text())["identities"][0]["credentials"][0]
        self.environment = {
            "HEADGATE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": credential["accessKey"],
            "AWS_SECRET_ACCESS_KEY": credential["secretKey"],
        }
        self._s3 = boto3.client(
            "s3",
            endpoint_url=self.environment["HEADGATE_S3_ENDPOINT"],
            region_name="us-east-1",
            aws_access_key_id=credential["accessKey"],
            aws_secret_access_key=credential["secretKey"],
        )

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        data: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data

    def put(self, key: str, data: bytes) -> None:
        """Replace an object."""
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._s3.delete_object(Bucket=BUCKET, Key=key)

    def files(self, digest: str) -> dict[str, str]:
        """Return the key of each file of an artifact, by its path."""
        manifest: Any = json.loads(self.get(manifest_key(Digest(digest))))
        return {entry["path"]: blob_key(Digest(entry["digest"])) for entry in manifest["files"]}

    def is_whole(self, digest: str) -> bool:
        """Tell whether the manifest and every file of an artifact have the bytes that their names say."""
        named = [manifest_key(Digest(digest)), *self.files(digest).values()]
        return all(hashlib.sha256(self.get(key)).hexdigest() == key.rsplit("/", 1)[1] for key in named)
