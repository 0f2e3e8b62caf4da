"""A small program in place of a server: answers /readyz, notes its life in a file, and misbehaves on request."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType


class Ready(BaseHTTPRequestHandler):
    """Says yes."""

    def do_GET(self) -> None:
        """Answer 200 to everything."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def main() -> None:
    """Live as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("diary", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--exit", type=int, help="end at once with this code")
    parser.add_argument("--exit-first", type=int, help="end with this code unless the diary names us already")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--orphan", action="store_true", help="leave a process behind that holds our output open")
    options = parser.parse_args()
    known = options.diary.exists() and f"{options.name} born" in options.diary.read_text("ascii")

    def note(event: str) -> None:
        with options.diary.open("a", encoding="ascii") as file:
            file.write(f"{options.name} {event} {os.getpid()}\n")

    def end(_number: int, _frame: FrameType | None) -> None:
        if not options.stubborn:
            note("ended")
            os._exit(0)

    note("born")
    print(f"\x1b[31mhello from {options.name}", flush=True)
    signal.signal(signal.SIGTERM, end)
    if options.exit is not None:
        sys.exit(options.exit)
    if options.exit_first is not None and not known:
        sys.exit(options.exit_first)
    if options.orphan:
        note(f"left {subprocess.Popen(['sleep', '600']).pid}")
    if options.port is not None:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), Ready)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
