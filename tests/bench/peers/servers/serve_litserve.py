"""A LitServe server for one pickled model: PORT MODEL NAME. Runs in LitServe's environment; imports nothing of ours."""

import pickle
import sys
from pathlib import Path
from typing import Any

import litserve  # type: ignore[import-not-found]  # it lives in an environment of its own
import numpy as np


class Api(litserve.LitAPI):  # type: ignore[misc]  # as above
    """The model behind ``/predict``."""

    def setup(self, device: str) -> None:
        """Load it."""
        self.model = pickle.loads(Path(sys.argv[2]).read_bytes())

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads annotations: none means JSON
        """Read the rows."""
        return np.array(request["inputs"])

    def predict(self, x: Any) -> Any:
        """Predict."""
        return self.model.predict(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Write the predictions."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
