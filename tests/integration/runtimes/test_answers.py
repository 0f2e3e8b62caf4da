"""Every kind of model answers from its own process as it answers where it was trained."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import numpy as np
import pytest

from registry.errors import ModelFault
from registry.signature import Tensor
from serving.exchange import (
    ArrayOutput,
    Call,
    JsonInput,
    JsonOutput,
    Table,
    TableOutput,
    TensorInput,
    TensorsInput,
    TensorsOutput,
)
from tests.integration.runtimes.conftest import Hosts, rows
from tests.support.models import FEATURES

pytestmark = pytest.mark.integration
COLUMNAR = ("linear", "linear_unsigned", "forest", "text_labels", "xgboost", "lightgbm", "code_paths", "sum", "sparse")


def local(hosts: Hosts, kind: str, data: Any) -> Any:
    """Return what the model answers in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(hosts.models.get(kind).directory)).predict(data)


@pytest.mark.parametrize("kind", COLUMNAR)
@pytest.mark.parametrize("count", [1, 17])
def test_a_model_of_columns_answers_bit_for_bit(hosts: Hosts, kind: str, count: int) -> None:
    """A table gives the array that a DataFrame of the same columns gives locally."""
    import pandas as pd

    table = rows(count)
    frame = pd.DataFrame({name: table.arrays[i] for i, name in enumerate(FEATURES)})
    expected = local(hosts, kind, frame)
    expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected)
    with hosts.loaded(kind) as host:
        output = hosts.predict(host, table)
    assert isinstance(output, ArrayOutput)
    assert output.array.shape == expected.shape
    assert output.array.tolist() == expected.tolist()
    if expected.dtype.kind not in "OU":
        assert output.array.tobytes() == expected.tobytes()


def test_an_onnx_model_answers_bit_for_bit_and_tells_its_tensors(hosts: Hosts) -> None:
    """A graph without signature says what it takes and what it answers, and answers a dict of arrays."""
    given = np.arange(8, dtype=np.float32).reshape(2, 4)
    with hosts.loaded("onnx") as host:
        assert host.graph_inputs is not None
        assert host.graph_inputs.tensors == (Tensor("X", "float32", (-1, 4)),)
        assert host.graph_outputs is not None
        assert host.graph_outputs.tensors == (Tensor("variable", "float32", (-1, 1)),)
        output = hosts.predict(host, TensorsInput({"X": given}))
    expected = local(hosts, "onnx", {"X": given})
    assert isinstance(output, TensorsOutput)
    assert {k: v.tobytes() for k, v in output.arrays.items()} == {k: v.tobytes() for k, v in expected.items()}


def test_a_graph_of_text_gets_text(hosts: Hosts) -> None:
    """Bytes among objects are decoded: onnxruntime would take them as Python shows them."""
    with hosts.loaded("onnx_text") as host:
        output = hosts.predict(host, TensorsInput({"s": np.array([b"abc", "ü"], dtype=object)}))
        assert host.graph_outputs is not None
        assert host.graph_outputs.tensors == (Tensor("t", "str", (-1,)),)
        with pytest.raises(ModelFault, match="utf-8"):
            hosts.predict(host, TensorsInput({"s": np.array([b"\xff"], dtype=object)}))
    assert isinstance(output, TensorsOutput)
    assert output.arrays["t"].tolist() == ["abc", "ü"]


def test_a_model_of_tensors_gets_an_array(hosts: Hosts) -> None:
    """A tensor signature is called with an array of its type and shape."""
    with hosts.loaded("tensor") as host:
        output = hosts.predict(host, TensorInput(np.arange(8, dtype=np.float32).reshape(2, 2, 2)))
        assert host.graph_inputs is None
    assert isinstance(output, ArrayOutput)
    assert output.array.tolist() == [6.0, 22.0]


def test_a_tensor_of_words_is_one_to_the_model(hosts: Hosts) -> None:
    """Where MLflow found numpy's own strings in the example, the model gets such, for all that JSON has."""
    words = np.array([["ü", "b"], ["cdé", ""]], dtype=object)
    with hosts.loaded("words") as host:
        output = hosts.predict(host, TensorInput(words))
    assert output == JsonOutput(["U", "Ü", "CDÉ"])


def test_frames_and_dicts_come_back_as_such(hosts: Hosts) -> None:
    """A DataFrame is a table; a dict of arrays is named arrays."""
    with hosts.loaded("frame") as host:
        table = hosts.predict(host, rows())
    assert isinstance(table, TableOutput)
    assert table.table.names == ("a", "b", "c")
    assert [c.tolist() for c in table.table.arrays] == [[1, 2], ["x", None], [True, False]]
    with hosts.loaded("dict") as host:
        arrays = hosts.predict(host, rows())
    assert isinstance(arrays, TensorsOutput)
    assert {k: v.tolist() for k, v in arrays.arrays.items()} == {"mean": [1.5], "label": ["yes"]}


