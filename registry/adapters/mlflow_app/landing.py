"""Where MLflow's pages begin: with what this registry has, which is training runs and models.

Their own choice for who comes for the first time is an overview of calls of language models and an open assistant. Both
ask routes that do not exist here (``routes.py``), so a link to an experiment showed errors instead of its runs. Whoever
chooses otherwise on the page keeps that choice: it is their browser's. Not here: any other page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.adapters.mlflow_app.private import FIRST_CHOICES, FIRST_PAGE

_BEFORE = "<script"


def begin_with_runs(flask: Any) -> None:
    """Have the application's first page choose for who has not chosen; where it is not as expected, leave it alone."""
    file = Path(flask.static_folder) / "index.html"
    page = file.read_text(encoding="utf-8") if file.is_file() else ""
    if _BEFORE not in page or FIRST_PAGE not in flask.view_functions:
        return
    whole = page.replace(_BEFORE, f"<script>{_script()}</script>{_BEFORE}", 1)

    def serve() -> Any:
        answer = flask.response_class(whole, mimetype="text/html")
        answer.headers["cache-control"] = "no-cache"
        return answer

    flask.view_functions[FIRST_PAGE] = serve


def _script() -> str:
    """Return JavaScript that stores each choice unless there is one; a browser may refuse to store anything."""
    choices = json.dumps({key: json.dumps(value) for key, value in FIRST_CHOICES.items()})
    return (
        f"try{{for(const[k,v]of Object.entries({choices}))localStorage.getItem(k)??localStorage.setItem(k,v)}}catch{{}}"
    )
