"""Every method of the service, with the scope that it will need. What is not here does not exist.

As ``http/routes.py``: until there are identities, scopes are recorded and not asked for; ``calls.py`` is the one place
that every call passes. Not here: what the methods do.
"""

from __future__ import annotations

from registry.edge.gate import Access
from serving.values import value


@value
class Method:
    """One method: its messages are ``{name}Request`` and ``{name}Response``, but for those that stream."""

    name: str
    access: Access
    streams: bool = False


METHODS: tuple[Method, ...] = (
    Method("ServerLive", Access.OPEN),
    Method("ServerReady", Access.OPEN),
    Method("ServerMetadata", Access.READ),
    Method("ModelReady", Access.READ),
    Method("ModelMetadata", Access.READ),
    Method("ModelConfig", Access.READ),
    Method("ModelStatistics", Access.OBSERVE),
    Method("ModelInfer", Access.PREDICT),
    Method("ModelStreamInfer", Access.PREDICT, streams=True),
    Method("RepositoryIndex", Access.READ),
    Method("RepositoryModelLoad", Access.OPERATE),
    Method("RepositoryModelUnload", Access.OPERATE),
)
