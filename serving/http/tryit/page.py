"""The page of one version: what it takes and answers, and a form that asks it. Pure.

Server-rendered; its style and its script are two constants that the page's policy allows by their hashes, so nothing
that came with a model can run, load or post anywhere. All of it that a model's author chose (names of columns, types,
defaults, examples) is escaped here, in ``shown``. Not here: the document for tools (``serving/http/described.py``).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from registry.signature import Schema
from serving.http.described import Described
from serving.http.tryit.snippets import FILE, curl_command, needs_file, python_code
from serving.protocols.schemas import plain, shape_words, type_of

MOST_LISTED = 500
"""How many columns the page lists; the document has them all."""
MOST_CHARS = 120
"""How much of one name or default it shows."""


def page_of(described: Described, base_url: str) -> bytes:
    """Return the page as UTF-8.

    Args:
        described: The version.
        base_url: Where the caller reached this node, such as ``http://127.0.0.1:8080``.
    """
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Try {shown(described.title)}</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{_file('style.css')}</style></head><body>",
        _header(described),
        "<main>",
        _form(described),
        _inputs(described),
        _params(described),
        _outputs(described),
        _elsewhere(described, base_url),
        f"</main><footer></footer><script>{_file('script.js')}</script></body></html>",
    ]
    return "".join(parts).encode("utf-8", "replace")


@cache
def policy() -> str:
    """Return the page's Content-Security-Policy: its own style and script, and requests to where it came from."""
    return (
        f"default-src 'none'; style-src '{_hash('style.css')}'; script-src '{_hash('script.js')}'; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


def shown(text: object, most: int = 0) -> str:
    """Return text for HTML: escaped, what cannot be printed as its escape, cut after ``most`` characters."""
    whole = str(text)
    cut = whole[:most] + "…" if most and len(whole) > most else whole
    return html.escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in cut))


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(_file(name).encode()).digest()).decode()}"


def _header(described: Described) -> str:
    base = described.path.removesuffix("/predict")
    if described.planned:
        who = (
            f"The plan chooses who answers; revision {described.revision} makes version {described.version} stable, "
            "and this page describes that one."
        )
    else:
        who = f"Version {described.version} answers here, whatever the plan says."
    here = {"ready": "It is loaded on this node."}.get(
        described.state, f"It is {described.state} on this node: the first answer may take a while."
    )
    links = [(f"{base}/openapi.json", "OpenAPI document"), (base, "What this node knows of it")]
    if not described.planned:
        links.append((f"/models/{described.model}/docs", "The plan's page"))
    links.append(("/docs", "All routes"))
    listed = "".join(f"<li><a href='{shown(to)}'>{shown(name)}</a></li>" for to, name in links)
    return (
        f"<header><h1>{shown(described.title)}</h1><p><code>POST {shown(described.path)}</code></p>"
        f"<p>{shown(who)} {shown(here)}</p><nav aria-label='This version'><ul>{listed}</ul></nav></header>"
    )


def _form(described: Described) -> str:
    return (
        "<h2 id='ask'>Try it</h2><div class='sides'>"
        f"<form id='try' method='post' action='{shown(described.path)}' data-path='{shown(described.path)}' "
        "aria-labelledby='ask'>"
        "<label for='body'>Request body (JSON)</label>"
        "<textarea id='body' name='body' spellcheck='false' autocomplete='off' autocapitalize='off' "
        f"aria-describedby='origin'>{html.escape(_body_text(described))}</textarea>"
        f"<p id='origin'>{_origin(described)} Ctrl+Enter sends it.</p>"
        "<label for='key'>API key, where one is asked for</label>"
        "<input id='key' type='password' autocomplete='off' aria-describedby='kept'>"
        "<p id='kept' class='quiet'>It is sent with this request and kept nowhere.</p>"
        "<div class='acts'><button id='send' type='submit' disabled>Send</button>"
        "<button id='stop' type='button' disabled>Stop</button><button type='reset'>Reset</button></div>"
        "<noscript><p>Sending from this page needs JavaScript; the curl command below does the same.</p></noscript>"
        "</form>"
        "<section aria-labelledby='answered'><h3 id='answered'>Answer</h3>"
        "<p id='status' role='status'>Nothing was sent yet.</p><dl id='told'></dl>"
        "<pre id='answer' tabindex='0' aria-labelledby='answered'></pre></section></div>"
    )


