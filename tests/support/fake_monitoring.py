"""The fake platform's baselines, drift, quality and labels, in the contract's JSON. Nothing is measured here."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.fake_situation import API, Problem, Situation

AT = "2026-11-20T08:12:03.000Z"
GIVEN: dict[str, Any] = {"origin": "given", "rows": 4000, "digest": "sha256:" + "b" * 64, "at": AT}
BASELINE: dict[str, Any] = {
    **GIVEN,
    "features": [
        {
            "name": "price", "kind": "number", "missing_ratio": 0.01, "min": 5.0, "max": 98.3,
            "quantiles": {"p1": 9.9, "p10": 25.6, "p25": 35.0, "p50": 45.2, "p75": 55.1, "p90": 64.3, "p99": 79.8},
            "bins": [{"label": "up to 25.6", "ratio": 0.1}, {"label": "above 64.3", "ratio": 0.1}],
        },
        {
            "name": "payment", "kind": "category", "missing_ratio": 0.0, "min": None, "max": None, "quantiles": {},
            "bins": [{"label": "card", "ratio": 0.6}, {"label": "transfer", "ratio": 0.35},
                     {"label": "cheque", "ratio": 0.05}, {"label": "(missing)", "ratio": 0.0}],
        },
    ],
    "quality": {"accuracy": 0.74},
}  # fmt: skip


def feature(name: str, psi: float | None, verdict: str = "ok", **more: Any) -> dict[str, Any]:
    """Return a feature of a judged window."""
    return {
        "name": name, "kind": "number", "verdict": verdict, "rows": 1020, "psi": psi,
        "psi_warn": 0.171, "psi_drift": 0.298, "js": 0.08, "ks": 0.031, "wasserstein": 0.052, "p_value": 0.4,
        "p_adjusted": 0.7, "missing_ratio": 0.01, "missing_ratio_baseline": 0.01, "out_of_range_ratio": 0.0,
        "new_ratio": None, "moved": [], **more,
    }  # fmt: skip


PRICE = feature(
    "price", 0.912, "drift", js=0.36, ks=0.382, wasserstein=1.004, missing_ratio=0.08, out_of_range_ratio=0.021,
    moved=[{"bin": "above 64.3", "baseline_ratio": 0.1, "window_ratio": 0.368},
           {"bin": "up to 25.6", "baseline_ratio": 0.1, "window_ratio": 0.011}],
)  # fmt: skip
PAYMENT = feature("payment", 0.004, kind="category", ks=None, wasserstein=None, out_of_range_ratio=None, new_ratio=0.0)


def window(number: int, verdict: str, *features: dict[str, Any], rows: int = 1020) -> dict[str, Any]:
    """Return a judged window."""
    return {
        "number": number, "rows": rows, "first_at": "2026-11-20T08:07:00.000Z", "last_at": "2026-11-20T08:12:00.000Z",
        "judged_at": AT, "verdict": verdict, "features": list(features),
    }  # fmt: skip


OPEN: dict[str, Any] = {"rows": 340, "needed_rows": 1000, "opened_at": AT, "closes_at": "2026-11-20T08:17:00.000Z"}
DRIFT: dict[str, Any] = {
    "baseline": GIVEN,
    "open": OPEN,
    "windows": [
        window(14, "drift", PRICE, feature("months", 0.031), PAYMENT),
        window(13, "ok", feature("price", 0.012), feature("months", 0.02), PAYMENT),
    ],
}
ARMS: list[dict[str, Any]] = [
    {
        "arm": "stable", "labelled": 812, "predictions": 1000, "rows": 2040, "coverage_ratio": 0.812,
        "delay_seconds": {"p50": 3.1, "p90": 7265.0},
        "metrics": {"accuracy": 0.7315, "precision": 0.71, "recall": 0.68, "f1": 0.6947, "log_loss": None},
        "since": "2026-11-20T00:00:00.000Z", "until": AT, "average": "macro",
    },
    {
        "arm": "canary", "labelled": 0, "predictions": 100, "coverage_ratio": 0.0, "delay_seconds": {}, "metrics": {},
        "since": None, "until": None,
    },
]  # fmt: skip
QUALITY: dict[str, Any] = {
    "task": "classification",
    "arms": ARMS,
    "training": {"accuracy": 0.74, "score": 0.9},
    "windows": [
        {"day": "2026-11-19", "arm": "stable", "rows": 640, "metrics": {"accuracy": 0.7315}, "average": "macro"}
    ],
}


def monitoring_routes(s: Situation) -> list[Route]:
    """Return the routes of both processes."""

    def place(request: Request) -> dict[str, str]:
        name, number = request.path_params["name"], request.path_params["version"]
        s.version(name, number)
        return {"model": name, "version": number}

    async def put(request: Request) -> Response:
        where, body = place(request), await request.body()
        if s.misfit:
            raise Problem(422, "invalid_input", f"the table has no column '{s.misfit}'", column=s.misfit)
        kind = request.headers["content-type"]
        s.tables.append((kind, body, dict(request.query_params)))
        s.version(where["model"], where["version"])["baseline"] = GIVEN
        return JSONResponse({**where, **BASELINE, "ignored": ["customer"]})

    async def get(request: Request) -> Response:
        where = place(request)
        if not s.version(where["model"], where["version"]).get("baseline"):
            raise Problem(404, "not_found", "this version has no baseline")
        return JSONResponse({**where, **BASELINE})

    async def drift(request: Request) -> Response:
        where = place(request)
        found = s.drifts.pop(0) if len(s.drifts) > 1 else s.drifts[0] if s.drifts else {}
        windows = found.get("windows", [])[: int(request.query_params.get("limit", 100))]
        told = int(request.query_params.get("features", 100))
        for number, one in enumerate(windows):
            if "features" in one:
                windows[number] = one | {"feature_count": len(one["features"]), "features": one["features"][:told]}
        return JSONResponse({"baseline": None, "open": None, **where, **found, "windows": windows})

    async def quality(request: Request) -> Response:
        return JSONResponse({"task": None, "arms": [], "training": {}, "windows": [], **place(request), **s.quality})

    async def feedback(request: Request) -> Response:
        s.find(request.path_params["name"])
        items = (await request.json())["items"]
        s.labels.append(items)
        refused = [
            {"index": index, "code": "unknown_request", "message": f"nothing is known of '{item['request_id']}'"}
            for index, item in enumerate(items)
            if item["request_id"].startswith("gone")
        ]
        return JSONResponse({"accepted": len(items) - len(refused), "refused": refused}, 202)

    one = f"{API}/models/{{name}}/versions/{{version}}"
    return [
        Route(f"{one}/baseline", put, methods=["PUT"]),
        Route(f"{one}/baseline", get),
        Route(f"{one}/drift", drift),
        Route(f"{one}/quality", quality),
        Route("/models/{name}/feedback", feedback, methods=["POST"]),
    ]
