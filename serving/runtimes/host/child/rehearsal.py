"""Tries a model before it is called ready: its own example must not fail, and the first request is as fast as others.

Along the way it is found out how the model is best called (``ways.py``), and whether requests may be joined for it
(``rows.py``). Not here: loading (``loading.py``), and what is answered to the node (``host.py``).
"""

from __future__ import annotations

import contextlib
import gc
from typing import Any

from .answer import answer
from .example import Laid, lay_example, made_up, made_up_for_graph, saved_example
from .loading import graph_inputs, loader_of
from .rows import KNOWN_LOADERS, judge
from .ways import Model

TURNS = 2


def rehearse(loaded: Any, path: str) -> tuple[Model, dict[str, Any]]:
    """Return a model ready to answer, and what was found: ``example``, ``way``, ``streams``, ``batching`` and
    its reason.

    Raises what the model raises for its saved example.
    """
    loader = loader_of(loaded)
    model = Model(loaded, loader)
    example, params = saved_example(loaded, path)
    laid = None
    if example is not None:
        if params:
            loaded.predict(example, params=params)
        else:
            laid = lay_example(loaded, example)
            model.choose(laid) if laid is not None else loaded.predict(example)
    else:
        laid = _made_up(loaded, loader, model)
    invented = made_up(loaded) or made_up_for_graph(graph_inputs(loaded)) if loader in KNOWN_LOADERS else None
    batching, reason = judge(loaded, loader, model.predict, laid if example is not None else None, invented)
    if laid is not None:
        _warm_up(model, laid)
    gc.collect()
    gc.freeze()  # what is loaded now is not looked through again while requests wait
    return model, {
        "example": example is not None,
        "way": model.way,
        "streams": model.streams,
        "batching": batching,
        "batching_reason": reason,
    }


def _made_up(loaded: Any, loader: str, model: Model) -> Any:
    """Try rows that nobody saved; whatever happens is no fault of the model."""
    laid = made_up(loaded) if loader in KNOWN_LOADERS else None
    if laid is not None:
        try:
            model.choose(laid)
        except Exception:  # noqa: BLE001 -- a model may well refuse what is made up
            return None
    return laid


def _warm_up(model: Model, laid: Laid) -> None:
    # As a request goes, to the last byte, so that nothing is left to be imported or looked up.
    with contextlib.suppress(Exception):
        for rows in (laid.part(0, 1), laid):
            for _ in range(TURNS):
                answer(model, 0, {"input": rows.spec}, rows.buffers)
