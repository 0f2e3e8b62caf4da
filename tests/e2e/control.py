"""The registry's own interface as a deployment script uses it: upload a model directory, register it, move traffic.

Plain HTTP, so that a crash of either side is seen as what it is and not as what an SDK makes of it.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.models import SavedModels, saved_models
from tests.support.platform import Platform, until

__all__ = ["Control", "Models", "models", "saved_models"]

TABLE = {"dataframe_split": {"columns": ["x"], "data": [[0.0], [1.0]]}}
_BODY = "return np.full(len(model_input), 4242.5)"


class Models:
    """Model directories that answer with a number of their own, whatever they are asked."""

    def __init__(self, saved: SavedModels, root: Path) -> None:
        self._saved = saved
        self._root = root

    def answering(self, number: float, requirements: tuple[str, ...] = ("mlflow",)) -> Path:
        """Return a directory whose model answers ``number`` for each row."""
        pattern, directory = self._root / f"pattern{len(requirements)}", self._root / f"answers-{number}"
        if not pattern.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow warns of itself when it is imported
                self._saved.save_custom(pattern, _BODY, requirements)
        if not directory.exists():
            shutil.copytree(pattern, directory)
            code = code_of(directory)
            code.write_text(code.read_text().replace("4242.5", repr(float(number))))
        return directory

    def behaving(self, name: str, body: str) -> Path:
        """Return a directory whose model answers by ``body``, the end of its ``predict``."""
        directory = self._root / f"behaves-{name}"
        shutil.copytree(self.answering(0), directory)
        code = code_of(directory)
        code.write_text(code.read_text().replace(_BODY.replace("4242.5", "0.0"), body))
        return directory


def code_of(directory: Path) -> Path:
    """Return the file of a model directory that differs from model to model."""
    (code,) = directory.glob("*_model.py")
    return code


@pytest.fixture(scope="session")
def models(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Models to upload."""
    return Models(saved_models, tmp_path_factory.mktemp("uploads"))


class Control:
    """A platform, as seen by who operates it."""

    def __init__(self, platform: Platform, seconds: float = 30) -> None:
        self.platform = platform
        self._registry = f"{platform.registry_url}/registry/v1"
        self._seconds = seconds

    def upload(self, directory: Path) -> str:
        """Upload a directory; return the upload's id."""
        files = {
            file.relative_to(directory).as_posix(): file.read_bytes() for file in directory.rglob("*") if file.is_file()
        }
        listed = [
            {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in sorted(files.items())
        ]
        upload = self.ask("POST", "/uploads", json={"files": listed}).json()["upload"]["id"]
        for path, data in files.items():
            self.ask("PUT", f"/uploads/{upload}/files/{path}", content=data)
        self.ask("POST", f"/uploads/{upload}/commit")
        return str(upload)

    def register(self, name: str, upload: str, key: str | None = None) -> str:
        """Register an upload; return the version's number."""
        body = {"upload": upload} | ({"idempotency_key": key} if key else {})
        return str(self.ask("POST", f"/models/{name}/versions", json=body).json()["version"])

    def add(self, name: str, directory: Path) -> str:
        """Upload and register a directory, and wait until the node knows that it is ready; return the version."""
        version = self.register(name, self.upload(directory))
        self.wait_ready(name, version)
        self.wait_known(name, version)
        return version

    def wait_ready(self, name: str, version: str, seconds: float = 30) -> None:
        """Wait until a version is ready; fail where it was rejected."""
        until(lambda: self.state(name, version) == "ready", seconds, f"readiness of {name} {version}")

    def wait_known(self, name: str, version: str, seconds: float = 30) -> None:
        """Wait until the node has heard that a version is ready; it is not loaded by that."""
        url = f"{self.platform.serving_url}/models/{name}/versions/{version}"
        until(lambda: httpx.get(url).status_code == 200, seconds, f"the news of {name} {version} on the node")

    def state(self, name: str, version: str) -> str:
        """Return a version's state; fail at once where it can never be ready."""
        found = self.version(name, version)
        assert found["state"] != "rejected", found["reason"]
        return str(found["state"])

    def version(self, name: str, version: str) -> dict[str, Any]:
        """Return a version's record."""
        record: dict[str, Any] = self.ask("GET", f"/models/{name}/versions/{version}").json()
        return record

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Return all records, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/models/{name}/versions?limit=1000").json()["versions"]
        return found

    def revision(self, name: str) -> int:
        """Return the revision in force; 0 where there is no plan."""
        answer = httpx.get(f"{self._registry}/models/{name}/traffic", timeout=self._seconds)
        return int(answer.json()["revision"]) if answer.status_code == 200 else 0

    def promote(self, name: str, version: str, note: str = "", revision: int | None = None) -> int:
        """Make a version stable; return the new revision."""
        seen = self.revision(name) if revision is None else revision
        plan = {"stable": version, "note": note}
        answer = self.ask("PUT", f"/models/{name}/traffic", json=plan, headers={"if-match": f'"{seen}"'})
        return int(answer.json()["revision"])

    def history(self, name: str) -> list[dict[str, Any]]:
        """Return the journal, oldest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/models/{name}/traffic/history?limit=1000").json()["revisions"]
        return found[::-1]

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask the registry; raise where it refuses."""
        answer = httpx.request(method, self._registry + path, timeout=self._seconds, **more)
        if answer.is_error:
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        return answer

    def predict(self, path: str, headers: Mapping[str, str] | None = None, seconds: float = 90) -> httpx.Response:
        """Ask serving for two rows; ``path`` is what stands between ``/models/`` and ``/predict``."""
        url = f"{self.platform.serving_url}/models/{path}/predict"
        return httpx.post(url, json=TABLE, headers=dict(headers or {}), timeout=seconds)

    def numbers(self, path: str) -> list[float]:
        """Return what a model answers; fail on anything but an answer."""
        answer = self.predict(path)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    def wait_answer(self, path: str, number: float, seconds: float = 60) -> None:
        """Wait until a path answers with a number."""

        def right() -> bool:
            try:
                answer = self.predict(path)
            except httpx.HTTPError:
                return False
            return answer.status_code == 200 and answer.json()["predictions"] == [number, number]

        until(right, seconds, f"the answer {number} of {path}")
