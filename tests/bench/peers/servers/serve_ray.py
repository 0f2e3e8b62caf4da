"""A Ray Serve deployment for one pickled model: PORT MODEL NAME. Runs in Ray's environment; imports nothing of ours."""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray  # type: ignore[import-not-found]  # it lives in an environment of its own
from ray import serve


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Model:
    """The model behind every path."""

    def __init__(self, path: str) -> None:
        self.model = pickle.loads(Path(path).read_bytes())

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Predict."""
        rows = np.array((await request.json())["inputs"])
        return {"predictions": self.model.predict(rows).tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 1024 * 1024)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    application = Model.bind(sys.argv[2])  # type: ignore[attr-defined]  # as above
    serve.run(application, route_prefix="/predict", name="model")
    while True:
        time.sleep(3600)
