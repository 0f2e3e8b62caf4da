"""How long the platform takes to be ready, what it costs idle, and how soon a logged model answers."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from tests.support.platform import Platform

RUNS = 3
MB = 1024 * 1024

LOG = """
import time, warnings, logging
warnings.simplefilter("ignore")
import mlflow, numpy as np
from sklearn.linear_model import LinearRegression
logging.getLogger("mlflow").setLevel(logging.ERROR)
X = np.random.default_rng(0).random((100, 5))
for i in range(4):
    model = LinearRegression().fit(X, X @ np.ones(5))
    mlflow.sklearn.log_model(model, name="m", registered_model_name=f"bench{i}",
                             input_example=X[:2], serialization_format="cloudpickle")
    print(time.time(), flush=True)
    time.sleep(8)
"""


def measure(scratch: Path) -> dict[str, float]:
    """Return the figures, from one platform started several times in the same home."""
    platform = Platform(scratch / "home")
    ups: list[float] = []
    try:
        for _ in range(RUNS + 1):
            started = time.perf_counter()
            platform.start()
            ups.append(time.perf_counter() - started)
            platform.stop()
        platform.start()
        time.sleep(3)
        idle = {child: platform.process(child).memory_info().rss / MB for child in ("registry", "serving")}
        ready = {child: [restart(platform, child) for _ in range(RUNS)] for child in ("registry", "serving")}
        time.sleep(15)  # the warm parent has imported its libraries by then
        answers = log_to_answer(platform)
    finally:
        platform.stop()
    return {
        "serving_ready_seconds": statistics.median(ready["serving"]),
        "serving_idle_mb": idle["serving"],
        "registry_ready_seconds": statistics.median(ready["registry"]),
        "registry_idle_mb": idle["registry"],
        "first_make_up_seconds": ups[0],
        "second_make_up_seconds": statistics.median(ups[1:]),
        "log_model_to_answer_seconds": statistics.median(answers),
        "log_model_to_answer_worst_seconds": max(answers),
    }


def restart(platform: Platform, child: str) -> float:
    """Kill a child; return the seconds from its new process's start to its readiness."""
    url = platform.registry_url if child == "registry" else platform.serving_url
    old = platform.process(child)
    old.kill()
    psutil.wait_procs([old], timeout=10)
    while True:
        if platform.is_ready(url):
            return time.time() - platform.process(child).create_time()
        time.sleep(0.01)


def log_to_answer(platform: Platform) -> list[float]:
    """Log four models with the plain client; return the seconds from ``log_model`` to each first answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOG],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**platform.environment, "MLFLOW_TRACKING_URI": platform.registry_url},
    )
    assert process.stdout is not None
    seconds = []
    for i, line in enumerate(process.stdout):
        url = f"{platform.serving_url}/models/bench{i}/versions/1/predict"
        while httpx.post(url, json={"inputs": [[1, 2, 3, 4, 5.0]]}, timeout=30).status_code != 200:
            time.sleep(0.01)
        seconds.append(time.time() - float(line))
    process.wait()
    return seconds
