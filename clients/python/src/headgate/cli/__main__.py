"""``python -m headgate.cli`` is ``headgate``."""

from headgate.cli.app import main

main()
