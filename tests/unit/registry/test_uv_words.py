"""How uv is spoken to, and what its complaints mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.libraries.uv import is_verdict, pyenv_python, uv_environment


@pytest.mark.parametrize(
    ("complaint", "verdict"),
    [
        ("error: No solution found when resolving dependencies\n  cause: Because there is no version of x==9\n", True),
        ("error: Request failed after 3 retries\n  cause: Failed to fetch: http://x/\n  cause: dns error\n", False),
        ("error: No solution found\n\nhint: Packages were unavailable because the network was disabled.", False),
        ("  × No solution found\n  hint: An index URL (x) returned a 403 Forbidden error.", False),
        (
            "  × No solution found\n  hint: An index URL (x) could not be queried due to a lack of valid credentials",
            False,
        ),
        ("", False),
    ],
)
def test_only_an_index_that_was_asked_can_say_no(complaint: str, verdict: bool) -> None:
    """An index that is away, or lets nobody in, says nothing of the packages."""
    assert is_verdict(complaint) is verdict


def test_uv_gets_the_operators_settings_and_no_credential(tmp_path: Path) -> None:
    """Indexes, proxies and certificates go along; what opens the bucket or the platform stays."""
    given = {
        "PATH": "/bin",
        "HOME": "/h",
        "UV_DEFAULT_INDEX": "https://index.example",
        "HTTPS_PROXY": "http://proxy.example",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "HEADGATE_API_KEY": "secret",
        "DATABASE_URL": "secret",
    }
    got = uv_environment(given, tmp_path)
    assert got["UV_DEFAULT_INDEX"] == "https://index.example" and got["HTTPS_PROXY"] == "http://proxy.example"
    assert got["UV_CACHE_DIR"] == str(tmp_path)
    assert "secret" not in got.values()
    assert uv_environment(given | {"UV_CACHE_DIR": "/shared"}, tmp_path)["UV_CACHE_DIR"] == "/shared"


def test_pyenvs_newest_patch_is_found(tmp_path: Path) -> None:
    """Of the versions that pyenv has built, the newest of the wanted minor one, by number and not by letter."""
    for version in ("3.9.2", "3.9.18", "3.10.1", "3.9-dev"):
        python = tmp_path / ".pyenv" / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
    found = pyenv_python({"HOME": str(tmp_path)}, "3.9")
    assert found is not None and found.parts[-3] == "3.9.18"
    assert pyenv_python({"HOME": "/nowhere", "PYENV_ROOT": str(tmp_path / ".pyenv")}, "3.10") is not None
    assert pyenv_python({"HOME": str(tmp_path)}, "3.1") is None
    assert pyenv_python({}, "3.9") is None
