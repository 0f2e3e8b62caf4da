"""Tensors fitted to what a model takes: columns, tensors, graphs, nothing; and every refusal names its tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.errors import InvalidRequest
from registry.signature import Column, Param, Schema, Signature, Tensor
from serving.exchange import Table, TensorInput, TensorsInput
from serving.protocols.limits import Limits
from serving.protocols.oip.inputs import fit_inference
from serving.protocols.oip.values import Inference, InferTensor, Parameters

LIMITS = Limits()


def column(name: str | None, kind: str, *, required: bool = True, **spec: Any) -> Column:
    """Return a column of a signature."""
    return Column(name, kind, required, {"type": kind, **spec})


def tensor(name: str, datatype: str, shape: tuple[int, ...], data: list[Any], **parameters: str) -> InferTensor:
    """Return a tensor as JSON has it."""
    return InferTensor(name, datatype, shape, data, parameters=parameters)


def fit(
    schema: Schema | None, *tensors: InferTensor, parameters: Parameters | None = None, graph: Schema | None = None
) -> Any:
    """Return what the model gets."""
    inference = Inference(tensors, parameters=parameters or {})
    return fit_inference(inference, Signature(inputs=schema), graph, LIMITS).data


def columns(*given: Column) -> Schema:
    """Return a schema of columns."""
    return Schema(columns=given)


def cells(table: Any) -> dict[str, list[Any]]:
    """Return a table's columns as lists."""
    assert isinstance(table, Table)
    return {name: array.tolist() for name, array in zip(table.names, table.arrays, strict=True)}


AB = columns(column("a", "double"), column("b", "long", required=False))


