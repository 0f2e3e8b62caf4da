"""What runs inside a model's own environment: the warm parent, which forks hosts, and hosts, which run one model each.

This folder is run by whatever Python the model was saved with (3.9 or newer, MLflow 2.0 or newer), so it imports the
standard library alone, and numpy, pandas and mlflow once they are needed; nothing of the platform. It is loaded under
a private name and never enters ``sys.path``, so that no model can meet a module of ours by one of its own names. Not
here: deciding what runs where (``runtime.py``), and judging what a host says (``frames.py``, ``process.py``).

    node ──control socket (JSON messages, descriptors)──► parent ──fork──► host ──frames──► node

Arguments: the descriptor of the control socket, the node's process id, how hosts are confined, the directory of the
platform's own data, ``warm`` (import libraries ahead) or ``bare``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "_headgate_child"


def main() -> None:
    """Load the files beside this one as a package of a private name, and be a parent."""
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(PACKAGE)
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    parent = importlib.import_module(PACKAGE + ".parent")
    descriptor, node, mode, hidden, warmth = sys.argv[1:6]
    parent.serve(int(descriptor), int(node), warm=warmth == "warm", mode=mode, hidden=hidden)


if __name__ == "__main__":
    main()
