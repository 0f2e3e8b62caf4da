"""A PyTriton server for one pickled model: PORT MODEL NAME. Runs in PyTriton's environment; imports nothing of ours."""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pytriton.decorators import batch  # type: ignore[import-not-found]  # it lives in an environment of its own
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor  # type: ignore[import-not-found]  # as above
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found]  # as above


def free_port() -> int:
    """Return a port that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Load the model and serve it."""
    model = pickle.loads(Path(sys.argv[2]).read_bytes())

    @batch  # type: ignore[untyped-decorator]  # as above
    def infer(inputs: Any) -> dict[str, Any]:
        return {"predictions": model.predict(inputs).reshape(-1, 1)}

    ports = TritonConfig(
        http_address="127.0.0.1", http_port=int(sys.argv[1]), grpc_port=free_port(), metrics_port=free_port()
    )
    with Triton(config=ports) as triton:
        triton.bind(
            model_name=sys.argv[3],
            infer_func=infer,
            inputs=[Tensor(name="inputs", dtype=np.float64, shape=(model.n_features_in_,))],
            outputs=[Tensor(name="predictions", dtype=model.classes_.dtype, shape=(1,))],
            config=ModelConfig(max_batch_size=256, batcher=DynamicBatcher()),
        )
        triton.serve()


if __name__ == "__main__":
    main()
