"""How uv is spoken to: its arguments, its variables, and what its complaints mean. Runs nothing.

The registry resolves with it when it admits a version, a node installs with it; both must mean the same by an
environment. Only built distributions are resolved and installed: a source distribution would run a stranger's code.
Nothing is fetched but from the index that the operator's uv is set to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

LINE_LIMIT = 300
_KEPT_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "NETRC",
)
_KEPT_PREFIXES = ("UV_", "SSL_CERT_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "no_proxy")
# Where the system keeps certificates, uv shall trust them, as every other program on the machine does: behind a
# company's proxy the bundled ones know nobody.
_SYSTEM_CERTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_BOUNDS = {"UV_CONCURRENT_DOWNLOADS": "4", "UV_CONCURRENT_BUILDS": "1", "UV_CONCURRENT_INSTALLS": "1"}
_ADDRESS = re.compile(r"[a-z+]+://[^\s`'\",)]+", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w.])(?:~|\.{1,2})?(?:/[^\s`'\",):]+)+")
_NOISE = re.compile(r"^[\s×╰─▶│├╭hint:]+|^error:\s*")
_NO_SOLUTION = "No solution found"
# The index was not asked, or did not let us in: that there is no solution says nothing of the packages then.
_NOT_ASKED = ("network was disabled", "Unauthorized", "Forbidden", "authentication", "could not be queried")


def uv_environment(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Return the variables uv gets: the operator's index, proxies and certificates, but no credential of ours."""
    kept = {k: v for k, v in environ.items() if k in _KEPT_VARIABLES or k.startswith(_KEPT_PREFIXES)}
    certs = {"UV_SYSTEM_CERTS": "1"} if any(Path(bundle).exists() for bundle in _SYSTEM_CERTS) else {}
    return {"UV_CACHE_DIR": str(cache), "UV_LINK_MODE": "hardlink"} | certs | kept | _BOUNDS


def find_arguments(python: str) -> tuple[str, ...]:
    """Return what makes uv print the path of an interpreter that this machine has; nothing is downloaded."""
    return ("python", "find", "--no-python-downloads", "--no-project", "--system", python)


def pyenv_python(environ: Mapping[str, str], python: str) -> Path | None:
    """Return pyenv's newest interpreter of a minor version, or None. Blocks on files.

    uv sees pyenv's shims alone, and a shim of a version that is not the chosen one refuses to run.
    """
    root = environ.get("PYENV_ROOT") or (f"{environ['HOME']}/.pyenv" if environ.get("HOME") else "")
    if not root:
        return None
    found = [path for path in Path(root).glob(f"versions/{python}.*/bin/python") if path.exists()]
    return max(found, key=lambda path: [int(n) for n in re.findall(r"[0-9]+", path.parts[-3])], default=None)


def compile_arguments(interpreter: str, asked: Path, lock: Path) -> tuple[str, ...]:
    """Return what makes uv write ``lock`` with the packages, and all their hashes, that the lines in ``asked`` need."""
    return (
        *("pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--no-build", "--quiet"),
        *("--no-python-downloads", "--python", interpreter, "--output-file", str(lock), str(asked)),
    )


def is_verdict(complaint: str) -> bool:
    """Tell whether uv, having asked the index, says that there is no solution."""
    return _NO_SOLUTION in complaint and not any(words in complaint for words in _NOT_ASKED)


def meaningful_line(output: str) -> str:
    """Return what uv said last, for people: no address, no path, at most 300 characters."""
    for line in reversed(_paragraphs(output)):
        text = _PATH.sub("…", _ADDRESS.sub("the package index", line))
        if text:
            text = text.replace(" cause: ", ": ")
            return text if len(text) <= LINE_LIMIT else text[: LINE_LIMIT - 1] + "…"
    return "the installer failed without a word"


def _paragraphs(output: str) -> list[str]:
    # uv folds long sentences and indents what follows: join them again.
    lines: list[str] = []
    for raw in output.splitlines():
        text = _NOISE.sub("", re.sub(r"\x1b\[[0-9;]*m", "", raw)).strip()
        starts = any(mark in raw for mark in "×▶") or raw.startswith(("error", "hint", "warning")) or not lines
        if "hint:" in raw:
            break  # advice on uv's own options, which nobody here can set
        if text and starts:
            lines.append(text)
        elif text:
            lines[-1] += " " + text
    return lines
