"""Aliases of the whole platform: set here and in MLflow while versions are deleted, and never dangling anywhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.control import Control, Models
from tests.support.platform import until

pytestmark = pytest.mark.e2e
TIMES = 24
NAME = "aliased"


def test_an_alias_set_while_its_version_is_deleted_never_dangles(control: Control, models: Models) -> None:
    """Set over our route and with MLflow's, deleted over ours and with MLflow's, at once: what an alias names is there.

    In the end both sides name the same, and whatever is named answers.
    """
    upload = control.upload(models.answering(7))
    versions = [control.register(NAME, upload) for _ in range(TIMES + 1)]
    for version in versions:
        control.wait_ready(NAME, version, 90)
    ours = f"{control.platform.registry_url}/registry/v1/models/{NAME}"
    mlflow = f"{control.platform.registry_url}/api/2.0/mlflow"
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(3) as threads:
        for at, version in enumerate(versions[:-1]):
            named = {"name": NAME, "version": version}
            tried = [
                threads.submit(client.put, f"{ours}/aliases/ours", json={"version": version}),
                threads.submit(client.post, f"{mlflow}/registered-models/alias", json=named | {"alias": "theirs"}),
                threads.submit(client.delete, f"{ours}/versions/{version}")
                if at % 2
                else threads.submit(client.request, "DELETE", f"{mlflow}/model-versions/delete", json=named),
            ]
            set_, _, deleted = (attempt.result().status_code for attempt in tried)
            assert (set_ == 200) != (deleted in (200, 204)), (set_, deleted)
            states = {v["version"]: v["state"] for v in control.versions(NAME)}
            shown = client.get(ours).json()["aliases"]
            assert {states[number] for number in shown.values()} <= {"ready"}

        def in_step() -> bool:
            here = client.get(ours).json()["aliases"]
            model = client.get(f"{mlflow}/registered-models/get", params={"name": NAME}).json()["registered_model"]
            there = {alias["alias"]: alias["version"] for alias in model.get("aliases", [])}
            return here == there and {states.get(number) for number in there.values()} <= {"ready"}

        states = {v["version"]: v["state"] for v in control.versions(NAME)}
        until(in_step, 60, "both sides naming the same")
        for alias in client.get(ours).json()["aliases"]:
            control.wait_answer(f"{NAME}/aliases/{alias}", 7)
