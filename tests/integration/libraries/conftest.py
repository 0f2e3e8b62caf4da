"""An index with a few small packages, and uv set to it alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.package_index import PackageIndex, serving_index


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """The index: ``mlflow`` 2.9 and 1.30, ``alpha`` (which needs ``beta``), ``beta``, ``omega`` 1 and 2."""
    with serving_index(tmp_path / "index") as served:
        monkeypatch.setenv("UV_DEFAULT_INDEX", served.url)
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.delenv("UV_CACHE_DIR", raising=False)
        for version in ("1.30", "2.9"):
            served.add("mlflow", version)
        served.add("alpha", "1.0", ["beta>=1"])
        served.add("beta", "1.5")
        served.add("setuptools", "80.0")  # which old releases of MLflow need
        for version in ("1.0", "2.0"):
            served.add("omega", version)
        yield served
