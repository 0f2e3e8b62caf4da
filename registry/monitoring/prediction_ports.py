"""What monitoring needs of the registry's database, as ports.

The contracts of ``registry/ports.py`` hold here too: methods block, are safe to call from threads and processes, and
write wholly or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from registry.labels import Coverage, Label, LabelledRow, Refusal
from registry.observed import Answered
from registry.records import ModelName, VersionNumber


class Predictions(Protocol):
    """Answered requests that labels may join, and their labels. Bounded: the oldest go first.

    ``Reports.take`` adds what nodes report, in its own transaction. A request that is known already, by its id, stays
    as it is with its labels; one whose version does not exist is left out.
    """

    def label(
        self, model: ModelName, labels: Sequence[tuple[int, Label]], answers: Sequence[Answered]
    ) -> Sequence[Refusal]:
        """Keep ``answers`` of this model that are not known yet, then join labels; return those that join nothing.

        One transaction: what is not refused is kept when this returns. Refused are ``unknown_request`` and
        ``unknown_row``, in the order of their places. The last label of a row wins (``labels.joined``).
        """
        ...

    def labelled(self, model: ModelName, version: VersionNumber, since_ms: int, limit: int) -> Sequence[LabelledRow]:
        """Return the labelled rows of requests answered since then, the newest labels first: of as many requests as
        have ``limit`` rows together."""
        ...

    def compared(
        self, model: ModelName, versions: Collection[VersionNumber], revisions: Collection[int], limit: int
    ) -> Sequence[LabelledRow]:
        """Return the labelled rows that arms ``stable`` and ``canary`` answered under these revisions, in the order in
        which their labels came: of as many of the newest requests as have ``limit`` rows together."""
        ...

    def coverage(self, model: ModelName, version: VersionNumber, since_ms: int) -> Sequence[Coverage]:
        """Return of each arm how many requests answered since then are kept, and how many have a label."""
        ...

    def newest(self) -> Mapping[tuple[ModelName, VersionNumber], int]:
        """Return when the last label came, of each ready version that has one. Cheap: it is polled."""
        ...

    def sweep(self, kept: int, before_ms: int) -> None:
        """Forget requests answered earlier, and of each model all but the newest ``kept``."""
        ...
