"""Answered requests and their labels, in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from registry.adapters.memory.ledger_state import KeptPrediction, LedgerState
from registry.errors import HeadgateError
from registry.labels import Coverage, Label, LabelledRow, Refusal, joined, unknown_request
from registry.observed import Answered
from registry.records import ModelName, VersionNumber, VersionState
from registry.windows import CANARY, STABLE


class MemoryPredictions:
    """The ``Predictions`` port."""

    def __init__(self, state: LedgerState) -> None:
        self._state = state

    def add(self, answers: Sequence[Answered]) -> None:
        """Keep answered requests, each as it came first; those of versions that do not exist are left out."""
        with self._state.lock:
            for answered in answers:
                model = self._state.present(answered.model)
                if model is not None and int(answered.version) in model.versions:
                    key = (answered.model, answered.request_id)
                    self._state.predictions.setdefault(key, KeptPrediction(answered))

    def label(
        self, model: ModelName, labels: Sequence[tuple[int, Label]], answers: Sequence[Answered]
    ) -> Sequence[Refusal]:
        """See ``Predictions.label``."""
        refused = []
        with self._state.lock:
            if labels:
                self.add([answered for answered in answers if answered.model == model])
            for index, label in labels:
                try:
                    self._join(model, label)
                except HeadgateError as error:
                    refused.append(Refusal.of(index, error))
        return refused

    def labelled(self, model: ModelName, version: VersionNumber, since_ms: int, limit: int) -> Sequence[LabelledRow]:
        """See ``Predictions.labelled``."""
        with self._state.lock:
            found = self._newest_of(model, [version])
            chosen = [kept for kept in found if kept.answered.at_ms >= since_ms]
            return _newest(chosen, limit)

    def compared(
        self, model: ModelName, versions: Collection[VersionNumber], revisions: Collection[int], limit: int
    ) -> Sequence[LabelledRow]:
        """See ``Predictions.compared``."""
        with self._state.lock:
            chosen = [
                kept
                for kept in self._newest_of(model, versions)
                if kept.answered.revision in revisions and kept.answered.arm in (STABLE, CANARY)
            ]
            rows = _newest(chosen, limit)
        return sorted(rows, key=lambda row: (row.came_ms, row.at_ms))

    def coverage(self, model: ModelName, version: VersionNumber, since_ms: int) -> Sequence[Coverage]:
        """See ``Predictions.coverage``."""
        counts: dict[str, list[int]] = {}
        with self._state.lock:
            for kept in self._state.predictions.values():
                said = kept.answered
                if (said.model, said.version) == (model, version) and said.at_ms >= since_ms:
                    of_arm = counts.setdefault(said.arm, [0, 0])
                    of_arm[0] += 1
                    of_arm[1] += kept.labelled_ms > 0
        return [Coverage(arm, *counts[arm]) for arm in sorted(counts)]

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """See ``Predictions.newest``."""
        found: dict[tuple[ModelName, VersionNumber], int] = {}
        with self._state.lock:
            for kept in self._state.predictions.values():
                said = kept.answered
                record = self._state.models[said.model].versions[int(said.version)]
                if kept.labelled_ms and record.state is VersionState.READY:
                    key = (said.model, said.version)
                    found[key] = max(found.get(key, 0), kept.labelled_ms)
        return found

    def sweep(self, kept: int, before_ms: int) -> None:
        """See ``Predictions.sweep``."""
        with self._state.lock:
            by_model: dict[str, list[int]] = {}
            for model, _ in self._state.predictions:
                by_model.setdefault(model, [])
            for (model, _), one in self._state.predictions.items():
                by_model[model].append(one.answered.at_ms)
            edges = {
                model: sorted(moments, reverse=True)[max(0, kept - 1) : max(1, kept)]
                for model, moments in by_model.items()
            }
            self._state.predictions = {
                key: one
                for key, one in self._state.predictions.items()
                if one.answered.at_ms >= max([before_ms, *edges[key[0]]])
            }

    def _join(self, model: ModelName, label: Label) -> None:
        kept = self._state.predictions.get((model, label.request_id))
        if kept is None:
            raise unknown_request()
        now_ms = self._state.clock()
        new = joined(kept.answered.rows, kept.given, label, now_ms)
        if new is not None:
            kept.given[new[0]] = new[1]
            kept.labelled_ms = now_ms

    def _newest_of(self, model: ModelName, versions: Collection[VersionNumber]) -> list[KeptPrediction]:
        chosen = [
            kept
            for kept in self._state.predictions.values()
            if kept.labelled_ms and kept.answered.model == model and kept.answered.version in versions
        ]
        return sorted(chosen, key=lambda kept: (-kept.labelled_ms, kept.answered.request_id))


def _newest(chosen: Sequence[KeptPrediction], limit: int) -> list[LabelledRow]:
    found: list[LabelledRow] = []
    for kept in chosen:
        if len(found) >= limit:
            break
        found += _labelled(kept)
    return found


def _labelled(kept: KeptPrediction) -> Iterator[LabelledRow]:
    said = kept.answered
    for number, given in sorted(kept.given.items()):
        yield LabelledRow(
            said.version, said.arm, said.revision, said.at_ms, given.came_ms, said.rows[number], given.label
        )
