"""The tracer: who is in which trace, what is sent, and that nobody waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Event

from registry.edge.traceparent import read
from registry.edge.traces import BATCH, MOST_WAITING, Span, Tracer

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-%b"


class Kept:
    """An exporter that keeps what it is given, or takes nothing."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.spans: list[Span] = []
        self.closed = False
        self.came = Event()

    def export(self, spans: Sequence[Span]) -> bool:
        """Keep them."""
        self.spans.extend(spans)
        self.came.set()
        return self.takes

    def close(self) -> None:
        """Remember."""
        self.closed = True


def span(number: int = 1) -> tuple[Span, ...]:
    """Return a request's spans."""
    return (Span("predict", 1, number, 0, 10, 20),)


def tracer(kept: Kept, ratio: float = 1.0) -> tuple[Tracer, Counter[str]]:
    """Return a tracer that is not started, and what it counts."""
    counts: Counter[str] = Counter()
    return Tracer(ratio, kept, lambda outcome, n: counts.update({outcome: n}), clock=lambda: 7), counts


def test_a_request_goes_on_in_its_callers_trace() -> None:
    """The trace and its flag are the caller's, whatever the share; the span is new."""
    for flag, sampled in ((b"01", True), (b"00", False)):
        for ratio in (0.0, 1.0):
            one, _ = tracer(Kept(), ratio)
            trace = one.begin([(b"host", b"x"), (b"traceparent", PARENT % flag)])
            assert (trace.parent, trace.sampled, trace.begun_ns) == (0xF067AA0BA902B7, sampled, 7)
            assert trace.own.trace == 0x4BF92F3577B34DA6A3CE929D0E0E4736
            assert trace.own.span != trace.parent


def test_who_has_no_trace_begins_one() -> None:
    """Without a header, with a wrong one or with two, the share decides."""
    for headers in ([], [(b"traceparent", b"nonsense")], [(b"traceparent", PARENT % b"01")] * 2):
        for ratio, sampled in ((0.0, False), (1.0, True)):
            trace = tracer(Kept(), ratio)[0].begin(headers)
            assert (trace.parent, trace.sampled) == (0, sampled)
            assert read(trace.own.header()) == trace.own


def test_the_share_is_kept() -> None:
    """Of ten thousand that begin a trace, about a tenth is recorded."""
    one, _ = tracer(Kept(), 0.1)
    assert 800 < sum(one.begin([]).sampled for _ in range(10_000)) < 1200


def test_a_few_are_sent_at_a_time() -> None:
    """Oldest first, and each once."""
    kept = Kept()
    one, counts = tracer(kept)
    for number in range(BATCH + 1):
        one.end(lambda number=number: span(number))  # type: ignore[misc]
    assert one.send() and len(kept.spans) == BATCH
    assert one.send() and not one.send()
    assert [s.number for s in kept.spans] == list(range(BATCH + 1))
    assert counts == {"sent": BATCH + 1}


def test_what_comes_too_fast_is_dropped_and_counted() -> None:
    """The list has a bound, and what is beyond it is not even looked at."""
    one, counts = tracer(Kept())
    for _ in range(MOST_WAITING + 3):
        one.end(span)
    assert counts == {"dropped": 3}


def test_what_nobody_takes_is_counted() -> None:
    """A collector that is away costs the spans, and nothing else."""
    one, counts = tracer(Kept(takes=False))
    one.end(span)
    one.end(span)
    assert one.send()
    assert counts == {"failed": 2}


def test_spans_that_cannot_be_made_do_not_end_the_thread() -> None:
    """A fault costs its own batch; what comes next goes out, and closing sends what is left."""
    kept = Kept()
    one, counts = tracer(kept)

    def broken() -> tuple[Span, ...]:
        raise ValueError("a fault")

    one.end(broken)
    one.start()
    for _ in range(100):
        one.end(span)
        if kept.came.wait(0.1):
            break
    one.end(lambda: span(99))
    one.close()
    assert kept.closed and kept.spans[-1].number == 99
    assert counts["sent"] == len(kept.spans)
