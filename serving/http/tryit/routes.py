"""The routes of a version's page and of its OpenAPI document. Not here: what stands in them."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from serving.http.described import Described, describe, document_of
from serving.http.tryit.page import page_of, policy
from serving.http.view import NodeView
from serving.sources.examples import SavedExamples

_PAGE = {
    "responses": {"200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}},
}
_DOCUMENT = {
    "responses": {
        "200": {
            "description": "An OpenAPI 3.1 document.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
}


def tryit_routes(node: NodeView, examples: SavedExamples, platform_version: str) -> APIRouter:
    """Return the routes, bound to ``node``: of a model and of a version, page and document, and the same below ``/v2``
    where MLServer has them."""
    routes = APIRouter(tags=["documents"], default_response_class=Response)

    @routes.get(
        "/models/{name}/docs", summary="Show a model's stable version, with a form to try it", openapi_extra=_PAGE
    )
    @routes.get("/v2/models/{name}/docs", summary="Show the same, where MLServer has it", openapi_extra=_PAGE)
    async def model_page(name: str, request: Request) -> Response:
        return await page_answer(await describe(node, examples, name), request)

    @routes.get("/models/{name}/openapi.json", summary="Describe a model's predict route", openapi_extra=_DOCUMENT)
    @routes.get(
        "/v2/models/{name}/docs/dataplane.json", summary="Give the same, where MLServer has it", openapi_extra=_DOCUMENT
    )
    async def model_document(name: str) -> Response:
        return await document_answer(await describe(node, examples, name), platform_version)

    @routes.get(
        "/models/{name}/versions/{version}/docs", summary="Show a version, with a form to try it", openapi_extra=_PAGE
    )
    @routes.get(
        "/v2/models/{name}/versions/{version}/docs", summary="Show the same, where MLServer has it", openapi_extra=_PAGE
    )
    async def version_page(name: str, version: str, request: Request) -> Response:
        return await page_answer(await describe(node, examples, name, version), request)

    @routes.get(
        "/models/{name}/versions/{version}/openapi.json",
        summary="Describe a version's predict route",
        openapi_extra=_DOCUMENT,
    )
    @routes.get(
        "/v2/models/{name}/versions/{version}/docs/dataplane.json",
        summary="Give the same, where MLServer has it",
        openapi_extra=_DOCUMENT,
    )
    async def version_document(name: str, version: str) -> Response:
        return await document_answer(await describe(node, examples, name, version), platform_version)

    return routes


async def page_answer(described: Described, request: Request) -> Response:
    """Return the page of a version, for whoever asked on ``request``."""
    # The gate has checked the Host header: it is a name and perhaps a port, and names this node.
    base_url = f"{request.url.scheme}://{request.headers['host']}"
    page = await asyncio.to_thread(page_of, described, base_url)
    headers = {"content-security-policy": policy(), "referrer-policy": "no-referrer", "cache-control": "no-store"}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


async def document_answer(described: Described, platform_version: str) -> Response:
    """Return the OpenAPI document of a version."""
    document = await asyncio.to_thread(document_of, described, platform_version)
    return Response(document, media_type="application/json", headers={"cache-control": "no-store"})
