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
    Route("GET", "/models/{name}/docs", Access.READ),
    Route("GET", "/models/{name}/openapi.json", Access.READ),
    Route("GET", "/models/{name}/versions/{version}/docs", Access.READ),
    Route("GET", "/models/{name}/versions/{version}/openapi.json", Access.READ),
    Route("POST", "/models/{name}/predict", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/predict", Access.PREDICT),
    Route("POST", "/models/{name}/aliases/{alias}/predict", Access.PREDICT),
    Route("POST", "/models/{name}/predict_stream", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/predict_stream", Access.PREDICT),
    Route("POST", "/models/{name}/aliases/{alias}/predict_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/infer", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/infer", Access.PREDICT),
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
    Route("POST", "/v2/models/{name}/generate", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/generate", Access.PREDICT),
    Route("POST", "/v2/models/{name}/infer_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/infer_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/generate_stream", Access.PREDICT),
    Route("POST", "/v2/models/{name}/versions/{version}/generate_stream", Access.PREDICT),
    Route("POST", "/models/{name}/feedback", Access.PREDICT),
    Route("POST", "/models/{name}/versions/{version}/load", Access.OPERATE),
    Route("POST", "/models/{name}/versions/{version}/unload", Access.OPERATE),
    # TensorFlow Serving and KServe V1; the last segment of a POST ends with a verb: churn:predict.
    Route("GET", "/", Access.OPEN),
    Route("GET", "/v1/models", Access.READ),
    Route("GET", "/v1/models/{name}", Access.READ),
    Route("POST", "/v1/models/{name}", Access.PREDICT),
    Route("GET", "/v1/models/{name}/versions/{version}", Access.READ),
    Route("POST", "/v1/models/{name}/versions/{version}", Access.PREDICT),
    Route("GET", "/v1/models/{name}/labels/{label}", Access.READ),
    Route("POST", "/v1/models/{name}/labels/{label}", Access.PREDICT),
    Route("GET", "/v1/models/{name}/metadata", Access.READ),
    Route("GET", "/v1/models/{name}/versions/{version}/metadata", Access.READ),
    Route("GET", "/v1/models/{name}/labels/{label}/metadata", Access.READ),
    Route("GET", "/v2", Access.READ),
    Route("GET", "/v2/health/live", Access.OPEN),
    Route("GET", "/v2/health/ready", Access.OPEN),
    Route("GET", "/v2/models", Access.READ),
    Route("GET", "/v2/models/stats", Access.OBSERVE),
    Route("GET", "/v2/models/{name}", Access.READ),
    Route("GET", "/v2/models/{name}/ready", Access.READ),
    Route("GET", "/v2/models/{name}/config", Access.READ),
    Route("GET", "/v2/models/{name}/stats", Access.OBSERVE),
    Route("GET", "/v2/models/{name}/docs", Access.READ),
    Route("GET", "/v2/models/{name}/docs/dataplane.json", Access.READ),
    Route("GET", "/v2/models/{name}/versions/{version}", Access.READ),
    Route("GET", "/v2/models/{name}/versions/{version}/ready", Access.READ),
    Route("GET", "/v2/models/{name}/versions/{version}/config", Access.READ),
    Route("GET", "/v2/models/{name}/versions/{version}/stats", Access.OBSERVE),
    Route("GET", "/v2/models/{name}/versions/{version}/docs", Access.READ),
    Route("GET", "/v2/models/{name}/versions/{version}/docs/dataplane.json", Access.READ),
    Route("POST", "/v2/repository/index", Access.READ),
    Route("POST", "/v2/repository/models/{name}/load", Access.OPERATE),
    Route("POST", "/v2/repository/models/{name}/unload", Access.OPERATE),
)
