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
    Route("POST", "/models/{name}/predict_stream", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/predict_stream", Access.PREDICT),
    Route("POST", "/models/{name}/aliases/{alias}/predict_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/infer", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/infer", Access.PREDICT),
    Route("POST", "/v2/models/{name}/generate", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/generate", Access.PREDICT),
    Route("POST", "/v2/models/{name}/infer_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/infer_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/generate_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/generate_stream", Access.PREDICT),
    Route("POST", "/models/{name}/feedback", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/load", Access.OPERATE),
    Route("POST", "/models/{name}/versions/{version}/unload", Access.OPERATE),
)
