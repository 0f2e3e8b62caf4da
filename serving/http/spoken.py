"""The protocols that the predict lane speaks: to which of them a path belongs, whom it asks, who reads it.

One protocol is one ``Spoken``; the lane, the predictor and the metrics know no more of it. Not here: what its bytes
mean (``serving/protocols``), its errors (``problems.py``), and its other routes (a module of their own each).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from registry.errors import InvalidRequest, NotFound
from registry.records import AliasName, parse_alias, parse_model_name, parse_target, parse_version
from serving.protocols.limits import Limits
from serving.protocols.mlflow.request import MLFLOW, read_scoring, read_scoring_at_root
from serving.protocols.native_request import read_native, read_native_stream
from serving.protocols.oip.request import OIP, read_oip, read_oip_stream, weigh_oip
from serving.protocols.request import NATIVE, Head, Request
from serving.protocols.sse import BARE, NAMED, Framing
from serving.protocols.tfs.examples import read_examples, weigh_examples
from serving.protocols.tfs.paths import PREFIX as TFS_PREFIX
from serving.protocols.tfs.paths import read_path
from serving.protocols.tfs.predict import read_predict
from serving.routing.choose import Ask
from serving.values import value

ROOT = "/invocations"
NO_DEFAULT = (
    "no model answers at the root of this node: send to /models/<name>/invocations, or set HEADGATE_DEFAULT_MODEL"
)
# MLServer has both names for both.
INFERS, STREAMS = ("/infer", "/generate"), ("/infer_stream", "/generate_stream")
ReadBody = Callable[[bytes, Head, Limits], Request]
Weigh = Callable[[bytes, Head], int]


@value
class Spoken:
    """A protocol that predicts over HTTP.

    Attributes:
        name: Its label in metrics.
        prefix: How its paths begin, and ``endings``: how they end; of several protocols no two may share both.
        ask: Returns whom a path asks; raises InvalidRequest ``invalid_name`` or NotFound ``unknown_version``.
        read: Reads a body: pure.
        takes_query: Whether a query string is left out rather than refused.
        any_case: Whether its endings, which are in small letters here, may be written in others.
        events: How the events of its answers are marked, where they come piece by piece; else None.
        weigh: Returns how many bytes of JSON take as long to read as a body; None where that is its length.
    """

    name: str
    prefix: str
    endings: tuple[str, ...]
    ask: Callable[[str], Ask]
    read: ReadBody
    takes_query: bool = False
    any_case: bool = False
    events: Framing | None = None
    weigh: Weigh | None = None

    def speaks(self, path: str) -> bool:
        """Tell whether a path is one of its own."""
        end = path.lower() if self.any_case else path
        return end.endswith(self.endings) and path.startswith(self.prefix)


def ask_native(path: str) -> Ask:
    """Return what ``/models/{name}[/versions/{version} | /aliases/{alias}]/…`` asks for."""
    segments = path.split("/")
    model = parse_model_name(segments[2])
    if len(segments) == 4:
        return Ask(model)
    if segments[3] == "versions":
        return Ask(model, version=parse_version(segments[4]))
    return Ask(model, alias=parse_alias(segments[4]))


def ask_of(target: str | None) -> Ask | None:
    """Return whom ``name``, ``name@alias`` or ``name/version`` means; None for None. Raise as ``parse_target`` does."""
    return None if target is None else Ask(*parse_target(target))


def ask_at_root(default: Ask | None) -> Callable[[str], Ask]:
    """Return what tells whom ``/invocations`` asks: ``default``, or nobody (NotFound ``not_found``)."""

    def ask(_: str) -> Ask:
        if default is None:
            raise NotFound("not_found", NO_DEFAULT)
        return default

    return ask


def ask_tfs(path: str, method: str = "POST") -> Ask:
    """Return what ``/v1/models/{name}[/versions/{version} | /labels/{alias}][:verb]`` asks for, where it is such a
    path; raise NotFound ``not_found`` where it is none."""
    place = read_path(path)
    if place is None:
        raise NotFound("not_found", "this is no path of a model", {"method": method})
    model = parse_model_name(place.model)
    if place.version is not None:
        return Ask(model, version=parse_version(place.version))
    return Ask(model) if place.label is None else Ask(model, alias=_label(place.label))


def _label(raw: str) -> AliasName:
    try:
        return parse_alias(raw)
    except InvalidRequest as error:
        raise NotFound("unknown_alias", error.message) from None  # to them any word is a label, and this one unknown


def ask_oip(path: str) -> Ask:
    """Return what ``/v2/models/{name}[/versions/{version}]/…`` asks for."""
    segments = path.split("/")
    model = parse_model_name(segments[3])
    return Ask(model) if len(segments) == 5 else Ask(model, version=parse_version(segments[5]))


def all_spoken(default: Ask | None = None) -> tuple[Spoken, ...]:
    """Return every protocol that the lane speaks; ``default`` is who answers where a path names no model."""
    scored = ("/invocations", "/invoke")
    return (
        Spoken(NATIVE, "/models/", ("/predict",), ask_native, read_native),
        Spoken(NATIVE, "/models/", ("/predict_stream",), ask_native, read_native_stream, events=NAMED),
        Spoken(OIP, "/v2/models/", INFERS, ask_oip, read_oip, takes_query=True, weigh=weigh_oip),
        Spoken(OIP, "/v2/models/", STREAMS, ask_oip, read_oip_stream, takes_query=True, events=BARE, weigh=weigh_oip),
        _tfs(":predict", read_predict),
        _tfs(":classify", partial(read_examples, "classify"), weigh_examples),
        _tfs(":regress", partial(read_examples, "regress"), weigh_examples),
        Spoken(MLFLOW, "/models/", scored, ask_native, read_scoring, takes_query=True),
        Spoken(MLFLOW, ROOT, (ROOT,), ask_at_root(default), read_scoring_at_root, takes_query=True),
    )


def _tfs(verb: str, read: ReadBody, weigh: Weigh | None = None) -> Spoken:
    return Spoken("tfs", TFS_PREFIX, (verb,), ask_tfs, read, takes_query=True, any_case=True, weigh=weigh)


def endings_of(spoken: Sequence[Spoken]) -> tuple[str, ...]:
    """Return how the paths of all of them end: a quick look that spares the others a slow one."""
    return tuple({ending: None for each in spoken for ending in each.endings})
