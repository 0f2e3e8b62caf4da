"""What the body of a request to MLflow's REST interface must be, checked before MLflow sees it. Pure.

MLflow's handlers fail with a 500 and a stack trace where a body is no JSON object. Not here: what the object holds.
"""

from __future__ import annotations

import json

from registry.errors import InvalidRequest

MAX_DEPTH = 64
MAX_GRAPHQL_BYTES = 64 * 1024
"""MLflow's pages send a few KB; its interpreter takes seconds for each megabyte."""


def check_body(path: str, body: bytes) -> None:
    """Raise InvalidRequest unless ``body`` is empty or a JSON object that is not nested too deeply."""
    if not body.strip():
        if path == "/graphql":
            raise InvalidRequest("malformed_json", "send a JSON object with the query")
        return
    if path == "/graphql" and len(body) > MAX_GRAPHQL_BYTES:
        raise InvalidRequest("body_too_large", f"a query has at most {MAX_GRAPHQL_BYTES} bytes")
    if deepest(body) > MAX_DEPTH:
        raise InvalidRequest("too_deep", f"the JSON is nested more than {MAX_DEPTH} deep")
    try:
        document = json.loads(body)
        if isinstance(document, str):
            # Old clients of MLflow's encode twice.
            document = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("malformed_json", "the body is not valid JSON; send one JSON object in UTF-8") from error
    if not isinstance(document, dict):
        raise InvalidRequest("malformed_json", "the body must be one JSON object")
    if path == "/graphql" and not isinstance(document.get("query"), str):
        raise InvalidRequest("malformed_json", "the object needs a 'query', as text")


def deepest(body: bytes) -> int:
    """Return an upper bound of how deep JSON is nested: brackets in texts count, but only where there are very many."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return 0
    depth = most = 0
    in_text = escaped = False
    for byte in body:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in b"{[":
            depth += 1
            most = max(most, depth)
        elif byte in b"}]":
            depth -= 1
    return most
