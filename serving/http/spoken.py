"""The protocols that the predict lane speaks: to which of them a path belongs, whom it asks, who reads it.

One protocol is one ``Spoken``; the lane, the predictor and the metrics know no more of it. Not here: what its bytes
mean (``serving/protocols``), its errors (``problems.py``), and its other routes (a module of their own each).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registry.errors import NotFound
from registry.records import parse_alias, parse_model_name, parse_target, parse_version
from serving.protocols.limits import Limits
from serving.protocols.mlflow.request import MLFLOW, read_scoring, read_scoring_at_root
from serving.protocols.native_request import read_native
from serving.protocols.request import NATIVE, Head, Request
from serving.routing.choose import Ask
from serving.values import value

ROOT = "/invocations"
NO_DEFAULT = (
    "no model answers at the root of this node: send to /models/<name>/invocations, or set HEADGATE_DEFAULT_MODEL"
)
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
    """

    name: str
    prefix: str
    endings: tuple[str, ...]
    ask: Callable[[str], Ask]
    read: ReadBody
    takes_query: bool = False

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


def all_spoken(default: Ask | None = None) -> tuple[Spoken, ...]:
    """Return every protocol that the lane speaks; ``default`` is who answers where a path names no model."""
    scored = ("/invocations", "/invoke")
    return (
        Spoken(NATIVE, "/models/", ("/predict",), ask_native, read_native),
        Spoken(MLFLOW, "/models/", scored, ask_native, read_scoring, takes_query=True),
        Spoken(MLFLOW, ROOT, (ROOT,), ask_at_root(default), read_scoring_at_root, takes_query=True),
    )


def endings_of(spoken: Sequence[Spoken]) -> tuple[str, ...]:
    """Return how the paths of all of them end: a quick look that spares the others a slow one."""
    return tuple({ending: None for each in spoken for ending in each.endings})
