"""Manifests, digests and the paths that an artifact may hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.digest import (
    check_path,
    check_paths,
    decode_manifest,
    encode_manifest,
    manifest_digest,
    manifest_of,
    sha256_digest,
)
from registry.errors import InvalidRequest, Unavailable
from registry.layout import blob_key, manifest_key, source_prefix, upload_prefix, upload_source
from registry.records import Digest, ManifestEntry

ENTRIES = [
    ManifestEntry("model.pkl", 3, sha256_digest(b"abc")),
    ManifestEntry("MLmodel", 0, sha256_digest(b"")),
    ManifestEntry("code/äö.py", 1, sha256_digest(b"x")),
]


@given(st.permutations(ENTRIES))
def test_order_of_files_does_not_matter(entries: list[ManifestEntry]) -> None:
    """The same files give the same digest in whatever order they were sealed."""
    assert manifest_digest(manifest_of(entries)) == manifest_digest(manifest_of(ENTRIES))


def test_manifest_survives_the_wire() -> None:
    """What is written is read back equal."""
    manifest = manifest_of(ENTRIES)
    assert decode_manifest(encode_manifest(manifest), manifest_digest(manifest)) == manifest
    assert manifest.size == 4


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_corrupt(position: int, change: int) -> None:
    """A manifest with any byte changed is refused as corrupt."""
    data = bytearray(encode_manifest(manifest_of(ENTRIES)))
    expected = sha256_digest(bytes(data))
    data[position % len(data)] ^= change
    with pytest.raises(Unavailable) as caught:
        decode_manifest(bytes(data), expected)
    assert caught.value.code == "artifact_corrupt"


def test_manifest_that_lies_about_its_shape_is_corrupt() -> None:
    """A document whose digest fits but which is no manifest is refused too."""
    for document in (
        b"[]",
        b"{}",
        b'{"schema":2,"files":[]}',
        b'{"schema":1,"files":[{"path":"../x","size":1,"digest":"a"}]}',
    ):
        with pytest.raises(Unavailable):
            decode_manifest(document, sha256_digest(document))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/abs",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "C:\\x",
        "C:/x",
        "a\\..\\b",
        "a\x00b",
        "a\nb",
        "CON",
        "nul.txt",
        "com1",
        "a/LPT9.log",
        "a ",
        " a",
        "a.",
        ".git/config",
        "x/.GIT/y",
        ".hg/z",
        "e\u0301",
        "\ud800",
        "x" * 1025,
        "s3://b/k",
    ],
)
def test_path_that_is_no_file_of_a_model_is_refused(path: str) -> None:
    """Paths that escape, or mean something else on another system, are refused without being repeated whole."""
    with pytest.raises(InvalidRequest) as caught:
        check_path(path)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "path", ["MLmodel", "code/my_module.py", "artifacts/été.bin", "a-b_c.d", ".hidden", "data/x y.txt"]
)
def test_ordinary_path_is_accepted(path: str) -> None:
    """Paths that MLflow models really hold are accepted."""
    assert check_path(path) == path


@pytest.mark.parametrize("paths", [["a", "A"], ["x/y", "X/Y"], ["a", "a/b"], ["Model", "model/x"], ["a", "a"]])
def test_paths_that_cannot_lie_side_by_side_are_refused(paths: list[str]) -> None:
    """Paths that some file system takes for one, or of which one is inside the other, are refused."""
    with pytest.raises(InvalidRequest):
        check_paths(paths)


def test_keys_are_made_of_digests() -> None:
    """Blobs and manifests are addressed by content alone."""
    digest = Digest("sha256:" + "ab" * 32)
    assert blob_key(digest) == "blobs/sha256/ab/" + "ab" * 32
    assert manifest_key(digest) == "manifests/sha256/ab/" + "ab" * 32


def test_upload_source_is_where_uploads_are_stored() -> None:
    """MLflow's source of an upload resolves to the prefix under which its files were received."""
    assert source_prefix(upload_source("f" * 32)) == upload_prefix("f" * 32)


@pytest.mark.parametrize(
    "location",
    [
        "s3://other/x",
        "gs://b/x",
        "dbfs:/x",
        "file:///etc",
        "http://h/x",
        "mlflow-artifacts://host/x",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts:/a/../../blobs",
        "mlflow-artifacts:/",
        "/etc/passwd",
        "",
        "models:/x/1",
    ],
)
def test_location_outside_our_store_is_refused(location: str) -> None:
    """No address that a client wrote is ever read."""
    with pytest.raises(InvalidRequest) as caught:
        source_prefix(location)
    assert caught.value.code in ("not_servable", "invalid_argument")
