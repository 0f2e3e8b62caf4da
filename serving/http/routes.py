"""Every route of a serving node, with the scope that it will need. What is not here does not exist.

Not here: what the routes do (``lane.py``, ``app.py``).
"""

from __future__ import annotations

from registry.edge.gate import Access, Route

SERVING_ROUTES: tuple[Route, ...] = (
    Route("GET", "/livez", Access.OPEN),
    Route("GET", "/readyz", Access.OPEN),
    Route("GET", "/metrics", Access.OBSERVE),
    Route("GET", "/openapi.json", Access.OBSERVE),
    Route("GET", "/docs", Access.OBSERVE),
    Route("GET", "/models", Access.READ),
    Route("GET", "/models/{name}", Access.READ),
    Route("GET", "/models/{name}/versions/{version}", Access.READ),
    Route("POST", "/models/{name}/predict", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/predict", Access.PREDICT),
    Route("POST", "/models/{name}/aliases/{alias}/predict", Access.PREDICT),
    Route("POST", "/models/{name}/invocations", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/invocations", Access.PREDICT),
    Route("POST", "/models/{name}/aliases/{alias}/invocations", Access.PREDICT),
    Route("POST", "/models/{name}/invoke", Access.PREDICT),
    Route("POST", "/invocations", Access.PREDICT),
    *(
        Route("GET", f"{prefix}/{ending}", access)
        for prefix, access in (
            ("", Access.OPEN),
            ("/models/{name}", Access.READ),
            ("/models/{name}/versions/{version}", Access.READ),
            ("/models/{name}/aliases/{alias}", Access.READ),
        )
        for ending in ("ping", "health", "version")
    ),
    Route("POST", "/models", Access.OPERATE),
    Route("DELETE", "/models/{name}", Access.OPERATE),
    Route("POST", "/models/{name}/feedback", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/load", Access.OPERATE),
    Route("POST", "/models/{name}/versions/{version}/unload", Access.OPERATE),
)
