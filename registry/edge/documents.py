"""What both processes do with their OpenAPI document: say what errors look like, name the operations, and show it all
as one plain page.

The page loads nothing from anywhere: it is text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from typing import Any

from registry.edge.problems import STATUS

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}code{background:#eee}"
    "h2{font-size:1.1em;margin:1.5em 0 0;overflow-wrap:anywhere}p{margin:.3em 0 1em}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"


_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id", "details"],
            "properties": {
                "code": {"type": "string", "enum": sorted(STATUS)},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
                "details": {"type": "object"},
            },
        }
    },
}


def describe_errors(document: dict[str, Any]) -> None:
    """Give every operation the contract's error as its default answer, in place of the framework's own shape of one."""
    error = {"description": "Any error.", "content": {"application/json": {"schema": _ERROR_SCHEMA}}}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = error


def summarise(document: dict[str, Any]) -> None:
    """Give every operation the first sentence that it says of itself as its summary, not its function's name."""
    for path in document["paths"].values():
        for operation in path.values():
            said = " ".join(operation.get("description", "").replace("``", "").split())
            if said:
                operation["summary"] = re.split(r"\.(?:\s|$)", said, maxsplit=1)[0]


def page(document: dict[str, Any], pages: Sequence[tuple[str, str]] = ()) -> str:
    """Return the document as one plain HTML page.

    Args:
        document: The document.
        pages: Paths and names of pages about single things, which it links to.
    """
    title = html.escape(f"{document['info']['title']} {document['info']['version']}")
    rows = []
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            statuses = ", ".join(sorted(operation["responses"])).replace("default", "errors")
            rows.append(
                f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
                f"<p>{html.escape(operation.get('summary', ''))}. Answers {html.escape(statuses)}.</p>"
            )
    intro = "The whole contract is in <a href='/openapi.json'>/openapi.json</a>, for any OpenAPI tool."
    links = "".join(f"<li><a href='{html.escape(path)}'>{html.escape(name)}</a></li>" for path, name in pages)
    more = f"<p>Models, each with a form to try it:</p><ul>{links}</ul>" if links else ""
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{intro}</p>{more}{''.join(rows)}</html>"
    )
