"""Building requests: each function returns one, and knows one line of the HTTP contract. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from headgate.errors import InvalidRequest
from headgate.names import alias_name, model_name, rollout_id, version_number
from headgate.plans import Plan
from headgate.quality import Label
from headgate.rollouts import RolloutSpec
from headgate.tables import TableFile
from headgate.wire import FileBody, Request, Server

_API = "/registry/v1"
_JSON = "application/json"
_ALWAYS_TOLD = ("stable", "note")
_PLAIN = Plan("1").to_json()


@dataclass(frozen=True, slots=True)
class Target:
    """Who shall answer: a version, what an alias names, or, with neither, whom the plan chooses."""

    name: str
    version: str | int | None = None
    alias: str | None = None


def livez(server: Server) -> Request:
    """Ask whether a process is alive."""
    return Request(server, "GET", "/livez")


def readyz(server: Server) -> Request:
    """Ask whether a process can do its work."""
    return Request(server, "GET", "/readyz")


def list_models(query: str, page_token: str, limit: int) -> Request:
    """Ask for a page of models whose names contain ``query``."""
    return _get("/models", {"q": query, "page_token": page_token, "limit": str(limit)})


def get_model(name: str) -> Request:
    """Ask for one model."""
    return _get(_model(name))


def list_versions(name: str, page_token: str, limit: int) -> Request:
    """Ask for a page of versions, newest first."""
    return _get(f"{_model(name)}/versions", {"page_token": page_token, "limit": str(limit)})


def get_version(name: str, version: str | int) -> Request:
    """Ask for one version."""
    return _get(_version(name, version))


def create_version(name: str, source: Mapping[str, Any], key: str, alias: str | None) -> Request:
    """Register a version. ``source`` is ``{"source": {…}}`` or ``{"upload": id}``."""
    document = {**source, "idempotency_key": key}
    if alias is not None:
        document["alias"] = alias_name(alias)
    return _registry("POST", f"{_model(name)}/versions", document)


def admit(name: str, version: str | int) -> Request:
    """Have a version checked again."""
    return _registry("POST", f"{_version(name, version)}/admit", None)


def retire(name: str, version: str | int) -> Request:
    """Take a version out of service."""
    return _registry("POST", f"{_version(name, version)}/retire", None)


def delete_version(name: str, version: str | int) -> Request:
    """Delete a version."""
    return _registry("DELETE", _version(name, version), None)


def create_upload(files: Sequence[Mapping[str, Any]]) -> Request:
    """Declare the files of a model directory: path, size and sha256 of each."""
    return _registry("POST", "/uploads", {"files": list(files)})


def get_upload(upload_id: str) -> Request:
    """Ask which files of an upload have arrived."""
    return _get(f"/uploads/{quote(upload_id, safe='')}")


def put_file(upload_id: str, path: str, body: FileBody) -> Request:
    """Send one file of an upload."""
    target = f"{_API}/uploads/{quote(upload_id, safe='')}/files/{quote(path, safe='/')}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(body.size)}
    return Request(Server.REGISTRY, "PUT", target, headers=headers, body=body)


def commit_upload(upload_id: str) -> Request:
    """Close an upload."""
    return _registry("POST", f"/uploads/{quote(upload_id, safe='')}/commit", None)


def get_traffic(name: str) -> Request:
    """Ask for the plan in force."""
    return _get(f"{_model(name)}/traffic")


def put_traffic(name: str, plan: Plan, revision: int) -> Request:
    """Replace the plan that has ``revision``."""
    # What is left out has the platform's default; so an older one is told nothing that it does not know.
    told = {key: value for key, value in plan.to_json().items() if key in _ALWAYS_TOLD or value != _PLAIN[key]}
    return _registry("PUT", f"{_model(name)}/traffic", told, {"If-Match": f'"{revision}"'})


def delete_traffic(name: str, revision: int) -> Request:
    """Take all traffic away from the plan that has ``revision``."""
    return _registry("DELETE", f"{_model(name)}/traffic", None, {"If-Match": f'"{revision}"'})


def get_history(name: str, before: int, limit: int) -> Request:
    """Ask for a page of the journal of plans, newest first: revisions below ``before``, or from the newest on for 0."""
    return _get(f"{_model(name)}/traffic/history", {"before": str(before) if before else "", "limit": str(limit)})


def post_rollback(name: str, revision: int | None) -> Request:
    """Go back to the plan before, or to the plan of ``revision``."""
    return _registry("POST", f"{_model(name)}/traffic/rollback", None if revision is None else {"revision": revision})


def get_traffic_status(name: str) -> Request:
    """Ask where the plan in force has arrived."""
    return _get(f"{_model(name)}/traffic/status")


def get_shadow(name: str, version: str | int) -> Request:
    """Ask how a shadow compares."""
    return _get(f"{_model(name)}/shadows/{version_number(version)}")


def get_nodes() -> Request:
    """Ask for the serving nodes that the registry has heard of."""
    return _get("/nodes")


def post_rollout(name: str, spec: RolloutSpec) -> Request:
    """Start a rollout."""
    return _registry("POST", f"{_model(name)}/rollouts", spec.to_json())


def get_rollouts(name: str) -> Request:
    """Ask for a model's rollouts, newest first."""
    return _get(f"{_model(name)}/rollouts")


