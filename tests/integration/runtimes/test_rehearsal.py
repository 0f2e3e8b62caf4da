"""What a host finds out before it is called ready: that the example runs, and how the model is called fastest."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.errors import ModelFault
from serving.exchange import ArrayOutput, Table, TensorInput
from serving.ports import LoadFault
from tests.integration.runtimes.conftest import Hosts, rows
from tests.integration.runtimes.test_batching import custom, loaded, numbers
from tests.support.models import FEATURES, servable, training

pytestmark = pytest.mark.integration


def test_a_model_that_fails_its_own_example_is_not_loaded(hosts: Hosts, tmp_path: Path) -> None:
    """The load says so, with the model's own words; its process has told that itself and did not die."""
    directory = custom(hosts, tmp_path / "model", "return model_input.sum(axis=1).to_numpy()")
    (code,) = directory.glob("*_model.py")
    code.write_text(
        code.read_text().replace("return model_input", "raise KeyError('no such thing'); return model_input")
    )
    with pytest.raises(LoadFault) as caught:
        hosts.run(hosts.runtime.load(servable(directory), directory, 60))
    assert caught.value.code == "model_error"
    assert "its saved example fails: KeyError: 'no such thing'" in caught.value.message
    assert not caught.value.died


def test_a_process_that_dies_of_the_example_is_told_apart(hosts: Hosts, tmp_path: Path) -> None:
    """Who loads it learns that it died, how, and what it printed last."""
    directory = custom(hosts, tmp_path / "model", "return model_input.sum(axis=1).to_numpy()")
    (code,) = directory.glob("*_model.py")
    code.write_text(
        code.read_text().replace("return model_input", "print('farewell'); import os; os._exit(4); return model_input")
    )
    with pytest.raises(LoadFault, match="exit status 4") as caught:
        hosts.run(hosts.runtime.load(servable(directory), directory, 60))
    assert caught.value.died
    assert "farewell" in caught.value.last_output


def test_a_damaged_example_refuses_the_load(hosts: Hosts, tmp_path: Path) -> None:
    """An example that cannot be read is an example that fails."""
    directory = custom(hosts, tmp_path / "model", "return model_input.sum(axis=1).to_numpy()")
    (directory / "input_example.json").write_text("{nonsense")
    with pytest.raises(ModelFault, match="its saved example fails"):
        hosts.run(hosts.runtime.load(servable(directory), directory, 60))


def test_an_example_with_params_is_replayed_with_them(hosts: Hosts, tmp_path: Path) -> None:
    """Declared parameters keep MLflow's own predict, which fills in those that are not given."""
    body = "return model_input.sum(axis=1).to_numpy() * params['times']"
    example = (training()[0].head(2), {"times": 2.0})
    with loaded(hosts, custom(hosts, tmp_path / "model", body, input_example=example)) as (host, _):
        assert (host.ready.example, host.ready.way) == (True, "full")
        assert numbers(hosts.predict(host, rows(), times=3.0)) == [15.0]
        assert numbers(hosts.predict(host, rows())) == [10.0]


@pytest.mark.parametrize(
    ("kind", "way"),
    [("linear", "array"), ("forest", "array"), ("linear_unsigned", "full"), ("sum", "full"), ("params_signed", "full")],
)
def test_the_fastest_way_that_answers_the_same_is_taken(hosts: Hosts, kind: str, way: str) -> None:
    """Numeric models with a signature get arrays; what was not tried goes through MLflow."""
    with hosts.loaded(kind) as host:
        assert host.ready.way == way


def test_a_model_that_needs_its_columns_gets_a_frame(hosts: Hosts, tmp_path: Path) -> None:
    """Where an array raises or answers otherwise, the DataFrame stays."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = training()
    picked = ColumnTransformer([("some", StandardScaler(), [FEATURES[2], FEATURES[0]])])
    model = make_pipeline(picked, LinearRegression()).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            tmp_path / "model",
            signature=infer_signature(x, model.predict(x)),
            input_example=x.head(3),
            serialization_format="cloudpickle",
            pip_requirements=["mlflow", "scikit-learn"],
        )
    with loaded(hosts, tmp_path / "model") as (host, _):
        assert host.ready.way == "flavour"
        table = Table(FEATURES, tuple(x[name].to_numpy() for name in FEATURES))
        assert numbers(hosts.predict(host, table)) == model.predict(x).tolist()


def test_another_form_than_the_one_that_was_tried_goes_the_full_way(hosts: Hosts) -> None:
    """Columns in another order reach the model by their names, not by their places."""
    with hosts.loaded("forest") as host:
        straight = hosts.predict(host, rows(3))
        turned = Table(tuple(reversed(FEATURES)), tuple(reversed(rows(3).arrays)))
        assert numbers(hosts.predict(host, turned)) == numbers(straight)


def test_what_a_model_writes_to_its_input_stays_with_that_request(hosts: Hosts, tmp_path: Path) -> None:
    """Headers of equal requests are read once; a model that renames its columns changes nothing for the next."""
    body = """
        model_input.columns.name = 'mine'
        model_input.iloc[:, 0] = 0.0
        answer = [[model_input.columns.tolist(), float(model_input.sum().sum())]]
        model_input.columns = ['other'] * model_input.shape[1]
        return answer
    """
    with loaded(hosts, custom(hosts, tmp_path / "model", body, input_example=None)) as (host, _):
        first, second = hosts.predict(host, rows()), hosts.predict(host, rows())
    assert first == second


def test_a_tensor_model_answers_the_same_by_the_short_way(hosts: Hosts, tmp_path: Path) -> None:
    """An array signature spares MLflow's enforcement, which the node has done."""
    example = np.arange(6.0).reshape(2, 3)
    directory = custom(hosts, tmp_path / "model", "return model_input * 2", input_example=example)
    with loaded(hosts, directory) as (host, _):
        assert host.ready.way == "flavour"
        output = hosts.predict(host, TensorInput(example + 1))
    assert isinstance(output, ArrayOutput)
    assert output.array.tolist() == ((example + 1) * 2).tolist()


def test_the_example_of_an_older_mlflow_is_read(hosts: Hosts, tmp_path: Path) -> None:
    """Examples were once saved under other names: what MLmodel says is what counts."""
    import yaml

    directory = custom(hosts, tmp_path / "model", "return model_input.sum(axis=1).to_numpy()")
    described: dict[str, Any] = yaml.safe_load((directory / "MLmodel").read_text())
    info = described["saved_input_example_info"]
    frame = training()[0].head(3)
    (directory / "example.json").write_text(json.dumps({"columns": list(FEATURES), "data": frame.to_numpy().tolist()}))
    described["saved_input_example_info"] = {
        "artifact_path": "example.json",
        "type": "dataframe",
        "pandas_orient": "split",
    }
    assert info["type"] == "dataframe"
    (directory / "MLmodel").write_text(yaml.safe_dump(described))
    with loaded(hosts, directory) as (host, _):
        assert (host.ready.example, host.batching) == (True, True)
