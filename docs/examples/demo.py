"""The demo behind ``make demo``: start the platform, train, promote, predict over HTTP, and compare bit for bit; then
roll out a good version and a bad one under live traffic (``delivery.py``); then let the traffic drift (``stream.py``).

It uses a platform that is already up, and starts one otherwise. With ``--exit`` it ends after that: 0 where every
answer equals the local prediction, the good version was promoted, the bad one rolled back, and drift was told for the
one feature that drifted, 1 otherwise. Everything it does to the platform goes through public interfaces.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import headgate
import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from docs.examples.delivery import deliver
from docs.examples.stream import drift_away

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REGISTRY = f"http://127.0.0.1:{os.environ.get('HEADGATE_REGISTRY_PORT', '5000')}"
SERVING = f"http://127.0.0.1:{os.environ.get('HEADGATE_SERVING_PORT', '8080')}"
DEFAULTS = ("http://127.0.0.1:5000", "http://127.0.0.1:8080")
MODELS = ("breast-cancer", "diabetes")
START_SECONDS = 120

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Compared:
    """One version's answer over HTTP beside the prediction made here."""

    model: str
    version: str
    rows: int
    equal: int
    milliseconds: float
    first: object
    stable: bool


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end after the last act")
    leave = parser.parse_args().exit
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with platform() as ours:
        try:
            console.print(
                "\n[bold]1.[/] Train and register, with a plain MLflow script (docs/examples/train.py); some seconds"
            )
            train("train.py")
            console.print(
                "\n[bold]2.[/] Wait until both new versions of each model are checked, then promote the newest"
            )
            chosen = promote()
            console.print("\n[bold]3.[/] Call the versioned URLs over HTTP, and compare with the local prediction")
            results = [compare(model, version, stable) for model, version, stable in chosen]
            show(results)
            good = all(r.equal == r.rows for r in results)
            verdict = "Every answer equals the local prediction, bit for bit." if good else "SOME ANSWERS DIFFER."
            console.print(f"\n[bold]{verdict}[/]")
            console.print("\n[bold]4.[/] Train three versions of churn (docs/examples/churn.py), to be rolled out")
            console.print("   To watch what follows, type in another terminal:")
            console.print(f"     [bold].venv/bin/headgate{flags()} rollout watch churn --follow[/]")
            train("churn.py")
            decided = deliver(REGISTRY, SERVING, console)
            verdict = "The good version was promoted, the bad one rolled back." if decided else "THAT WENT WRONG."
            console.print(f"\n[bold]{verdict}[/]")
            good = good and decided
            console.print("\n[bold]7.[/] Let the customers change, and see what the platform says of it")
            noticed = drift_away(REGISTRY, SERVING, console)
            if noticed is not None:
                for words in ("drift churn --limit 1", "quality churn"):
                    headgate_says(words)
                verdict = (
                    "The price drifted, and nothing else was blamed." if noticed else "THAT WAS NOT NOTICED RIGHT."
                )
                console.print(f"\n[bold]{verdict}[/]")
            good = good and noticed is not False
            if not leave:
                invite(results[-1], ours)
                if ours:
                    signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0 if good else 1


@contextmanager
def platform() -> Iterator[bool]:
    """Use the platform that answers, or start one and stop it at the end; yield whether it is the demo's own."""
    if answers(REGISTRY) and answers(SERVING):
        console.print(f"Using the platform that is up already: {REGISTRY} and {SERVING}")
        yield False
        return
    # In a session of its own, so that Ctrl-C reaches the demo first; the launcher sees that it never outlives us.
    launcher = [sys.executable, "-I", "-S", str(ROOT / "deploy/local/child.py"), "--parent", str(os.getpid()), "--"]
    command = [*launcher, sys.executable, "-m", "deploy.local"]
    # Nodes tell what they have counted every second here, every ten otherwise, and a window of rows is judged after
    # three seconds, five minutes otherwise: the acts are short ones.
    environment = {"HEADGATE_WINDOW_SECONDS": "1", "HEADGATE_DRIFT_SECONDS": "3"} | os.environ
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.PIPE)
    ready = threading.Event()
    telling = threading.Thread(target=pass_on, args=(process, ready), daemon=True)
    telling.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        # Its own word that it is ready, and not our look at it: what it says then must stand above what we say next.
        while not ready.wait(0.1):
            if process.poll() is not None:
                sys.exit(process.returncode)
            if time.monotonic() > deadline:
                sys.exit(f"the platform was not ready within {START_SECONDS} s; its log is below var/logs")
        yield True
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        telling.join(timeout=5)


def pass_on(process: subprocess.Popen[bytes], ready: threading.Event) -> None:
    """Print what the platform says until it ends; set ``ready`` once it has said that it is."""
    assert process.stdout is not None  # a pipe was asked for
    while said := os.read(process.stdout.fileno(), 65536):
        console.print(said.decode(errors="replace"), end="", markup=False)
        if b"Headgate is ready" in said:
            ready.set()


