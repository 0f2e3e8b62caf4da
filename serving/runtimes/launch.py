"""Starts a program that ends with the node: ``python -m serving.runtimes.launch <the node's process id> program …``.

A node that is killed cannot end what it has started, so the kernel must. The wish outlives ``exec``, but only the
process itself can utter it, hence this one between. Not here: what is started, and ending it in good order.
"""

from __future__ import annotations

import os
import sys

from serving.runtimes.host.child.courtesy import step_aside
from serving.runtimes.host.child.system import die_with_parent


def main() -> None:
    """Become the program; end at once where the node has gone already."""
    die_with_parent()
    step_aside()
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 -- the node's own words, and no shell


if __name__ == "__main__":
    main()