def get_rollout(name: str, rollout: str) -> Request:
    """Ask for one rollout."""
    return _get(_rollout(name, rollout))


def move_rollout(name: str, rollout: str, verb: str, why: str) -> Request:
    """``pause``, ``resume``, ``promote`` or ``abort`` a rollout."""
    return _registry("POST", f"{_rollout(name, rollout)}/{verb}", {"why": why} if why else None)


def put_baseline(name: str, version: str | int, table: TableFile, seconds: float) -> Request:
    """Give a version the table that it was trained on; it is read whole before the answer, in ``seconds`` at most."""
    body = FileBody(table.path, table.size, lambda _: None)
    headers = {"Content-Type": table.media_type, "Content-Length": str(table.size)}
    query = {"prediction": table.prediction} if table.prediction else {}
    path = f"{_API}{_version(name, version)}/baseline"
    return Request(Server.REGISTRY, "PUT", path, query=query, headers=headers, body=body, seconds=seconds)


def get_baseline(name: str, version: str | int) -> Request:
    """Ask for a version's baseline."""
    return _get(f"{_version(name, version)}/baseline")


def get_drift(name: str, version: str | int, limit: int | None, features: int | None = None) -> Request:
    """Ask how a version's rows differ from its baseline, in the newest ``limit`` windows."""
    most = {"limit": limit, "features": features}
    return _get(f"{_version(name, version)}/drift", {key: "" if n is None else str(n) for key, n in most.items()})


def get_quality(name: str, version: str | int) -> Request:
    """Ask how good a version is on live traffic."""
    return _get(f"{_version(name, version)}/quality")


def post_feedback(name: str, labels: Sequence[Label]) -> Request:
    """Send labels back to serving, whose predictions they are of."""
    document = {"items": [label.to_json() for label in labels]}
    path = f"/models/{model_name(name)}/feedback"
    return Request(Server.SERVING, "POST", path, headers={"Content-Type": _JSON}, body=_encoded(document))


def put_alias(name: str, alias: str, version: str | int) -> Request:
    """Point an alias at a version."""
    return _registry("PUT", f"{_model(name)}/aliases/{alias_name(alias)}", {"version": version_number(version)})


def delete_alias(name: str, alias: str) -> Request:
    """Remove an alias."""
    return _registry("DELETE", f"{_model(name)}/aliases/{alias_name(alias)}", None)


def served_models(page_token: str, limit: int) -> Request:
    """Ask serving for a page of the models it knows."""
    query = {"page_token": page_token, "limit": str(limit)}
    return Request(Server.SERVING, "GET", "/models", query={k: v for k, v in query.items() if v})


def served_model(name: str) -> Request:
    """Ask serving what it knows of one model."""
    return Request(Server.SERVING, "GET", f"/models/{model_name(name)}")


def served_version(name: str, version: str | int) -> Request:
    """Ask serving what it knows of one version."""
    return Request(Server.SERVING, "GET", f"/models/{model_name(name)}/versions/{version_number(version)}")


def predict(target: Target, body: bytes, content_type: str) -> Request:
    """Ask for a prediction; raise InvalidRequest where the target names both a version and an alias."""
    headers = {"Content-Type": content_type, "Accept": _JSON}
    return Request(Server.SERVING, "POST", f"{_asked(target)}/predict", headers=headers, body=body)


def predict_stream(target: Target, body: bytes) -> Request:
    """Ask for a prediction piece by piece; raise as ``predict`` does."""
    headers = {"Content-Type": _JSON, "Accept": "text/event-stream"}
    return Request(Server.SERVING, "POST", f"{_asked(target)}/predict_stream", headers=headers, body=body)


def _asked(target: Target) -> str:
    path = f"/models/{model_name(target.name)}"
    if target.version is not None and target.alias is not None:
        raise InvalidRequest("give a version or an alias, not both; neither means that the plan chooses")
    if target.version is not None:
        path += f"/versions/{version_number(target.version)}"
    elif target.alias is not None:
        path += f"/aliases/{alias_name(target.alias)}"
    return path


def _model(name: str) -> str:
    return f"/models/{model_name(name)}"


def _version(name: str, version: str | int) -> str:
    return f"{_model(name)}/versions/{version_number(version)}"


def _rollout(name: str, rollout: str) -> str:
    return f"{_model(name)}/rollouts/{rollout_id(rollout)}"


def _get(path: str, query: Mapping[str, str] | None = None) -> Request:
    given = {key: value for key, value in (query or {}).items() if value}
    return Request(Server.REGISTRY, "GET", _API + path, query=given)


def _registry(
    method: str, path: str, document: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
) -> Request:
    if document is None:
        return Request(Server.REGISTRY, method, _API + path, headers=headers or {})
    given = {"Content-Type": _JSON, **(headers or {})}
    return Request(Server.REGISTRY, method, _API + path, headers=given, body=_encoded(document))


def _encoded(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False).encode()
    except ValueError as error:
        raise InvalidRequest("NaN and infinity are no numbers that can be asked for; give finite ones") from error
