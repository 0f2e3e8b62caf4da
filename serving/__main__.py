"""``python -m serving``: one serving node. Not here: anything else (``cli.py``)."""

from serving.cli import main

raise SystemExit(main())
