"""``make up``: wire the supervisor to the environment, the terminal and the signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local import messages
from deploy.local.children import ChildSpec, Store, names_of, plan_children
from deploy.local.home import hold_home, require_port
from deploy.local.probes import accepts
from deploy.local.settings import LocalSettings, StartError
from deploy.local.supervisor import EXIT_FORCED, EXIT_REFUSED, Supervisor
from registry.environment import SettingsProblem

# One Ctrl-C can arrive twice: from the terminal, and passed on by whoever started us (`timeout`, `uv run`).
ECHO_SECONDS = 0.5


def main() -> int:
    """Run the platform until told to stop; return the exit code."""
    try:
        settings = LocalSettings.load(os.environ)
        home = settings.home.absolute()
        with hold_home(home):
            require_port(settings.registry_host, settings.registry_port, "HEADGATE_REGISTRY_PORT")
            require_port(settings.serving_host, settings.serving_port, "HEADGATE_SERVING_PORT")
            if settings.grpc_port:
                require_port(settings.serving_host, settings.grpc_port, "HEADGATE_GRPC_PORT")
            children = plan_children(settings, home, choose_store(settings, home), os.environ)
            return asyncio.run(supervise(settings, home, children))
    except (SettingsProblem, StartError) as error:
        for line in error.lines:
            print(f"make up: {line}", file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_FORCED


def choose_store(settings: LocalSettings, home: Path) -> Store:
    """Return the user's own S3 where one is named, else plan the embedded one."""
    if settings.s3_endpoint is not None:
        return Store(settings.s3_endpoint)
    from deploy.local.seaweedfs import plan_seaweedfs

    try:
        command = plan_seaweedfs(home / "s3")
    except (OSError, ValueError, LookupError) as error:  # not installed, not writable, or its files are not its own
        raise StartError(f"the embedded S3 server cannot run: {error}") from None
    return Store(command.endpoint, command.access_key, command.secret_key, command.argv, command.env)


async def supervise(settings: LocalSettings, home: Path, children: Sequence[ChildSpec]) -> int:
    """Run the children under a supervisor that the terminal's signals reach."""
    if settings.s3_endpoint is not None and not await accepts(settings.s3_endpoint):
        say("HEADGATE_S3_ENDPOINT: nothing answers there yet; artifacts will be unavailable until it does")
    say(messages.starting_text(names_of(children), home))
    supervisor = Supervisor(
        children, home / "logs", say, lambda seconds: say(messages.ready_text(settings, home, seconds))
    )
    loop = asyncio.get_running_loop()
    first = 0.0

    def interrupt() -> None:
        nonlocal first
        if not supervisor.stopping:
            first = loop.time()
            say("Stopping (Ctrl-C again: at once) ...")
            supervisor.ask_to_stop()
        elif loop.time() - first > ECHO_SECONDS:
            say("Stopping at once.")
            supervisor.ask_to_stop(impatient=True)

    def terminate() -> None:
        # A second one adds nothing: init systems and terminals send them more than once.
        if not supervisor.stopping:
            say("Stopping ...")
            supervisor.ask_to_stop()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, terminate)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup, and then it stays so
        loop.add_signal_handler(signal.SIGHUP, terminate)
    status = await supervisor.run()
    say("Stopped.")
    return status


def say(text: str) -> None:
    """Print for the user; a terminal that is gone must not bring the platform down."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - stays open to the end of the process


if __name__ == "__main__":
    sys.exit(main())
