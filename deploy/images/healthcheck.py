"""Ask the process in this container whether it lives: ``python healthcheck.py PORT_VARIABLE DEFAULT_PORT``.

Exits with 0 where ``/livez`` answers 200 within three seconds, else with 1. Liveness, not readiness: a container that
waits for others must not be restarted for it. Standard library alone, and past any proxy.
"""

from __future__ import annotations

import http.client
import os
import sys


def main(variable: str, default: str) -> int:
    """Return 0 where the process lives."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get(variable) or default), timeout=3)
    try:
        connection.request("GET", "/livez")
        return int(connection.getresponse().status != 200)
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
