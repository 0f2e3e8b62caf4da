"""The mounted MLflow: its pages and its REST interface, as one ASGI application for the gate to stand before.

MLflow's own ASGI wrapper is not used: it also loads its gateway, assistant and job runner, which nobody here may reach,
and 2.5 seconds go on that. Not here: which routes exist (``routes.py``), and the registry's rules (``store.py``).
"""

from __future__ import annotations

from registry.adapters.mlflow_app.bodies import check_body
from registry.adapters.mlflow_app.start import MlflowConfig, Started, start_mlflow
from registry.edge.gate import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MlflowApp", "MlflowConfig", "build_mlflow_app"]

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
)


def build_mlflow_app(config: MlflowConfig) -> ASGIApp:
    """Start MLflow in this process (some seconds) and return the application to mount at ``/``, behind the gate."""
    return MlflowApp(start_mlflow(config))


class MlflowApp:
    """Sends artifact files one way and everything else to MLflow's Flask application."""

    def __init__(self, started: Started) -> None:
        # Both come after MLflow's import, which must find its environment set.
        from registry.adapters.mlflow_app.faults import answer_faults
        from registry.adapters.mlflow_app.landing import begin_with_runs
        from registry.adapters.mlflow_app.transfer import PREFIXES, ArtifactTransfer
        from registry.adapters.mlflow_app.wsgi import WsgiBridge

        self._file_prefixes = PREFIXES
        self._files = ArtifactTransfer(started.artifacts)
        answer_faults(started.flask)
        begin_with_runs(started.flask)
        self._flask = WsgiBridge(started.flask, check_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        app = self._files if scope["path"].startswith(self._file_prefixes) else self._flask
        await app(scope, receive, _with_security_headers(send))


def _with_security_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in message["headers"]}
            added = [header for header in _SECURITY_HEADERS if header[0] not in names]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending
