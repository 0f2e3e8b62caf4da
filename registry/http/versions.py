"""Routes of models and versions: list, show, register, admit again, retire, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from registry.errors import InvalidRequest
from registry.http.bodies import RegisterBody
from registry.http.render import model_json, version_json
from registry.http.strict import StrictRoute
from registry.operations import Operations
from registry.ports import ModelSummary
from registry.records import VersionRecord, parse_alias, parse_model_name, parse_version

Limit = Annotated[int, Query(ge=1, le=1000, description="Most entries in the answer")]
PageToken = Annotated[str, Query(max_length=128, description="`next_page_token` of the page before")]


def version_routes(operations: Operations) -> APIRouter:
    """Return the routes, bound to ``operations``."""
    routes = APIRouter(prefix="/registry/v1", tags=["models"], route_class=StrictRoute)
    ledger = operations.ledger

    def summary(name: str) -> ModelSummary:
        return operations.model(parse_model_name(name))

    def shown(record: VersionRecord) -> dict[str, Any]:
        model = operations.model(record.model)
        baseline = ledger.baselines.get(record.model, record.version)
        return version_json(record, model.aliases, model.plan, baseline)

    @routes.get("/models")
    def list_models(
        limit: Limit = 100, page_token: PageToken = "", q: Annotated[str, Query(max_length=128)] = ""
    ) -> Any:
        """List models by name, each with its plan, aliases and newest versions."""
        page = ledger.models.page(limit, page_token, q)
        token = page[-1].name if len(page) == limit else None
        return {"models": [model_json(m) for m in page], "next_page_token": token}

    @routes.get("/models/{name}")
    def show_model(name: str) -> Any:
        """Show one model."""
        return model_json(summary(name))

    @routes.get("/models/{name}/versions")
    def list_versions(name: str, limit: Limit = 100, page_token: PageToken = "") -> Any:
        """List a model's versions, newest first."""
        model = summary(name)
        page = ledger.versions.page(model.name, limit, _number(page_token))
        token = page[-1].version if len(page) == limit else None
        known = ledger.baselines.of_model(model.name)
        shown = [version_json(v, model.aliases, model.plan, known.get(v.version)) for v in page]
        return {"versions": shown, "next_page_token": token}

    @routes.get("/models/{name}/versions/{version}")
    def show_version(name: str, version: str) -> Any:
        """Show one version: its state, checks, artifact, signature and lineage."""
        return shown(operations.version(parse_model_name(name), parse_version(version)))

    @routes.post("/models/{name}/versions", status_code=201)
    def register(name: str, body: RegisterBody, response: Response) -> Any:
        """Register the next version from a run, a logged model or a committed upload."""
        model = parse_model_name(name)
        alias = parse_alias(body.alias) if body.alias is not None else None
        record, new = operations.register(model, body.to_source(), body.idempotency_key, alias, body.to_baseline())
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/registry/v1/models/{model}/versions/{record.version}"
        return shown(record)

    @routes.post("/models/{name}/versions/{version}/admit", status_code=202)
    def admit(name: str, version: str) -> Any:
        """Check a rejected version again."""
        return shown(operations.admit_again(parse_model_name(name), parse_version(version)))

    @routes.post("/models/{name}/versions/{version}/retire")
    def retire(name: str, version: str) -> Any:
        """Take a version out of service for good; its record stays."""
        return shown(operations.retire(parse_model_name(name), parse_version(version)))

    @routes.delete("/models/{name}/versions/{version}", status_code=204)
    def delete(name: str, version: str) -> None:
        """Retire a version and delete MLflow's record of it; its number is never used again."""
        operations.delete(parse_model_name(name), parse_version(version))

    return routes


def _number(page_token: str) -> int:
    if page_token and not (page_token.isascii() and page_token.isdigit() and len(page_token) <= 18):
        raise InvalidRequest("invalid_argument", "this page_token was not made by this list")
    return int(page_token or 0)
