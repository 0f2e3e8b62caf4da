"""Registering, as flows: from a directory, from a run, from a fitted estimator; the verdict, and then the baseline.

An upload that was interrupted goes on where it stopped: its id is remembered (``memory.py``), the registry says which
files have arrived, and the idempotency key (a digest of all files and the name) makes a second registration of the same
content the same version.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from headgate import answers, directory, flows, monitoring_flows, requests, tables
from headgate.directory import LocalFile
from headgate.encoding import Data
from headgate.errors import PASSING, ConnectionFailed, HeadgateError, InvalidRequest, NotFound, Refused, Unavailable
from headgate.memory import UploadMemory, memory_directory
from headgate.names import alias_name, model_name, quoted
from headgate.records import Upload, Version
from headgate.settings import Settings
from headgate.tables import Training
from headgate.wire import FileBody, Flow, Parallel, Pause, Request, Server, Work

Progress = Callable[[int, int], None]

SEND_ROUNDS = 3
_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Wishes:
    """What ``register`` can be told besides the model and its name.

    Attributes:
        example: Inputs the estimator was or could be fitted on (DataFrame or array); the signature is read off them.
        alias: Points to the version once it is ready.
        wait: Whether to wait for the verdict.
        timeout: Seconds to wait for it.
        progress: Called with bytes sent and bytes in all.
        training: What the version's baseline is made of, once it is ready.
    """

    example: Data = None
    alias: str | None = None
    wait: bool = True
    timeout: float = 120.0
    progress: Progress | None = None
    training: Training | None = None


def training_of(inputs: Data, predictions: Data, baseline: Data) -> Training | None:
    """Return the training data that ``register`` was given as ``X`` and ``y`` or as ``baseline``; None without any."""
    if baseline is not None:
        if inputs is not None or predictions is not None:
            raise InvalidRequest("give X and y, or a baseline with both in one table, not all of them")
        return Training(baseline)
    if inputs is None:
        if predictions is not None:
            raise InvalidRequest("y is what the model should predict on X; give X too")
        return None
    if tables.is_path(inputs):
        raise InvalidRequest("X is a DataFrame or an array; a file of training data is given as baseline")
    return Training(inputs, predictions, inputs_only=True)


@dataclass(slots=True)
class _Meter:
    """Counts what was sent. Only one thread or loop ever tells it."""

    total: int
    tell: Progress | None
    sent: int = 0

    def set(self, sent: int) -> None:
        self.sent = sent
        if self.tell is not None:
            self.tell(self.sent, self.total)

    def add(self, count: int) -> None:
        self.set(self.sent + count)


def register(settings: Settings, model: Data, name: str, wishes: Wishes) -> Flow[Version]:
    """Register a model and, unless told otherwise, wait until it is ready.

    Args:
        settings: Where the registry is; an estimator is logged there through MLflow.
        model: A directory (str or Path), ``runs:/<run id>/<path>``, ``models:/m-…``, or a fitted estimator.
        name: Of the model; it is created where it does not exist.
        wishes: See ``Wishes``.
    """
    model_name(name)
    if wishes.alias is not None:
        alias_name(wishes.alias)
    if wishes.training is not None:
        if not wishes.wait:
            raise InvalidRequest("a baseline is set once the version is ready: wait for it, or use set_baseline then")
        yield Work(partial(tables.check, wishes.training))
    if isinstance(model, (str, os.PathLike)):
        if wishes.example is not None:
            raise InvalidRequest("an example is for a fitted estimator; a saved model has its own")
        place = os.fspath(model)
        if isinstance(place, bytes):
            raise InvalidRequest("give the path as text, not as bytes")
        logged = logged_source(place)
        if logged is None:
            found = yield from _from_directory(settings, Path(place), name, wishes)
        else:
            found = yield from _create(name, {"source": logged}, uuid.uuid4().hex, wishes.alias)
    else:
        found = yield from _from_estimator(settings, model, name, wishes)
    if not wishes.wait:
        return found
    ready = yield from flows.wait_until_ready(name, found.version, wishes.timeout)
    return ready if wishes.training is None else (yield from _with_baseline(model, ready, wishes.training))


def _with_baseline(model: Data, ready: Version, training: Training) -> Flow[Version]:
    """Give a version that is ready its baseline; return the version with it."""
    if training.predictions is None and not tables.is_path(training.table):
        training = yield Work(partial(tables.predicted, training, model))
    try:
        yield from monitoring_flows.set_baseline(
            ready.model, ready.version, training, monitoring_flows.BASELINE_SECONDS
        )
    except HeadgateError as error:
        error.reword(f"{ready.model} version {ready.version} is ready, but has no baseline: {error.message}")
        error.details.setdefault("version", ready.version)
        raise
    return (yield from flows.version(ready.model, ready.version))


def logged_source(place: str) -> dict[str, str] | None:
    """Return the ``source`` of a ``runs:/…`` or ``models:/m-…`` address; None for a path on this machine."""
    if place.startswith("runs:/"):
        run_id, _, path = place.removeprefix("runs:/").strip("/").partition("/")
        if not run_id or not path:
            raise InvalidRequest(f"{quoted(place)} lacks a part; write runs:/<run id>/<path>")
        return {"run_id": run_id, "path": path}
    if place.startswith("models:/"):
        model_id = place.removeprefix("models:/").strip("/")
        if not model_id.startswith("m-") or "/" in model_id:
            raise InvalidRequest(f"{quoted(place)} is no logged model; write models:/m-<id>, or runs:/<run id>/<path>")
        return {"model_id": model_id}
    return None


def _from_directory(settings: Settings, path: Path, name: str, wishes: Wishes) -> Flow[Version]:
    files: tuple[LocalFile, ...] = yield Work(partial(directory.scan, path))
    key = directory.registration_key(name, files)
    memory = UploadMemory(memory_directory(), settings.registry_url)
    upload = yield from _open(files, key, memory)
    if not upload.committed:
        yield from _send(files, upload, _Meter(sum(f.size for f in files), wishes.progress))
        yield from flows.ask(requests.commit_upload(upload.id))
    return (yield from _create(name, {"upload": upload.id}, key, wishes.alias))


def _from_estimator(settings: Settings, model: Data, name: str, wishes: Wishes) -> Flow[Version]:
    # MLflow's own client tries for minutes when nothing answers; we say so at once.
    yield from flows.ask(requests.livez(Server.REGISTRY))
    from headgate import estimators

    example = wishes.example
    if example is None and wishes.training is not None and wishes.training.inputs_only:
        example = wishes.training.table
    source = yield Work(partial(estimators.log, settings, model, name, example))
    return (yield from _create(name, {"source": source}, uuid.uuid4().hex, wishes.alias))


def _create(name: str, source: Mapping[str, Any], key: str, alias: str | None) -> Flow[Version]:
    while True:
        found, new = yield from _create_once(requests.create_version(name, source, key, alias))
        if new or found.state != "retired":
            return found
        # The content was registered before and is out of service for good: it gets a version anew, under a next key.
        key = f"{key.partition('-')[0]}-{found.version}"


def _create_once(request: Request) -> Flow[tuple[Version, bool]]:
    # With its key this is safe to send again, unlike any other POST.
    for left in range(SEND_ROUNDS - 1, -1, -1):
        try:
            answer = yield from flows.ask(request)
            break
        except (ConnectionFailed, Unavailable, Refused) as error:
            if not left:
                raise
            yield Pause(error.retry_after or 0.2)
    return answers.read_as(answer, Version.from_json), answer.status == 201


def _open(files: Sequence[LocalFile], key: str, memory: UploadMemory) -> Flow[Upload]:
    known: str | None = yield Work(partial(memory.recall, key))
    if known is not None:
        try:
            upload = yield from _look(known)
            if {(f.path, f.size) for f in upload.files} == {(f.path, f.size) for f in files}:
                return upload
        except NotFound:
            yield Work(partial(memory.forget, key))
    answer = yield from flows.ask(requests.create_upload([file.declared() for file in files]))
    upload = answers.read_as(answer, lambda raw: Upload.from_json(raw["upload"]))
    yield Work(partial(memory.remember, key, upload.id))
    return upload


def _look(upload_id: str) -> Flow[Upload]:
    answer = yield from flows.ask(requests.get_upload(upload_id))
    return answers.read_as(answer, lambda raw: Upload.from_json(raw["upload"]))


def _send(files: Sequence[LocalFile], upload: Upload, meter: _Meter) -> Flow[None]:
    """Send what has not arrived; after an outage look again, and go on with the rest."""
    for left in range(SEND_ROUNDS - 1, -1, -1):
        arrived = {file.path for file in upload.files if file.arrived}
        meter.set(sum(file.size for file in files if file.path in arrived))
        try:
            yield from _send_batch([file for file in files if file.path not in arrived], upload.id, meter)
            return
        except PASSING as error:
            if not left:
                raise
            yield Pause(error.retry_after or 0.2)
            upload = yield from _look(upload.id)


def _send_batch(files: Sequence[LocalFile], upload_id: str, meter: _Meter) -> Flow[None]:
    # In batches, so that a refusal stops a hundred thousand files soon.
    for begin in range(0, len(files), _TOGETHER):
        batch = tuple(_file_request(upload_id, file, meter) for file in files[begin : begin + _TOGETHER])
        for answer in (yield Parallel(batch)):
            answers.raise_for(answer)


def _file_request(upload_id: str, file: LocalFile, meter: _Meter) -> Request:
    return requests.put_file(upload_id, file.path, FileBody(file.file, file.size, meter.add))
