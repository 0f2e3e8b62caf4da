"""Real tiny models, saved as MLflow saves them, once a session: every kind that serving must answer for.

Custom models are saved from code, not pickled, so that they load wherever MLflow does.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from registry.records import Digest, VersionNumber
from registry.signature import signature_json
from registry.snapshots import ServableVersion

FEATURES = tuple(f"x{i}" for i in range(4))

# What each custom model does with its input; ``model_input`` is a DataFrame unless it has a tensor signature.
BODIES: Mapping[str, str] = {
    "sum": "return model_input.sum(axis=1).to_numpy()",
    "echo": "return model_input",
    "slow": "import time; time.sleep(0.05); return model_input.sum(axis=1).to_numpy()",
    "sleepy": "import time; time.sleep((params or {}).get('seconds', 60.0)); return [1]",
    "failing": "raise ValueError('these rows cannot be had')",
    "leaving": "raise SystemExit(3)",
    "exiting": "import os; os._exit(3)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "endless": "\nwhile True:\n    pass",
    "nan": "return np.array([np.nan, np.inf, -np.inf, 1.0])",
    "printing": "\nfor _ in range(64):\n    print('y' * (1 << 20))\nprint('the last line')\nreturn [1]",
    "params": "return [dict(params or {})]",
    "frame": "return pd.DataFrame({'a': [1, 2], 'b': ['x', None], 'c': [True, False]})",
    "dict": "return {'mean': np.array([1.5]), 'label': np.array(['yes'])}",
    "environment": "import os; return [dict(os.environ)]",
    "descriptors": """
        import os
        links = [f"/proc/self/fd/{n}" for n in range(256)]
        return [[os.readlink(link) for link in links if os.path.islink(link)]]
    """,
    "process": "import os; return [os.getpid(), os.getppid(), os.getcwd()]",
    "spawning": "import subprocess; return [subprocess.Popen(['sleep', '600'], start_new_session=True).pid]",
    "strange": "return object()",
    "sparse": "import scipy.sparse as s; return s.csr_matrix(np.eye(3))",
    "versions": "import sys; return [mlflow.__version__, np.__version__, pd.__version__, sys.prefix]",
}
# What models with ``predict_stream`` yield; ``model_input`` is what MLflow makes of one row: a dict, or a value. What
# happens in one is kept in the model and told by its predict.
STREAMS: Mapping[str, str] = {
    "words": "yield from ['to', 'be', {'or': model_input}, 4.0]",
    "counting": """
        try:
            for self.made in range(1, asked(model_input, 'most', 1_000_000) + 1):
                yield 'x' * asked(model_input, 'bytes', 1)
                time.sleep(asked(model_input, 'pause', 0.0))
        finally:
            self.closed = 'GeneratorExit' if sys.exc_info()[0] is GeneratorExit else 'end'
    """,
    "half": "yield 1; yield 2; raise ValueError('these rows cannot be had')",
    "at_once": "raise ValueError('not even one'); yield",
    "nothing": "yield from ()",
    "strangely": "yield 1; yield object()",
    "frames": "yield pd.DataFrame({'a': [1, 2]}); yield np.array([1.5, 2.5])",
    "deaf": """
        while True:
            try:
                yield 1
            except GeneratorExit:
                pass
    """,
    "hanging": "yield 1; time.sleep(60)",
    "hanging_at_its_end": """
        try:
            while True:
                yield 1
        finally:
            time.sleep(60)
    """,
    "dying": "import os; yield 1; os._exit(3)",
}
_STREAM_SOURCE = """
import sys
import time

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

def asked(row, name, default):
    value = row.get(name, default)
    return value[0] if isinstance(value, list) else value

class Model(PythonModel):
    made, closed = 0, ''

    def predict(self, context, model_input, params=None):
        return [{{'made': self.made, 'closed': self.closed}}]

    def predict_stream(self, context, model_input, params=None):
{body}

mlflow.models.set_model(Model())
"""
_SOURCE = """
import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
{body}

mlflow.models.set_model(Model())
"""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model directory, and the record by which a node would know it."""

    directory: Path
    version: ServableVersion


