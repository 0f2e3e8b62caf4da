"""How long a scrape takes of a process that shows a thousand versions, all of which were asked since the last one.

From the request's first byte to the answer's last, over a connection that stays, as Prometheus asks. Not here: what
the two processes show (``scraped.py``).
"""

from __future__ import annotations

import http.client
import statistics
import sys
import time

from tests.bench.machine import python, server
from tests.support.platform import free_ports

SCRAPES = 15
FIGURES = {"serving": "scrape_ms_1000_versions", "registry": "registry_scrape_ms_1000_versions"}


def measure() -> dict[str, float]:
    """Return the median time of a scrape of each process, in milliseconds."""
    return {figure: _measure(process) for process, figure in FIGURES.items()}


def _measure(process: str) -> float:
    (port,) = free_ports(1)
    with server(python("-m", "tests.bench.scraped", process, str(port)), port) as ours:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        times, page, processor = [], b"", 0.0
        for _ in range(SCRAPES + 1):
            _get(connection, "/livez")  # there, between two scrapes, every version is asked once more
            used, begun = sum(ours.cpu_times()[:2]), time.perf_counter()
            page = _get(connection, "/metrics")
            times.append(time.perf_counter() - begun)
            processor += sum(ours.cpu_times()[:2]) - used
        connection.close()
    cost = f"{1000 * processor / len(times):.0f} ms of processor"
    print(f"  {process}: {page.count(10):,} lines, {len(page) / 1e6:.1f} MB, {cost}", file=sys.stderr)
    return 1000 * statistics.median(times[1:])


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"{path} answered {answer.status}")
    return body