def test_text_bytes_dates_and_missing_values_reach_the_model(hosts: Hosts) -> None:
    """A table of every kind of column comes back from a model that answers its input."""
    cells = np.array(["ä", None, b"\0\xff", [1, {"$bytes": "no"}], float("nan")], dtype=object)
    when = np.array(["2026-01-02T03:04:05", "NaT"] * 2 + ["1969-01-01"], dtype="M8[ns]")
    with hosts.loaded("echo") as host:
        output = hosts.predict(host, Table(("o", "when", "n"), (cells, when, np.arange(5))))
    assert isinstance(output, TableOutput)
    objects, dates, numbers = output.table.arrays
    assert objects.tolist()[:4] == cells.tolist()[:4]
    assert objects[4] != objects[4]
    assert dates.tobytes() == when.tobytes()
    assert numbers.tolist() == [0, 1, 2, 3, 4]


def test_a_plain_value_reaches_the_model_as_it_is(hosts: Hosts) -> None:
    """Lists and dicts go in and come out untouched."""
    value = {"messages": [{"role": "user", "content": "hi"}], "n": 1 << 80}
    with hosts.loaded("echo") as host:
        assert hosts.predict(host, JsonInput(value)) == JsonOutput(value)


def test_params_reach_a_model_that_declares_them(hosts: Hosts) -> None:
    """Given params replace the declared defaults, which hold otherwise."""
    with hosts.loaded("params_signed") as host:
        assert hosts.predict(host, rows()) == JsonOutput([{"times": 2.0, "words": ["a", "b"]}])
        given = hosts.predict(host, rows(), times=5.0, words=["z"])
    assert given == JsonOutput([{"times": 5.0, "words": ["z"]}])


def test_not_a_number_comes_back_as_it_is(hosts: Hosts) -> None:
    """NaN and infinities are values of a model; protocols decide how to write them."""
    with hosts.loaded("nan") as host:
        output = hosts.predict(host, rows())
    assert isinstance(output, ArrayOutput)
    assert str(output.array.tolist()) == "[nan, inf, -inf, 1.0]"


def test_fifty_requests_at_once_get_their_own_answers(hosts: Hosts) -> None:
    """Each of many concurrent requests is answered with its own rows."""

    async def crowd(host: Any) -> list[float]:
        calls = [Call(rows(start=float(i))) for i in range(50)]
        outputs = await asyncio.gather(*(host.predict(call, 20) for call in calls))
        return [o.array.tolist()[0] for o in outputs]

    with hosts.loaded("sum") as host:
        assert hosts.run(crowd(host)) == [i * 10.0 for i in range(50)]


def test_large_inputs_and_answers_pass(hosts: Hosts) -> None:
    """Thirty megabytes go in and come out."""
    array = np.random.default_rng(1).normal(size=(1_000_000, 4))
    with hosts.loaded("echo") as host:
        output = hosts.predict(host, TensorInput(array))
    assert isinstance(output, ArrayOutput)
    assert output.array.tobytes() == array.tobytes()


def test_memory_and_load_time_are_measured(hosts: Hosts) -> None:
    """A small model costs a few megabytes of its own, and its loading took some time."""
    with hosts.loaded("linear") as host:
        assert 1 << 20 < host.memory_bytes < 100 << 20
        assert 0 < host.load_seconds < 30
        assert "no_new_privs" in host.confined


def test_two_forks_do_not_share_their_random_numbers(hosts: Hosts, tmp_path: Any) -> None:
    """Hosts of one parent do not repeat each other's random numbers."""
    from tests.support.models import servable

    directory = tmp_path / "random"
    hosts.models.save_custom(directory, "import random; return [random.random(), float(np.random.rand())]")

    async def draw() -> Any:
        host = await hosts.runtime.load(servable(directory), directory, 60)
        try:
            return await host.predict(Call(rows()), 20)
        finally:
            await host.close()

    first, second = hosts.run(draw()), hosts.run(draw())
    assert isinstance(first, JsonOutput)
    assert isinstance(second, JsonOutput)
    assert not set(first.value) & set(second.value)


def test_a_model_that_cannot_be_loaded_says_why(hosts: Hosts) -> None:
    """What loading raised is told with its own type and message; an exit is told too."""
    for kind, words in (
        ("broken", "broken_model.py. Error: not today"),
        ("dying", "while loading: it ended itself with exit status 7"),
    ):
        with pytest.raises(ModelFault) as caught, hosts.loaded(kind):
            pass
        assert caught.value.code == "model_error"
        assert words in caught.value.message
        assert str(hosts.models.get(kind).directory) not in caught.value.message