class SavedModels:
    """Saves each kind of model the first time it is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._saved: dict[str, SavedModel] = {}

    def get(self, kind: str) -> SavedModel:
        """Return a model: a key of BODIES, one of STREAMS after ``stream_``, or a function of this class without its
        ``save_``."""
        if kind not in self._saved:
            directory = self._root / kind
            with _quiet():
                if kind in BODIES:
                    self.save_custom(directory, BODIES[kind])
                elif kind.startswith("stream_"):
                    self.save_custom(directory, STREAMS[kind.removeprefix("stream_")], source=_STREAM_SOURCE)
                else:
                    getattr(self, f"save_{kind}")(directory)
            self._saved[kind] = SavedModel(directory, servable(directory))
        return self._saved[kind]

    def save_custom(
        self,
        directory: Path,
        body: str,
        requirements: Sequence[str] = ("mlflow",),
        *,
        source: str = _SOURCE,
        **options: Any,
    ) -> None:
        """Save a custom model whose predict is ``body``; or what ``source`` has it be."""
        code = directory.with_name(f"{directory.name}_model.py")
        code.write_text(source.format(body=textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)))
        with _quiet():
            import mlflow.pyfunc  # which warns of itself

            mlflow.pyfunc.save_model(directory, python_model=str(code), pip_requirements=list(requirements), **options)

    def save_pipeline(self, directory: Path, pipeline: Any, example_rows: int | None) -> None:
        """Fit and save a scikit-learn regressor with a signature, and an example of so many rows or none."""
        with _quiet():
            import mlflow.sklearn
            from mlflow.models import infer_signature

            x, y = training()
            pipeline.fit(x, y)
            mlflow.sklearn.save_model(
                pipeline,
                directory,
                signature=infer_signature(x, pipeline.predict(x)),
                input_example=None if example_rows is None else x.head(example_rows),
                serialization_format="cloudpickle",
                pip_requirements=["mlflow", "scikit-learn"],
            )

    def save_linear(self, directory: Path) -> None:
        """Save a scaler and a logistic regression with a signature of named columns."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        _save_sklearn(directory, make_pipeline(StandardScaler(), LogisticRegression()), signed=True)

    def save_linear_unsigned(self, directory: Path) -> None:
        """Save a linear regression without a signature."""
        from sklearn.linear_model import LinearRegression

        _save_sklearn(directory, LinearRegression(), signed=False)

    def save_forest(self, directory: Path) -> None:
        """Save a forest with a signature."""
        from sklearn.ensemble import RandomForestRegressor

        _save_sklearn(directory, RandomForestRegressor(n_estimators=10, random_state=1), signed=True)

    def save_text_labels(self, directory: Path) -> None:
        """Save a classifier that answers words."""
        from sklearn.tree import DecisionTreeClassifier

        _save_sklearn(directory, DecisionTreeClassifier(random_state=1), signed=False, words=True)

    def save_xgboost(self, directory: Path) -> None:
        """Save an XGBoost model."""
        import mlflow.xgboost
        import xgboost

        x, y = training()
        model = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(x, y)
        mlflow.xgboost.save_model(model, directory, pip_requirements=["mlflow", "xgboost"])

    def save_lightgbm(self, directory: Path) -> None:
        """Save a LightGBM model."""
        import lightgbm
        import mlflow.lightgbm

        x, y = training()
        model = lightgbm.LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(x, y)
        mlflow.lightgbm.save_model(model, directory, pip_requirements=["mlflow", "lightgbm"])

    def save_onnx(self, directory: Path) -> None:
        """Save a regression as an ONNX graph, without a signature."""
        import mlflow.onnx
        from skl2onnx import to_onnx
        from sklearn.linear_model import LinearRegression

        x, y = training()
        graph = to_onnx(LinearRegression().fit(x.to_numpy(), y), x.to_numpy().astype(np.float32)[:1])
        mlflow.onnx.save_model(graph, directory, pip_requirements=["mlflow", "onnx", "onnxruntime"])

    def save_onnx_text(self, directory: Path) -> None:
        """Save a graph that answers the text that it is given; its signature has a tensor of objects."""
        import mlflow.onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec
        from onnx import TensorProto, helper

        given, answered = (helper.make_tensor_value_info(name, TensorProto.STRING, [None]) for name in "st")
        graph = helper.make_graph([helper.make_node("Identity", ["s"], ["t"])], "text", [given], [answered])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("O"), (-1,), "s")]))
        mlflow.onnx.save_model(
            model, directory, signature=signature, pip_requirements=["mlflow", "onnx", "onnxruntime"]
        )

    def save_code_paths(self, directory: Path) -> None:
        """Save a custom model that imports a module of its own."""
        module = directory.with_name("its_own_module.py")
        module.write_text("def answer(frame):\n    return frame.max(axis=1).to_numpy()\n")
        body = "import its_own_module; return its_own_module.answer(model_input)"
        self.save_custom(directory, body, code_paths=[str(module)])

    def save_tensor(self, directory: Path) -> None:
        """Save a custom model with a tensor signature."""
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        schema = Schema([TensorSpec(np.dtype("float32"), (-1, 2, 2))])
        body = "return model_input.sum(axis=(1, 2))"
        self.save_custom(directory, body, signature=ModelSignature(inputs=schema))

    def save_words(self, directory: Path) -> None:
        """Save a custom model with a tensor of words, as MLflow infers it from an array of strings."""
        from mlflow.models import infer_signature

        signature = infer_signature(np.array([["a", "bc"]]))
        body = "return [str(model_input.dtype.kind), *np.char.upper(model_input[:, 0]).tolist()]"
        self.save_custom(directory, body, signature=signature)

    def save_bytes(self, directory: Path) -> None:
        """Save a custom model that takes a column of bytes, and answers the very bytes of each row."""
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        signature = ModelSignature(inputs=Schema([ColSpec("binary", "image")]))
        self.save_custom(directory, "return [bytes(one) for one in model_input['image']]", signature=signature)

    def save_negative(self, directory: Path) -> None:
        """Save a custom model that takes pictures of 8 × 8 pixels and answers them inverted."""
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, 8, 8, 3))]))
        self.save_custom(directory, "return 255 - model_input", signature=signature)

    def save_params_signed(self, directory: Path) -> None:
        """Save a custom model with declared parameters."""
        from mlflow.models import infer_signature

        x, _ = training()
        signature = infer_signature(x, np.array([1.0]), params={"times": 2.0, "words": ["a", "b"]})
        body = "return [dict(params or {})]"
        self.save_custom(directory, body, signature=signature)

    def save_broken(self, directory: Path) -> None:
        """Save a model that cannot be loaded."""
        self.save_custom(directory, "return [1]")
        for code in directory.glob("*_model.py"):
            code.write_text("raise RuntimeError('not today')\n")

    def save_dying(self, directory: Path) -> None:
        """Save a model whose loading ends the process."""
        self.save_custom(directory, "return [1]")
        for code in directory.glob("*_model.py"):
            code.write_text("import os\nos._exit(7)\n")


