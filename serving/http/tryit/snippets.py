"""A request as people paste it elsewhere: for curl and for the Python SDK. Pure; what is returned is text, not HTML."""

from __future__ import annotations

import json
import pprint
import shlex
from typing import Any

from serving.http.described import Described

MOST_CHARS = 1500
"""How long a body may be to stand in the command itself."""
FILE = "request.json"
_NO_EXAMPLE: dict[str, Any] = {"inputs": []}


def curl_command(described: Described, base_url: str) -> str:
    """Return a command for a POSIX shell that sends the example."""
    body = json.dumps(_body(described))
    data = shlex.quote(body) if len(body) <= MOST_CHARS else f"@{FILE}"
    lines = [
        f"curl -sS {shlex.quote(base_url + described.path)}",
        "-H 'content-type: application/json'",
        f"--data-binary {data}",
    ]
    return " \\\n  ".join(lines)


def python_code(described: Described, base_url: str) -> str:
    """Return a script for the Python SDK that sends the example."""
    body = _body(described)
    if needs_file(described):
        imports, data = "import json\nfrom pathlib import Path\n\n", f'body = json.loads(Path("{FILE}").read_text())'
    else:
        imports, data = "", f"body = {pprint.pformat(body, width=88, sort_dicts=False, compact=True)}"
    version = "" if described.planned else f", version={described.version!r}"
    return (
        f"{imports}from headgate import Client\n\n{data}\n"
        f"with Client(serving_url={base_url!r}) as client:\n"
        f"    answer = client.predict_response({described.model!r}, body{version})\n"
        "print(answer.data, answer.version, answer.arm)"
    )


def needs_file(described: Described) -> bool:
    """Tell whether the body is too long to stand in the commands, which then read it from ``FILE``."""
    return len(json.dumps(_body(described))) > MOST_CHARS


def _body(described: Described) -> dict[str, Any]:
    return described.example or _NO_EXAMPLE