def answers(url: str) -> bool:
    """Tell whether the process at ``url`` is ready."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def train(script: str) -> None:
    """Run a training script as a user would: with MLFLOW_TRACKING_URI and nothing else."""
    quiet = {"PYTHONWARNINGS": "ignore", "MLFLOW_LOGGING_LEVEL": "ERROR", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = (
        os.environ | quiet | {"MLFLOW_TRACKING_URI": REGISTRY, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    )
    done = subprocess.run([sys.executable, HERE / script], env=environment, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if "score" in line:
            console.print(f"   {line}")
    if done.returncode:
        sys.exit(f"training failed:\n{done.stderr[-3000:]}")


def promote() -> list[tuple[str, str, bool]]:
    """Make the newest version of each model stable; return (model, version, stable?) for the two newest of each."""
    chosen = []
    with headgate.Client(registry_url=REGISTRY, serving_url=SERVING) as client:
        for model in MODELS:
            newest = sorted((v.version for v in client.versions(model)), key=int)[-2:]
            for version in newest:
                client.wait_until_ready(model, version, timeout=60)
            client.promote(model, newest[-1], note="demo")
            console.print(f"   {model}: versions {' and '.join(newest)} are ready; {newest[-1]} takes the traffic")
            chosen += [(model, version, version == newest[-1]) for version in newest]
    return chosen


def compare(model: str, version: str, stable: bool) -> Compared:
    """Send the whole data set to one version, and predict it here from the same registered model."""
    import mlflow
    from sklearn.datasets import load_breast_cancer, load_diabetes

    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    mlflow.set_tracking_uri(REGISTRY)
    rows = {"breast-cancer": load_breast_cancer, "diabetes": load_diabetes}[model](as_frame=True).data
    local = np.asarray(mlflow.pyfunc.load_model(f"models:/{model}/{version}").predict(rows))

    url = f"{SERVING}/models/{model}/versions/{version}/predict"
    body = {"dataframe_split": rows.to_dict(orient="split", index=False)}
    answer = httpx.post(url, json=body, timeout=60)  # the first call loads the version
    started = time.perf_counter()
    answer = httpx.post(url, json=body, timeout=60)
    milliseconds = (time.perf_counter() - started) * 1000
    answer.raise_for_status()
    remote = np.asarray(answer.json()["predictions"], dtype=local.dtype)
    equal = int(np.sum(remote == local)) if remote.shape == local.shape else 0
    return Compared(model, version, len(rows), equal, milliseconds, answer.json()["predictions"][0], stable)


def show(results: list[Compared]) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False)
    for column in ("Model", "Version", "Traffic", "Equal, bit for bit", "One call", "First answer"):
        numeric = column in ("Equal, bit for bit", "One call", "First answer")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for r in results:
        verdict = f"{r.equal} of {r.rows} rows" + (" ✓" if r.equal == r.rows else " ✗")
        first = f"{r.first:.2f}" if isinstance(r.first, float) else str(r.first)
        traffic = "stable" if r.stable else "–"
        table.add_row(r.model, r.version, traffic, verdict, f"{r.milliseconds:.0f} ms", first)
    console.print(table)


def headgate_says(words: str) -> None:
    """Run the command line as a person would, and show what it prints."""
    console.print(f"\n   [bold]$ headgate {words}[/]")
    sys.stdout.flush()
    urls = ["--registry-url", REGISTRY, "--serving-url", SERVING]
    subprocess.run([sys.executable, "-m", "headgate.cli", *urls, *words.split()], check=False)


def invite(last: Compared, ours: bool) -> None:
    """Print lines to try while the platform is up."""
    console.print("\nTry it yourself, in another terminal:")
    body = example(last.model)
    for path in (f"/models/{last.model}/versions/{last.version}/predict", f"/models/{last.model}/predict"):
        console.print(f"  curl -s {SERVING}{path} -H 'content-type: application/json' \\\n    -d '{body}'")
    for words in ("status", f"promote {last.model} 1", "rollout status churn", "drift churn", "traffic history churn"):
        console.print(f"  .venv/bin/headgate{flags()} {words}")
    console.print(f"\nMLflow's pages are at {REGISTRY}." + (" The platform stays up; Ctrl-C stops it." if ours else ""))


def flags() -> str:
    """Return what the command line needs to find this platform."""
    return "" if (REGISTRY, SERVING) == DEFAULTS else f" --registry-url {REGISTRY} --serving-url {SERVING}"


def example(model: str) -> str:
    """Return one row of the model's data as a request body."""
    from sklearn.datasets import load_breast_cancer, load_diabetes

    data: Any = {"breast-cancer": load_breast_cancer, "diabetes": load_diabetes}[model](as_frame=True).data.head(1)
    return json.dumps({"dataframe_split": data.round(4).to_dict(orient="split", index=False)})


if __name__ == "__main__":
    sys.exit(main())