class TestColumns:
    """A signature of columns."""

    def test_one_tensor_a_column_in_any_order(self) -> None:
        """Tensors go to the columns of their names, of shape [n] or [n, 1], and the table has the signature's order."""
        found = fit(AB, tensor("b", "INT32", (2, 1), [[1], [2]]), tensor("a", "FP32", (2,), [0.5, 1]))
        assert cells(found) == {"a": [0.5, 1.0], "b": [1, 2]}
        assert [array.dtype.name for array in found.arrays] == ["float64", "int64"]

    def test_an_optional_column_may_be_missing(self) -> None:
        """Only what is required must be there."""
        assert cells(fit(AB, tensor("a", "FP64", (1,), [1.5]))) == {"a": [1.5]}

    @pytest.mark.parametrize("name", ["x", "a"])
    def test_one_tensor_holds_all_columns(self, name: str) -> None:
        """A tensor [n, columns] is the rows, whatever it is called."""
        schema = columns(column("a", "double"), column("b", "double"))
        found = fit(schema, tensor(name, "FP32", (3, 2), [1, 2, 3, 4, 5, 6]))
        assert cells(found) == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}

    def test_one_tensor_for_columns_that_differ(self) -> None:
        """Integers fit columns of integers and of floats alike."""
        assert cells(fit(AB, tensor("x", "INT64", (1, 2), [7, 8]))) == {"a": [7.0], "b": [8]}

    def test_text_bytes_and_dates(self) -> None:
        """BYTES are text, bytes or dates, as the column asks."""
        schema = columns(column("s", "string"), column("r", "binary"), column("t", "datetime"))
        found = fit(
            schema,
            tensor("s", "BYTES", (1,), ["é"]),
            InferTensor("r", "BYTES", (1,), memoryview(b"\x01\x00\x00\x00\xff"), raw=True),
            tensor("t", "BYTES", (1,), ["2026-01-31"]),
        )
        assert cells(found)["s"] == ["é"]
        assert cells(found)["r"] == [b"\xff"]
        assert found.arrays[2].tolist() == np.array(["2026-01-31"], "datetime64[ns]").tolist()

    def test_base64_where_the_tensor_says_so(self) -> None:
        """A content type of base64 makes bytes of text; without it the text's own bytes count."""
        schema = columns(column("r", "binary"))
        assert cells(fit(schema, tensor("r", "BYTES", (1,), ["/w=="], content_type="base64"))) == {"r": [b"\xff"]}
        assert cells(fit(schema, tensor("r", "BYTES", (1,), ["/w=="]))) == {"r": [b"/w=="]}

    def test_null_is_a_missing_value_where_one_may_be(self) -> None:
        """null is NaN in floats and None in text."""
        found = fit(
            columns(column("a", "double"), column("s", "string")),
            *(tensor("a", "FP64", (2,), [None, 1]), tensor("s", "BYTES", (2,), [None, "x"])),
        )
        assert np.isnan(found.arrays[0][0])
        assert found.arrays[1].tolist() == [None, "x"]

    def test_lists_and_objects(self) -> None:
        """A column of lists takes [n, length], or JSON texts; objects are JSON texts."""
        schema = columns(
            column("l", "array", items={"type": "long"}),
            column("j", "array", items={"type": "string"}),
            column("o", "object", properties={"k": {"type": "double"}}),
            column("m", "map", values={"type": "long"}),
        )
        found = fit(
            schema,
            tensor("l", "INT32", (1, 2), [1, 2]),
            tensor("j", "BYTES", (1,), ['["a", "b"]']),
            tensor("o", "BYTES", (1,), ['{"k": 1.5}']),
            tensor("m", "BYTES", (1,), ['{"x": 1}']),
        )
        assert cells(found) == {"l": [[1, 2]], "j": [["a", "b"]], "o": [{"k": 1.5}], "m": [{"x": 1}]}

    def test_columns_without_names(self) -> None:
        """They go by number where tensors are called so, else by order."""
        schema = columns(column(None, "double"), column(None, "double"))
        swapped = fit(schema, tensor("1", "FP64", (1,), [2.0]), tensor("0", "FP64", (1,), [1.0]))
        assert cells(swapped) == {"0": [1.0], "1": [2.0]}
        assert not swapped.named
        ordered = fit(schema, tensor("x", "FP64", (1,), [2.0]), tensor("y", "FP64", (1,), [1.0]))
        assert cells(ordered) == {"0": [2.0], "1": [1.0]}

    @pytest.mark.parametrize(
        ("tensors", "said"),
        [
            ([tensor("b", "INT64", (1,), [1])], "missing column 'a'"),
            ([tensor("a", "FP64", (1,), [1]), tensor("c", "FP64", (1,), [1])], "unknown column 'c'"),
            ([tensor("a", "FP64", (2,), [1, 2]), tensor("b", "INT64", (1,), [1])], "tensor 'b': expected 2 rows"),
            ([tensor("a", "FP64", (1,), [1]), tensor("b", "FP64", (1,), [1])], "tensor 'b': the model takes INT64"),
            ([tensor("a", "BYTES", (1,), ["1"])], "tensor 'a': the model takes FP64 here, got BYTES"),
            ([tensor("a", "INT64", (1,), [2**53 + 1])], "inputs.a[0]"),
            ([tensor("a", "FP64", (1, 1, 1), [1])], "shape [n] or [n, 1]"),
            ([tensor("a", "FP64", (0,), [])], "tensor 'a': has no rows"),
            ([tensor("a", "FP64", (1,), [1]), tensor("a", "FP64", (1,), [1])], "'a' is there more than once"),
            ([tensor("a", "FP64", (2,), [1])], "tensor 'a': expected 2 values"),
            ([tensor("a", "FP64", (1,), [True])], "inputs.a[0]"),
            ([tensor("a", "FP64", (1,), ["5"])], "inputs.a[0]"),
            ([tensor("a", "INT8", (1,), [128])], "inputs.a[0]"),
            ([tensor("a", "INT32", (1,), [1.5])], "inputs.a[0]"),
            ([tensor("a", "FLOAT", (1,), [1.5])], "'FLOAT' is no datatype"),
            ([tensor("a", "FP64", (2, 1), [[1], [2, 3]])], "inputs.a"),
            ([tensor("a", "FP64", (1, 2), [[1], [2]])], "tensor 'a': its data have shape [2, 1]"),
        ],
    )
    def test_refusals(self, tensors: list[InferTensor], said: str) -> None:
        """Each says which tensor it is about."""
        with pytest.raises(InvalidRequest) as refused:
            fit(AB, *tensors)
        assert said in refused.value.message


