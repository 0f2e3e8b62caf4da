"""A BentoML service for one pickled model, whose path the file ``model`` beside it holds. Imports nothing of ours."""

# mypy: ignore-errors
# BentoML lives in an environment of its own, and its decorators have no types here.

import pickle
from pathlib import Path

import bentoml
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Model:
    """The model behind ``/predict``."""

    def __init__(self) -> None:
        path = (Path(__file__).parent / "model").read_text()
        self.model = pickle.loads(Path(path).read_bytes())

    @bentoml.api
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predict."""
        return self.model.predict(inputs)
