"""What the scripts of all clients send, and how they show what came.

It runs in each client's own environment, so it imports nothing but numpy. Not here: what a client raises
(``triton_refusals.py``, ``kserve_refusals.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = 3


def arrays(first: float = 1.0) -> list[tuple[str, str, Any]]:
    """Return the model's tensors, each with its datatype: numbers, half numbers, words."""
    x = np.arange(first, first + 2 * ROWS, dtype=np.float32).reshape(ROWS, 2)
    h = np.linspace(0.5, 1.5, ROWS, dtype=np.float16).reshape(ROWS, 1)
    words = np.array([["a"], [""], ["köln"]], dtype=object)
    return [("x", "FP32", x), ("h", "FP16", h), ("words", "BYTES", words)]


def as_told(datatype: str, array: Any) -> list[Any]:
    """Return what an output holds, as JSON has it: datatype, shape, values in their order."""
    values = [v.decode() if isinstance(v, bytes) else v for v in array.reshape(-1).tolist()]
    return [datatype, list(array.shape), values]
