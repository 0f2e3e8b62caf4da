"""Registering a directory over real HTTP: digests, resuming, refusals."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from headgate import AsyncClient, Client, ConnectionFailed, InvalidRequest, Unavailable, VersionRejected

from tests.support.fake_platform import Failure, FakePlatform

PUT = "PUT .*/uploads/.*/files/"


def test_directory_is_uploaded_and_ready(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """All files arrive byte for byte, and the version is ready."""
    version = client.register(model_directory, name="churn", alias="challenger")
    assert (version.version, version.state, version.aliases) == ("1", "ready", ("challenger",))
    (upload,) = fake.situation.uploads.values()
    assert upload.contents == {
        p.relative_to(model_directory).as_posix(): p.read_bytes() for p in model_directory.rglob("*") if p.is_file()
    }


def test_progress_counts_every_byte(client: Client, model_directory: Path) -> None:
    """Progress rises from nothing to all bytes."""
    seen: list[tuple[int, int]] = []
    client.register(str(model_directory), "churn", progress=lambda sent, total: seen.append((sent, total)))
    total = sum(p.stat().st_size for p in model_directory.rglob("*") if p.is_file())
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_without_waiting_the_version_may_be_pending(client: Client, model_directory: Path) -> None:
    """``wait=False`` answers as soon as the version has its number."""
    assert client.register(model_directory, "churn", wait=False).state == "pending"


def test_a_second_run_sends_only_what_is_missing(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """After an interruption the same upload goes on, without the files that had arrived."""
    fake.situation.failures.append(Failure(f"{PUT}model.pkl", 503, "artifact_unavailable", times=3))
    with pytest.raises(Unavailable):
        client.register(model_directory, "churn")
    sent = fake.situation.count(PUT)
    assert client.register(model_directory, "churn").version == "1"
    assert fake.situation.count(PUT) == sent + 1
    assert len(fake.situation.uploads) == 1


def test_a_short_outage_is_ridden_out(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """A file that is refused for a moment is sent again within the same call."""
    fake.situation.failures.append(Failure(f"{PUT}MLmodel", 503, "artifact_unavailable"))
    assert client.register(model_directory, "churn").state == "ready"


def test_a_lost_answer_makes_no_second_version(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """The same content under the same name is the same version, however often it is registered."""
    fake.situation.failures.append(Failure("POST .*/versions", 503, "registry_unavailable"))
    assert client.register(model_directory, "churn").version == "1"
    assert client.register(model_directory, "churn").version == "1"
    assert client.register(model_directory, "other").version == "1"
    assert len(fake.situation.models["churn"].versions) == 1


def test_a_forgotten_upload_is_begun_anew(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """Where the registry has swept the upload away, everything is sent again."""
    fake.situation.failures.append(Failure(f"{PUT}model.pkl", 503, "artifact_unavailable", times=3))
    with pytest.raises(Unavailable):
        client.register(model_directory, "churn")
    fake.situation.uploads.clear()
    assert client.register(model_directory, "churn").state == "ready"


def test_retired_content_gets_a_new_version(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """Content whose version was retired can be registered again."""
    client.register(model_directory, "churn")
    fake.situation.models["churn"].versions[0]["state"] = "retired"
    assert client.register(model_directory, "churn").version == "2"
    assert client.register(model_directory, "churn").version == "2"


def test_changed_content_is_another_version(client: Client, model_directory: Path) -> None:
    """One other byte makes another version."""
    client.register(model_directory, "churn")
    (model_directory / "model.pkl").write_bytes(b"other")
    assert client.register(model_directory, "churn").version == "2"


def test_rejection_tells_why(client: Client, fake: FakePlatform, model_directory: Path) -> None:
    """A version that is not fit raises the reasons."""
    fake.situation.rejections = ["it needs a GPU"]
    with pytest.raises(VersionRejected) as caught:
        client.register(model_directory, "churn")
    assert caught.value.reasons == ("it needs a GPU",)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("runs:/abc/model", {"run_id": "abc", "path": "model"}),
        ("models:/m-12", {"model_id": "m-12"}),
    ],
)
def test_logged_models_are_named_by_address(
    client: Client, fake: FakePlatform, place: str, source: dict[str, str]
) -> None:
    """A run's model, or a logged model, is registered where it lies."""
    client.register(place, "churn")
    assert fake.situation.models["churn"].versions[0]["source"] == source


@pytest.mark.parametrize("place", ["runs:/abc", "models:/churn/3", "models:/"])
def test_odd_addresses_are_refused(client: Client, place: str) -> None:
    """An address that lacks a part says how to write it."""
    with pytest.raises(InvalidRequest, match="write "):
        client.register(place, "churn")


