"""`make up` with stand-ins: what ``deploy.local`` does after its checks, for children that a file describes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from deploy.local.__main__ import supervise
from deploy.local.children import ChildSpec
from deploy.local.settings import LocalSettings


def main(home: Path) -> int:
    """Supervise the children of ``children.json`` in ``home``."""
    described = json.loads((home / "children.json").read_text("utf-8"))
    children = [
        ChildSpec(c["name"], tuple(c["argv"]), c.get("env", dict(os.environ)), c["ready_url"], c["stop_seconds"])
        for c in described
    ]
    return asyncio.run(supervise(LocalSettings.load({}), home, children))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
