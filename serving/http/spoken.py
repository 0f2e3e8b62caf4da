"""The protocols that the predict lane speaks: to which of them a path belongs, whom it asks, who reads it.

One protocol is one ``Spoken``; the lane, the predictor and the metrics know no more of it. Not here: what its bytes
mean (``serving/protocols``), its errors (``problems.py``), and its other routes (a module of their own each).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registry.records import parse_alias, parse_model_name, parse_version
from serving.protocols.limits import Limits
from serving.protocols.native_request import read_native, read_native_stream
from serving.protocols.oip.request import OIP, read_oip, read_oip_stream, weigh_oip
from serving.protocols.request import NATIVE, Head, Request
from serving.protocols.sse import BARE, NAMED, Framing
from serving.routing.choose import Ask
from serving.values import value

# MLServer has both names for both.
INFERS, STREAMS = ("/infer", "/generate"), ("/infer_stream", "/generate_stream")
ReadBody = Callable[[bytes, Head, Limits], Request]


@value
class Spoken:
    """A protocol that predicts over HTTP.

    Attributes:
        name: Its label in metrics.
        prefix: How its paths begin, and ``endings``: how they end; of several protocols no two may share both.
        ask: Returns whom a path asks; raises InvalidRequest ``invalid_name`` or NotFound ``unknown_version``.
        read: Reads a body: pure.
        takes_query: Whether a query string is left out rather than refused.
        events: How the events of its answers are marked, where they come piece by piece; else None.
        weigh: Returns how many bytes of JSON take as long to read as a body; None where that is its length.
    """

    name: str
    prefix: str
    endings: tuple[str, ...]
    ask: Callable[[str], Ask]
    read: ReadBody
    takes_query: bool = False
    events: Framing | None = None
    weigh: Callable[[bytes, Head], int] | None = None

    def speaks(self, path: str) -> bool:
        """Tell whether a path is one of its own."""
        return path.endswith(self.endings) and path.startswith(self.prefix)


def ask_native(path: str) -> Ask:
    """Return what ``/models/{name}[/versions/{version} | /aliases/{alias}]/…`` asks for."""
    segments = path.split("/")
    model = parse_model_name(segments[2])
    if len(segments) == 4:
        return Ask(model)
    if segments[3] == "versions":
        return Ask(model, version=parse_version(segments[4]))
    return Ask(model, alias=parse_alias(segments[4]))


def ask_oip(path: str) -> Ask:
    """Return what ``/v2/models/{name}[/versions/{version}]/…`` asks for."""
    segments = path.split("/")
    model = parse_model_name(segments[3])
    return Ask(model) if len(segments) == 5 else Ask(model, version=parse_version(segments[5]))


def all_spoken() -> tuple[Spoken, ...]:
    """Return every protocol that the lane speaks."""
    return (
        Spoken(NATIVE, "/models/", ("/predict",), ask_native, read_native),
        Spoken(NATIVE, "/models/", ("/predict_stream",), ask_native, read_native_stream, events=NAMED),
        Spoken(OIP, "/v2/models/", INFERS, ask_oip, read_oip, takes_query=True, weigh=weigh_oip),
        Spoken(OIP, "/v2/models/", STREAMS, ask_oip, read_oip_stream, takes_query=True, events=BARE, weigh=weigh_oip),
    )


def endings_of(spoken: Sequence[Spoken]) -> tuple[str, ...]:
    """Return how the paths of all of them end: a quick look that spares the others a slow one."""
    return tuple({ending: None for each in spoken for ending in each.endings})