def _body_text(described: Described) -> str:
    if described.example is None:
        return '{\n  "inputs": []\n}'
    # Control characters, and half characters that UTF-8 has not, can only travel as JSON's escapes.
    printable = json.dumps(described.example, ensure_ascii=False).isprintable()
    return _by_rows(described.example, ascii_only=not printable)


def _by_rows(body: object, *, ascii_only: bool, indent: str = "", depth: int = 3) -> str:
    """Return JSON with a line for each item of the outer levels, and one for a list of plain values, such as a row."""
    if not depth or not isinstance(body, (dict, list)) or not body:
        return json.dumps(body, ensure_ascii=ascii_only)
    inner = indent + "  "
    if isinstance(body, list):
        if not any(isinstance(item, (dict, list)) for item in body):
            return json.dumps(body, ensure_ascii=ascii_only)
        items = [_by_rows(item, ascii_only=ascii_only, indent=inner, depth=depth - 1) for item in body]
        return f"[\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}]"
    items = [
        f"{json.dumps(key, ensure_ascii=ascii_only)}: "
        + _by_rows(item, ascii_only=ascii_only, indent=inner, depth=depth - 1)
        for key, item in body.items()
    ]
    return f"{{\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}}}"


def _origin(described: Described) -> str:
    if described.example is None:
        return f"There is no example to show: {shown(described.origin)}." if described.origin else ""
    return f"This example is {shown(described.origin)}."


def _inputs(described: Described) -> str:
    if described.inputs is None:
        return "<h2>Inputs</h2><p>Nothing is known of them: the version has no signature.</p>"
    return "<h2>Inputs</h2>" + _schema(described.inputs, "Inputs", required=True)


def _outputs(described: Described) -> str:
    if described.outputs is None or not (described.outputs.columns or described.outputs.tensors):
        return "<h2>Outputs</h2><p>The signature does not say what the model answers.</p>"
    return "<h2>Outputs</h2><p>In <code>predictions</code>:</p>" + _schema(described.outputs, "Outputs", required=False)


def _schema(schema: Schema, title: str, *, required: bool) -> str:
    rows: list[Sequence[str]]
    if schema.tensors:
        heads = ("name", "type", "shape")
        rows = [(_name(t.name), t.dtype, shape_words(t.shape)) for t in schema.tensors[:MOST_LISTED]]
    else:
        heads = ("name", "type", "required") if required else ("name", "type", "")
        rows = [
            (_name(c.name), type_of(c), ("yes" if c.required else "no") if required else "")
            for c in schema.columns[:MOST_LISTED]
        ]
    more = len(schema.tensors or schema.columns) - len(rows)
    rest = f"<p>And {more} more, which the OpenAPI document has.</p>" if more > 0 else ""
    return _table(title, heads, rows) + rest


def _name(name: object) -> str:
    return "(no name)" if name is None else str(name)


def _params(described: Described) -> str:
    if not described.params:
        return ""
    rows = [
        (
            param.name,
            param.type if param.shape is None else f"list of {param.type}",
            json.dumps(plain(param.default), ensure_ascii=False),
        )
        for param in described.params[:MOST_LISTED]
    ]
    return "<h2>Parameters</h2><p>Beside the input, in <code>params</code>; each may be left out.</p>" + _table(
        "Parameters", ("name", "type", "default"), rows
    )


def _table(title: str, heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{shown(name)}</th>" for name in heads if name)
    body = "".join(
        f"<tr><th scope='row'><code>{shown(first, MOST_CHARS)}</code></th>"
        + "".join(f"<td>{shown(cell, MOST_CHARS)}</td>" for cell in rest if cell)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f"<div class='wide' role='region' aria-label='{shown(title)}' tabindex='0'><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _elsewhere(described: Described, base_url: str) -> str:
    file = f"<p>Save the body above as <code>{FILE}</code> first.</p>" if needs_file(described) else ""
    curl, code = curl_command(described, base_url), python_code(described, base_url)
    return (
        f"<h2>From elsewhere</h2>{file}<h3 id='curl'>curl</h3>"
        f"<pre tabindex='0' aria-labelledby='curl'>{html.escape(curl)}</pre>"
        f"<h3 id='python'>Python, with the headgate package</h3>"
        f"<pre tabindex='0' aria-labelledby='python'>{html.escape(code)}</pre>"
    )
