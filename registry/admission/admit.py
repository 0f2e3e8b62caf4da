"""Admission: the checks a new version passes before it may serve, in their order.

    seal → MLmodel → tier → requirements → environment → runtime → ready | rejected

Sealing comes first, so that every later check reads the bytes that will serve and not the working copy that a client
can still change. Each step is idempotent: after a crash the claim runs out and the version is checked again from the
start. A store that cannot be reached is no verdict: the claim is let run out and somebody tries again. So is a package
index that cannot be reached, but not for ever (``waiting.py``): who registered a version is to hear of it.

The probe (load it, predict its own example) joins with the trust work; until then a version that cannot be loaded says
so on its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread

from registry.admission.graph import runtime_of
from registry.admission.libraries import libraries, python_of
from registry.admission.mlmodel import ModelFile, parse_mlmodel
from registry.admission.tier import tier_of
from registry.admission.waiting import PAUSE_MS, Waiting
from registry.digest import check_paths, manifest_of
from registry.errors import Conflict, HeadgateError, InvalidRequest, NotFound, Unavailable
from registry.layout import source_prefix
from registry.log import WARNING, event, failure
from registry.ports import Artifacts, Locked, Resolver, SourceFile, Versions
from registry.records import Check, Manifest, ManifestEntry, Sealed, Verdict, VersionRecord, VersionState

CLAIM_MS = 15_000
"""How long a claim lasts unless it is renewed: what a killed registry was checking waits that long for the next one."""
RETRY_MS = 5_000
MAX_STUMBLES = 3
SEAL_THREADS = 4
MAX_TEXT_BYTES = 2**20


class Admission:
    """Admits versions, one at a time; several may run side by side, in one process or many.

    Args:
        artifacts: The bucket.
        versions: Where verdicts are recorded.
        clock: Milliseconds since the epoch.
        count: Called with the verdict of each admission, and the seconds since its claim.
        resolver: Locks the libraries that a version asks for.
        claim_ms: How long a claim lasts unless it is renewed.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        versions: Versions,
        clock: Callable[[], int],
        count: Callable[[VersionState, float], None] = lambda _, __: None,
        *,
        resolver: Resolver,
        claim_ms: int = CLAIM_MS,
    ) -> None:
        self._artifacts = artifacts
        self._versions = versions
        self._clock = clock
        self._count = count
        self._resolver = resolver
        self._waiting = Waiting()
        self._claim_ms = claim_ms
        self._stumbles: dict[tuple[str, str], int] = {}
        self._begun: dict[tuple[str, str], int] = {}
        self._stopping = Event()

    def run_once(self) -> bool:
        """Claim a version and settle it; return False where there was nothing to do."""
        record = self._versions.claim(self._clock(), self._clock() + self._claim_ms)
        if record is None:
            return False
        self._begun[record.model, record.version] = self._clock()
        checks: list[Check] = []
        try:
            with self._kept(record):
                sealed = self._check(record, checks)
            self._settle(record, VersionState.READY, checks, sealed)
        except Unavailable as error:
            if error.code == "environment_unavailable" and self._waiting.is_over(record, self._clock()):
                self._reject(record, checks, f"{error.message}; admit it again once it can be used")
                self._forget(record)
                return True
            event("admission.postponed", WARNING, model=record.model, version=record.version, code=error.code)
            self._postpone(record, PAUSE_MS if error.code == "environment_unavailable" else RETRY_MS)
            return True
        except InvalidRequest as error:
            self._reject(record, checks, error.message)
        except Exception as error:  # noqa: BLE001 (what came with a model met a fault of ours: others must go on)
            self._stumble(record, checks, error)
            return True
        self._forget(record)
        return True

    def stop(self) -> None:
        """Seal no further file; what was being checked is checked again by whoever claims it next."""
        self._stopping.set()
        self._resolver.close()

    def _forget(self, record: VersionRecord) -> None:
        self._stumbles.pop((record.model, record.version), None)
        self._waiting.forget(record)

    def _postpone(self, record: VersionRecord, pause_ms: int = RETRY_MS) -> None:
        self._begun.pop((record.model, record.version), None)
        try:
            self._versions.renew(record.model, record.version, self._clock() + pause_ms)
        except (Conflict, NotFound):  # retired or deleted meanwhile: then nobody need try again
            self._forget(record)

    def _stumble(self, record: VersionRecord, checks: list[Check], error: Exception) -> None:
        """Try again later; a version at which the check itself fails each time is rejected, and not tried for ever."""
        failure("admission.failed", error, model=record.model, version=record.version)
        name = (record.model, record.version)
        times = self._stumbles[name] = self._stumbles.get(name, 0) + 1
        if times < MAX_STUMBLES:
            self._postpone(record)
            return
        self._forget(record)
        reason = f"the platform itself failed at this check ({type(error).__name__}); report it, then admit again"
        self._reject(record, checks, reason)

    def _reject(self, record: VersionRecord, checks: list[Check], reason: str) -> None:
        step = _STEPS[min(len(checks), len(_STEPS) - 1)]
        self._settle(record, VersionState.REJECTED, [*checks, Check(step, Verdict.FAILED, reason)], None)

    def _check(self, record: VersionRecord, checks: list[Check]) -> Sealed:
        """Run the steps, appending a passed check for each; the first failure raises InvalidRequest."""
        manifest = self._waiting.sealed(record) or self._seal(record)
        digest = self._artifacts.write_manifest(manifest)
        checks.append(Check("seal", Verdict.PASSED, f"{len(manifest.entries)} files, {manifest.size} bytes"))
        files = {entry.path: entry for entry in manifest.entries}
        model = self._read_mlmodel(files)
        checks.append(Check("mlmodel", Verdict.PASSED, f"flavours {', '.join(sorted(model.flavors))}"))
        tier, why = tier_of(model, files)
        checks.append(Check("tier", Verdict.PASSED, f"{tier}: {why}"))
        requirements = libraries(self._read_text(files, "requirements.txt"), self._read_text(files, "conda.yaml"))
        python = python_of(self._read_text(files, "python_env.yaml"), model.python)
        checks.append(Check("requirements", Verdict.PASSED, f"{len(requirements)} requirements"))
        self._waiting.note(record, manifest, self._clock())
        locked = self._resolver.resolve(requirements, python)
        lock = None if locked is None else self._artifacts.seal_bytes(locked.text)
        checks.append(Check("environment", Verdict.PASSED, _environment(locked)))
        runtime, why = runtime_of(model, tier, files, self._artifacts.read)
        checks.append(Check("runtime", Verdict.PASSED, why))
        return Sealed(
            digest=digest,
            size=manifest.size,
            tier=tier,
            runtime=runtime,
            signature=model.signature,
            requirements=requirements,
            python=python if locked is None or python is not None else locked.python,
            flavors=tuple(sorted(model.flavors)),
            lock=lock,
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

        def seal(file: SourceFile) -> ManifestEntry:
            # The interpreter joins these threads before it ends, so that a stop would wait for every file of a model.
            if self._stopping.is_set():
                raise Unavailable("shutting_down", "the registry is stopping")
            return self._artifacts.seal(prefix, file)

        with ThreadPoolExecutor(min(SEAL_THREADS, len(found)), thread_name_prefix="seal") as threads:
            return manifest_of(list(threads.map(seal, found)))

    @contextmanager
    def _kept(self, record: VersionRecord) -> Iterator[None]:
        """Renew the claim for as long as the checks run: one file may take minutes to seal."""
        done = Event()

        def renew() -> None:
            while not done.wait(self._claim_ms / 3000):
                try:
                    self._versions.renew(record.model, record.version, self._clock() + self._claim_ms)
                except Unavailable:
                    continue
                except HeadgateError as error:
                    # Retired or deleted meanwhile: there is no claim any more, and settling will find that out.
                    event("admission.claim_lost", model=record.model, version=record.version, code=error.code)
                    return

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
        begun = self._begun.pop((record.model, record.version), self._clock())
        try:
            self._versions.settle(record.model, record.version, state, checks, sealed)
        except (Conflict, NotFound) as error:
            # Somebody retired or deleted it meanwhile: their word stands.
            event("admission.overtaken", model=record.model, version=record.version, code=error.code)
            return
        self._count(state, max(0, self._clock() - begun) / 1000)
        event("admission.settled", model=record.model, version=record.version, state=state.value)


def _environment(locked: Locked | None) -> str:
    if locked is None:
        return "uses the platform's environment"
    packages = "1 package" if locked.packages == 1 else f"{locked.packages} packages"
    return f"locked {packages} for Python {locked.python}"


_STEPS = ("seal", "mlmodel", "tier", "requirements", "environment", "runtime")
