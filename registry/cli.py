"""The registry's command: ``python -m registry``. Everything it can be told is in the environment."""

from __future__ import annotations

import argparse
import os
import sys
from typing import NoReturn

from registry.edge.server import CannotListen, listen, serve
from registry.environment import SettingsProblem, is_loopback
from registry.errors import HeadgateError
from registry.log import WARNING, configure, event
from registry.settings import RegistrySettings

USAGE = 2
MAX_ARTIFACT_CHUNKS = 2**31


def main() -> None:
    """Run the registry until SIGTERM or Ctrl-C. Exits with 2 where it cannot start as it was told."""
    argparse.ArgumentParser(
        prog="headgate-registry",
        description="Run the model registry. Settings are HEADGATE_… variables: docs/reference/settings.md.",
    ).parse_args()
    try:
        settings = RegistrySettings.load(os.environ)
        server = listen(settings.registry_host, settings.registry_port, "HEADGATE_REGISTRY_PORT")
    except (SettingsProblem, CannotListen) as error:
        _refuse(error.lines if isinstance(error, SettingsProblem) else [str(error)])
    configure(settings.log_level)
    if not is_loopback(settings.registry_host):
        event("registry.open_to_others", WARNING, host=settings.registry_host, auth="off")
    # Late: MLflow takes seconds to import, and a wrong setting should be told at once.
    from registry.bootstrap import build

    try:
        process = build(settings)
    except HeadgateError as error:
        _refuse([error.message])
    # An artifact may come in as many chunks as MLflow's client likes.
    serve(process.app, server, leave=process.leave, max_chunks=MAX_ARTIFACT_CHUNKS)


def _refuse(lines: list[str]) -> NoReturn:
    for line in lines:
        print(f"headgate-registry: {line}", file=sys.stderr)  # noqa: T201 (the command's own words, before there is a log)
    raise SystemExit(USAGE)
