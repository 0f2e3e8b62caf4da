"""Admission: the checks a new version passes before it may serve, in their order.

    seal → MLmodel → tier → requirements → ready | rejected

Sealing comes first, so that every later check reads the bytes that will serve and not the working copy that a client
can
still change. Each step is idempotent: after a crash the claim runs out and the version is checked again from the start.
A store that cannot be reached is no verdict: the claim is let run out and somebody tries again.

The probe (load it, predict its own example) joins with the trust work; until then a version that cannot be loaded says
so on its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Thread

from registry.admission.libraries import libraries
from registry.admission.mlmodel import ModelFile, parse_mlmodel
from registry.admission.tier import tier_of
from registry.digest import check_paths, manifest_of
from registry.errors import HeadgateError, InvalidRequest, Unavailable
from registry.layout import source_prefix
from registry.log import WARNING, event
from registry.ports import Artifacts, Versions
from registry.records import Check, Manifest, ManifestEntry, Sealed, Verdict, VersionRecord, VersionState

CLAIM_MS = 60_000
RETRY_MS = 5_000
SEAL_THREADS = 4
MAX_TEXT_BYTES = 2**20


class Admission:
    """Admits versions, one at a time; several may run side by side, in one process or many.

    Args:
        artifacts: The bucket.
        versions: Where verdicts are recorded.
        clock: Milliseconds since the epoch.
        count: Called with the verdict of each admission.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        versions: Versions,
        clock: Callable[[], int],
        count: Callable[[VersionState], None] = lambda _: None,
    ) -> None:
        self._artifacts = artifacts
        self._versions = versions
        self._clock = clock
        self._count = count

    def run_once(self) -> bool:
        """Claim a version and settle it; return False where there was nothing to do."""
        record = self._versions.claim(self._clock(), self._clock() + CLAIM_MS)
        if record is None:
            return False
        checks: list[Check] = []
        try:
            with self._kept(record):
                sealed = self._check(record, checks)
        except Unavailable as error:
            event("admission.postponed", WARNING, model=record.model, version=record.version, code=error.code)
            self._versions.renew(record.model, record.version, self._clock() + RETRY_MS)
            return True
        except InvalidRequest as error:
            checks.append(Check(_STEPS[len(checks)], Verdict.FAILED, error.message))
            self._settle(record, VersionState.REJECTED, checks, None)
            return True
        self._settle(record, VersionState.READY, checks, sealed)
        return True

    def _check(self, record: VersionRecord, checks: list[Check]) -> Sealed:
        """Run the steps, appending a passed check for each; the first failure raises InvalidRequest."""
        manifest = self._seal(record)
        digest = self._artifacts.write_manifest(manifest)
        checks.append(Check("seal", Verdict.PASSED, f"{len(manifest.entries)} files, {manifest.size} bytes"))
        files = {entry.path: entry for entry in manifest.entries}
        model = self._read_mlmodel(files)
        checks.append(Check("mlmodel", Verdict.PASSED, f"flavours {', '.join(sorted(model.flavors))}"))
        tier, why = tier_of(model, files)
        checks.append(Check("tier", Verdict.PASSED, f"{tier}: {why}"))
        requirements = libraries(self._read_text(files, "requirements.txt"), self._read_text(files, "conda.yaml"))
        checks.append(Check("requirements", Verdict.PASSED, f"{len(requirements)} requirements"))
        return Sealed(
            digest=digest,
            size=manifest.size,
            tier=tier,
            runtime="host",
            signature=model.signature,
            requirements=requirements,
            python=model.python,
            flavors=tuple(sorted(model.flavors)),
        )

    def _seal(self, record: VersionRecord) -> Manifest:
        prefix = source_prefix(record.location)
        found = self._artifacts.list_files(prefix)
        if not any(file.path == "MLmodel" for file in found):
            raise InvalidRequest(
                "not_servable",
                "there is no MLmodel file at its source: register the folder that mlflow.<flavour>.log_model made",
            )
        check_paths([file.path for file in found])

        with ThreadPoolExecutor(min(SEAL_THREADS, len(found)), thread_name_prefix="seal") as threads:
            return manifest_of(list(threads.map(lambda file: self._artifacts.seal(prefix, file), found)))

    @contextmanager
    def _kept(self, record: VersionRecord) -> Iterator[None]:
        """Renew the claim for as long as the checks run: one file may take minutes to seal."""
        done = Event()

        def renew() -> None:
            while not done.wait(CLAIM_MS / 3000):
                with suppress(Unavailable):
                    self._versions.renew(record.model, record.version, self._clock() + CLAIM_MS)

        thread = Thread(target=renew, name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _read_mlmodel(self, files: dict[str, ManifestEntry]) -> ModelFile:
        return parse_mlmodel(self._artifacts.read(files["MLmodel"].digest, MAX_TEXT_BYTES))

    def _read_text(self, files: dict[str, ManifestEntry], path: str) -> str:
        if path not in files:
            return ""
        try:
            return self._artifacts.read(files[path].digest, MAX_TEXT_BYTES).decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest("not_servable", f"the file {path} is not UTF-8 text") from error

    def _settle(
        self, record: VersionRecord, state: VersionState, checks: Sequence[Check], sealed: Sealed | None
    ) -> None:
        try:
            self._versions.settle(record.model, record.version, state, checks, sealed)
        except HeadgateError as error:
            # Somebody retired or deleted it meanwhile: their word stands.
            event("admission.overtaken", model=record.model, version=record.version, code=error.code)
            return
        self._count(state)
        event("admission.settled", model=record.model, version=record.version, state=state.value)


_STEPS = ("seal", "mlmodel", "tier", "requirements")
