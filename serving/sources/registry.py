"""How a node speaks to the registry, whatever it asks or tells: its client, and how it bears silence.

Not here: what is said (``snapshot.py``, ``reports.py``).
"""

from __future__ import annotations

import random
import ssl

import httpx

_LONGEST_PAUSE = 5.0


def registry_client(registry_url: str) -> httpx.AsyncClient:
    """Return a client for one registry; close it."""
    # Proxies are for the world outside; certificates cost 20 ms to read, so they are read only where they are used.
    verify = ssl.create_default_context() if registry_url.startswith("https:") else False
    return httpx.AsyncClient(verify=verify, trust_env=False, headers={"accept": "application/json"})


def registry_route(registry_url: str, name: str) -> str:
    """Return the address of one of the registry's own routes."""
    return f"{registry_url.rstrip('/')}/registry/v1/{name}"


def pause_seconds(failures: int) -> float:
    """Return how long to leave the registry alone after so many failures (≥ 1) in a row: 0.2, 0.4 … 5, less chance."""
    most = min(_LONGEST_PAUSE, 0.2 * float(1 << min(failures - 1, 10)))
    return most * random.uniform(0.5, 1.0)  # noqa: S311  # spreads nodes out; no secret depends on it


def is_news(failures: int) -> bool:
    """Tell whether the n-th of a row of failures is worth a log line."""
    return failures in (1, 10, 100) or failures % 1000 == 0