def training() -> tuple[Any, Any]:
    """Return 60 rows of four named features, and what is to be predicted."""
    import pandas as pd

    generator = np.random.default_rng(7)
    x = pd.DataFrame(generator.normal(size=(60, len(FEATURES))), columns=list(FEATURES))
    return x, x.to_numpy() @ np.array([1.0, -2.0, 0.5, 3.0]) + generator.normal(size=60)


def _save_sklearn(directory: Path, model: Any, signed: bool, words: bool = False) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    x, y = training()
    target = np.where(y > 0, "many", "few") if words else y
    if "Logistic" in str(model):
        target = y > 0
    model.fit(x, target)
    mlflow.sklearn.save_model(
        model,
        directory,
        signature=infer_signature(x, model.predict(x)) if signed else None,
        input_example=x.head(2) if signed else None,
        serialization_format="cloudpickle",
        pip_requirements=["mlflow", "scikit-learn"],
    )


def servable(directory: Path) -> ServableVersion:
    """Return the record of a saved model, as admission would read it."""
    described = yaml.safe_load((directory / "MLmodel").read_text())
    requirements = (directory / "requirements.txt").read_text().splitlines()
    return ServableVersion(
        version=VersionNumber("1"),
        digest=_digest_of(directory),
        size=sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()),
        runtime="host",
        signature=signature_json(described.get("signature")),
        requirements=tuple(line for line in requirements if line),
        python=described["flavors"]["python_function"].get("python_version"),
        flavors=tuple(sorted(described["flavors"])),
    )


def _digest_of(directory: Path) -> Digest:
    import hashlib

    hashed = hashlib.sha256()
    for file in sorted(f for f in directory.rglob("*") if f.is_file()):
        hashed.update(file.name.encode() + file.read_bytes())
    return Digest(f"sha256:{hashed.hexdigest()}")


@contextmanager
def _quiet() -> Iterator[None]:
    # What MLflow warns of while saving (integers, missing examples, type hints) is not what is tested.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> SavedModels:
    """Models to load."""
    return SavedModels(tmp_path_factory.mktemp("models"))