def test_a_symbolic_link_is_refused(client: Client, model_directory: Path) -> None:
    """A link could lead anywhere: it is named and refused."""
    (model_directory / "link").symlink_to("/etc/hostname")
    with pytest.raises(InvalidRequest, match="'link' is a symbolic link"):
        client.register(model_directory, "churn")


@pytest.mark.parametrize("name", ["a:b", "a\\b", "nul.txt", "end.", " lead", ".git", "e\u0301", "a\nb", "\udcff"])
def test_odd_paths_are_refused(client: Client, fake: FakePlatform, model_directory: Path, name: str) -> None:
    """A file whose name cannot exist everywhere is named and refused, before anything is sent."""
    (model_directory / name).write_text("x")
    with pytest.raises(InvalidRequest, match="rename or remove it"):
        client.register(model_directory, "churn")
    assert not fake.situation.requests


def test_names_that_differ_by_case_are_refused(client: Client, model_directory: Path) -> None:
    """Two files that one file system would take for one are refused."""
    (model_directory / "MODEL.pkl").write_text("x")
    with pytest.raises(InvalidRequest, match="differ by case"):
        client.register(model_directory, "churn")


def test_a_pipe_is_refused(client: Client, model_directory: Path) -> None:
    """What is no file would never end, or lie."""
    os.mkfifo(model_directory / "pipe")
    with pytest.raises(InvalidRequest, match="neither a file nor a directory"):
        client.register(model_directory, "churn")


def test_what_is_no_model_is_refused(client: Client, tmp_path: Path) -> None:
    """A place without an MLmodel file says what to give."""
    for place, words in (
        (tmp_path, "has no MLmodel"),
        (tmp_path / "no", "does not exist"),
        (Path(__file__), "is a file"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            client.register(place, "churn")


@pytest.mark.parametrize("content", [b"short", bytes(3_000_000), None], ids=["shorter", "longer", "gone"])
def test_a_file_that_changes_its_size_meanwhile_is_told(
    fake: FakePlatform, model_directory: Path, content: bytes | None
) -> None:
    """A file that is not what was hashed any more does not become part of a version, whichever client sends it."""
    file = model_directory / "model.pkl"

    def change(sent: int, total: int) -> None:
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)

    async def register() -> None:
        async with AsyncClient(fake.registry_url) as client:
            await client.register(model_directory, "churn", progress=change)

    before = file.read_bytes()
    words = "changed while it was sent|could not be read"
    with Client(fake.registry_url) as client, pytest.raises(InvalidRequest, match=words):
        client.register(model_directory, "churn", progress=change)
    file.write_bytes(before)
    with pytest.raises(InvalidRequest, match=words):
        asyncio.run(register())


def test_a_file_that_changes_meanwhile_is_told(client: Client, model_directory: Path) -> None:
    """Other bytes of the same length are noticed by the registry."""

    def change(sent: int, total: int) -> None:
        file = model_directory / "model.pkl"
        file.write_bytes(bytes(file.stat().st_size))

    with pytest.raises(InvalidRequest) as caught:
        client.register(model_directory, "churn", progress=change)
    assert caught.value.code == "digest_mismatch"


def test_an_example_is_for_estimators(client: Client, model_directory: Path) -> None:
    """An example that would be passed over is refused."""
    with pytest.raises(InvalidRequest, match="saved model has its own"):
        client.register(model_directory, "churn", example=[[1]])


def test_a_memory_that_cannot_be_kept_is_no_failure(
    client: Client, model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache directory cannot be made, registering works all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert client.register(model_directory, "churn").state == "ready"


async def _register(fake: FakePlatform, directory: Path) -> tuple[str, list[int]]:
    seen: list[int] = []
    async with AsyncClient(fake.registry_url, fake.serving_url) as client:
        version = await client.register(directory, "churn", progress=lambda sent, _: seen.append(sent))
    return version.state, seen


def test_the_async_client_registers_too(fake: FakePlatform, model_directory: Path) -> None:
    """On an event loop several files travel at once, and all arrive."""
    for i in range(20):
        (model_directory / f"part{i}.bin").write_bytes(os.urandom(3000))
    state, seen = asyncio.run(_register(fake, model_directory))
    (upload,) = fake.situation.uploads.values()
    assert state == "ready"
    assert seen[-1] == sum(f["size"] for f in upload.files)
    assert upload.contents["part7.bin"] == (model_directory / "part7.bin").read_bytes()


def test_a_lost_registry_is_told_before_a_model_is_logged(model_directory: Path) -> None:
    """An estimator is not saved and MLflow does not retry for minutes where no registry answers."""
    with Client("http://127.0.0.1:9") as client, pytest.raises(ConnectionFailed):
        client.register(object(), "churn")
