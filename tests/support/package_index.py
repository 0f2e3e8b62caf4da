"""A package index on a free port of this machine, with packages of one line each: resolving and installing for real,
with nobody's network."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class PackageIndex:
    """Wheels below ``root``, as an index lists them; ``url`` is what uv is given."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.url = root, f"http://127.0.0.1:{port}/simple"

    def add(self, name: str, version: str, requires: Sequence[str] = ()) -> None:
        """Publish a package: a module of its own name that knows its version."""
        folder = self.root / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        _wheel(folder / f"{name}-{version}-py3-none-any.whl", name, version, requires)
        links = (f'<a href="{w.name}#sha256={_sha256(w)}">{w.name}</a>' for w in sorted(folder.glob("*.whl")))
        (folder / "index.html").write_text("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>")

    def tamper(self, name: str, version: str) -> None:
        """Put other bytes under a wheel's name, and tell their hash on the page: what a broken-into index does."""
        self.add(name, version, ["surprise"])


@contextmanager
def serving_index(root: Path) -> Iterator[PackageIndex]:
    """Serve an index for as long as the block runs."""
    (root / "simple").mkdir(parents=True, exist_ok=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield PackageIndex(root, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that the library calls it by
        """Say nothing."""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wheel(path: Path, name: str, version: str, requires: Sequence[str]) -> None:
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{name}.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},sha256={_urlsafe(text)},{len(text)}\n" for file, text in files.items())
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in (files | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}).items():
            wheel.writestr(zipfile.ZipInfo(file), text)  # of no date: the same bytes each time


def _urlsafe(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