class TestTensors:
    """A signature of tensors, or a graph's inputs."""

    def test_one_without_a_name_takes_any_single_tensor(self) -> None:
        """Whatever the tensor is called, the model gets one array."""
        found = fit(Schema(tensors=(Tensor(None, "float32", (-1, 2)),)), tensor("any", "FP32", (1, 2), [1, 2]))
        assert isinstance(found, TensorInput)
        assert (found.array.dtype.name, found.array.tolist()) == ("float32", [[1.0, 2.0]])

    def test_named_ones_go_by_name(self) -> None:
        """The model gets them in its own order, and each widened where nothing is lost."""
        schema = Schema(tensors=(Tensor("a", "float64", (-1,)), Tensor("b", "str", (-1, 1))))
        found = fit(schema, tensor("b", "BYTES", (1,), ["x"]), tensor("a", "INT32", (1, 1), [[3]]))
        assert isinstance(found, TensorsInput)
        assert {name: array.tolist() for name, array in found.arrays.items()} == {"a": [3.0], "b": [["x"]]}

    def test_objects_are_text_or_bytes(self) -> None:
        """A tensor of objects, as MLflow infers it of text and of bytes alike, gets text where all of it is text; a
        graph's text is nothing else."""
        schema = Schema(tensors=(Tensor("x", "object", (-1,)),))
        assert fit(schema, tensor("x", "BYTES", (2,), [b"a", "ü".encode()])).arrays["x"].tolist() == ["a", "ü"]
        assert fit(schema, tensor("x", "BYTES", (2,), [b"a", b"\xff"])).arrays["x"].tolist() == [b"a", b"\xff"]
        with pytest.raises(InvalidRequest, match="UTF-8 text"):
            fit(None, tensor("x", "BYTES", (1,), [b"\xff"]), graph=Schema(tensors=(Tensor("x", "str", (-1,)),)))

    def test_a_graph_says_what_a_signature_does_not(self) -> None:
        """Its inputs are used where the signature declares none."""
        graph = Schema(tensors=(Tensor("X", "float32", (-1, 1)),))
        found = fit(None, tensor("X", "FP32", (1, 1), [1]), graph=graph)
        assert isinstance(found, TensorsInput)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (tensor("y", "FP32", (1, 2), [1, 2]), "missing 'x'"),
            (tensor("x", "FP64", (1, 2), [0.1, 2]), "inputs.x[0][0]"),
            (tensor("x", "FP32", (1, 3), [1, 2, 3]), "tensor 'x': expected shape [-1, 2]"),
            (tensor("x", "FP32", (0, 2), []), "tensor 'x': has no rows"),
            (tensor("x", "BOOL", (1, 2), [True, False]), "tensor 'x': the model takes FP32 here, got BOOL"),
            (tensor("x", "FP32", (1,) * 33, [1]), "33 dimensions"),
        ],
    )
    def test_refusals(self, given: InferTensor, said: str) -> None:
        """Each says which tensor it is about, and what would be right."""
        with pytest.raises(InvalidRequest) as refused:
            fit(Schema(tensors=(Tensor("x", "float32", (-1, 2)),)), given)
        assert said in refused.value.message

    def test_too_many_values_are_refused_before_they_are_read(self) -> None:
        """The declared shape counts, and no product of lengths overflows."""
        for shape in ((10**6, 10**6), (0, 10**9, 10**9, 10**9)):
            with pytest.raises(InvalidRequest, match="holds 1,000,000,000,"):
                fit(None, tensor("x", "FP32", shape, []))


class TestNothingKnown:
    """No signature, no graph."""

    def test_one_tensor_is_an_array(self) -> None:
        """As it was sent, of its own type."""
        found = fit(None, tensor("x", "INT8", (2,), [1, 2]))
        assert isinstance(found, TensorInput)
        assert found.array.dtype == np.int8

    def test_several_are_a_dict(self) -> None:
        """By name."""
        found = fit(None, tensor("x", "INT8", (1,), [1]), tensor("y", "BYTES", (1,), ["a"]))
        assert isinstance(found, TensorsInput)
        assert list(found.arrays) == ["x", "y"]

    def test_pd_makes_a_table(self) -> None:
        """Where the request's content type asks for one."""
        sent = tensor("x", "INT8", (2, 1), [1, 2]), tensor("y", "BYTES", (2,), ["a", "b"])
        assert cells(fit(None, *sent, parameters={"content_type": "pd"})) == {"x": [1, 2], "y": ["a", "b"]}

    def test_bytes_that_are_no_text_stay_bytes(self) -> None:
        """All elements of a tensor are of one type."""
        given = InferTensor("x", "BYTES", (2,), memoryview(b"\x01\0\0\0\xff\x01\0\0\0a"), raw=True)
        assert fit(None, given).array.tolist() == [b"\xff", b"a"]


def test_params_are_what_is_not_reserved() -> None:
    """The signature's params get the request's parameters; its own and unknown ones go no further."""
    signature = Signature(params=(Param("k", "long", 3, None), Param("s", "string", "x", None)))
    given: Parameters = {"k": 5, "timeout": 1000, "sequence_id": 7, "triton_enable_empty_final_response": True}
    inference = Inference((tensor("x", "FP32", (1,), [1]),), parameters={**given, "unknown": "left out"})
    assert fit_inference(inference, signature, None, LIMITS).params == {"k": 5, "s": "x"}
    assert fit_inference(inference, Signature(), None, LIMITS).params == {}
    wrong = Inference(inference.inputs, parameters={"k": "five"})
    with pytest.raises(InvalidRequest, match=r"params\.k"):
        fit_inference(wrong, signature, None, LIMITS)


def test_shared_memory_is_refused() -> None:
    """A tensor that lies elsewhere cannot be had, and the words say so."""
    region = InferTensor("x", "FP32", (1,), [], parameters={"shared_memory_region": "r"})
    with pytest.raises(InvalidRequest, match="shared memory"):
        fit(None, region)
