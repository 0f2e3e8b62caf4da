"""What nodes saw of versions' rows, in memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from registry.adapters.memory.ledger_state import KeptWindow, LedgerState, ModelState
from registry.monitoring.closing import Closing, within
from registry.monitoring.tallies import Tally
from registry.monitoring.window_ports import JudgedWindow, SealedWindow, Verdict, WindowKey, WindowSpan
from registry.observed import FeatureWindow
from registry.records import Digest, ModelName, VersionNumber, VersionState


class MemoryFeatureWindows:
    """The ``FeatureWindows`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def add(self, windows: Iterable[FeatureWindow], now_ms: int) -> None:
        """Add a report's windows to the open ones, as ``FeatureWindows`` says; whoever calls holds the lock."""
        for window in windows:
            model = self._state.present(window.model)
            if model is None or not _live(model, window.version) or _baseline(model, window.version) != window.baseline:
                continue
            kept = _open(model, window.version) or _opened(model, window.version, now_ms)
            start_ms, span = within(window.start_ms, now_ms), kept.span
            kept.tally = kept.tally.plus(window)
            last_ms = max(span.last_ms, start_ms) if span.rows else start_ms
            kept.span = replace(span, rows=kept.tally.rows, first_ms=min(span.first_ms, start_ms), last_ms=last_ms)

    def seal(self, rule: Closing) -> int:
        """See ``FeatureWindows.seal``."""
        with self._state.lock:
            now_ms, due = self._state.clock(), []
            for model, kept in self._all("open"):
                span, version = kept.span, kept.key.version
                wanted = _live(model, version) and _baseline(model, version) == span.baseline
                if wanted and rule.is_due(span.rows, span.opened_ms, now_ms, provisional=span.baseline is None):
                    due.append(kept)
            for kept in due:
                kept.state = "sealed"
            return len(due)

    def unjudged(self, limit: int, but: Collection[Digest | None] = ()) -> Sequence[SealedWindow]:
        """See ``FeatureWindows.unjudged``."""
        with self._state.lock:
            waiting = [kept for _, kept in self._all("sealed") if kept.span.baseline not in but]
            waiting.sort(key=lambda kept: (kept.span.last_ms, _place(kept.key)))
            return [SealedWindow(kept.key, kept.span, kept.tally) for kept in waiting[: max(limit, 0)]]

    def settle(self, key: WindowKey, verdict: Verdict | None) -> bool:
        """See ``FeatureWindows.settle``."""
        with self._state.lock:
            model = self._state.present(key.model)
            windows = {} if model is None else model.windows.get(int(key.version), {})
            kept = windows.get(key.number)
            if kept is None or kept.state != "sealed":
                return False
            if verdict is None:
                del windows[key.number]
                return True
            kept.state, kept.judged_ms, kept.tally = "judged", self._state.clock(), Tally()
            kept.verdict = json.dumps(dict(verdict))
            return True

    def open(self, model: ModelName, version: VersionNumber) -> WindowSpan | None:
        """See ``FeatureWindows.open``."""
        with self._state.lock:
            present = self._state.present(model)
            kept = None if present is None else _open(present, version)
            return None if kept is None else kept.span

    def page(self, model: ModelName, version: VersionNumber, limit: int) -> Sequence[JudgedWindow]:
        """See ``FeatureWindows.page``."""
        with self._state.lock:
            present = self._state.present(model)
            windows = {} if present is None else present.windows.get(int(version), {})
            found = [windows[number] for number in sorted(windows, reverse=True) if windows[number].state == "judged"]
            return [JudgedWindow(w.key, w.span, w.judged_ms, json.loads(w.verdict)) for w in found[: max(limit, 0)]]

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """See ``FeatureWindows.newest``."""
        with self._state.lock:
            found: dict[tuple[ModelName, VersionNumber], int] = {}
            for model in self._state.models.values():
                for windows in model.windows.values():
                    judged = [kept for kept in windows.values() if kept.state == "judged"]
                    last = max(judged, key=lambda kept: kept.key.number, default=None)
                    if last is None or model.removed or not _live(model, last.key.version):
                        continue
                    if _baseline(model, last.key.version) == last.span.baseline:
                        found[last.key.model, last.key.version] = last.key.number
            return found

    def sweep(self, before_ms: int) -> None:
        """See ``FeatureWindows.sweep``."""
        with self._state.lock:
            for model, kept in list(self._all("open", "sealed", "judged")):
                if kept.span.last_ms < before_ms or _useless(model, kept):
                    del model.windows[int(kept.key.version)][kept.key.number]

    def _all(self, *states: str) -> Iterator[tuple[ModelState, KeptWindow]]:
        for model in self._state.models.values():
            for windows in model.windows.values():
                yield from ((model, kept) for kept in windows.values() if kept.state in states)


def _useless(model: ModelState, kept: KeptWindow) -> bool:
    if kept.state == "judged":
        return False
    if not _live(model, kept.key.version):
        return True
    return kept.state == "open" and _baseline(model, kept.key.version) != kept.span.baseline


def _live(model: ModelState, version: VersionNumber) -> bool:
    record = model.versions.get(int(version))
    return record is not None and record.state is not VersionState.RETIRED


def _baseline(model: ModelState, version: VersionNumber) -> Digest | None:
    kept = model.baselines.get(int(version))
    return None if kept is None else kept.digest


def _open(model: ModelState, version: VersionNumber) -> KeptWindow | None:
    wanted, windows = _baseline(model, version), model.windows.get(int(version), {})
    return next((w for w in windows.values() if w.state == "open" and w.span.baseline == wanted), None)


def _opened(model: ModelState, version: VersionNumber, now_ms: int) -> KeptWindow:
    windows = model.windows.setdefault(int(version), {})
    key = WindowKey(model.name, version, max(windows, default=0) + 1)
    windows[key.number] = KeptWindow(key, WindowSpan(_baseline(model, version), 0, now_ms, now_ms, now_ms))
    return windows[key.number]


def _place(key: WindowKey) -> tuple[str, int, int]:
    return key.model, int(key.version), key.number
