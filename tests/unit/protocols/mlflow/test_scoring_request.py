"""MLflow's scoring bodies: which are read, what a model gets of them, and that no bytes do anything else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from registry.errors import HeadgateError, InvalidRequest
from registry.signature import Signature, parse_signature
from serving.exchange import Call, JsonInput, Table, TensorInput, TensorsInput
from serving.protocols.limits import Limits
from serving.protocols.mlflow.request import (
    TARGET_MODEL,
    ScoringRequest,
    media_type,
    read_scoring,
    read_scoring_at_root,
)
from serving.protocols.request import Head
from tests.support.mutation import mutated
from tests.support.scoring_exchanges import exchanges
from tests.unit.protocols.signatures import column, tensor

LIMITS = Limits()
PARAMS = [
    {"name": "times", "type": "double", "default": 2.0, "shape": None},
    {"name": "word", "type": "string", "default": "w", "shape": None},
]
MIXED = parse_signature({"inputs": [column("a", "double"), column("b", "long"), column("d", "boolean")]})
CHAT = parse_signature(
    {
        "inputs": [
            column("messages", "array", items={"type": "object", "properties": {"role": {"type": "string"}}}),
            column("temperature", "double", required=False),
        ],
        "params": PARAMS,
    }
)


def read(body: Any, content_type: str | None = "application/json") -> ScoringRequest:
    """Read a body."""
    return read_scoring(body if isinstance(body, bytes) else json.dumps(body).encode(), Head(content_type), LIMITS)


def shaped(body: Any, signature: Signature = MIXED) -> Call:
    """Read a body and fit it."""
    return read(body).shape(signature, None, LIMITS)


def cells(call: Call) -> dict[str, list[Any]]:
    """Return a table's columns."""
    assert isinstance(call.data, Table)
    return {name: array.tolist() for name, array in zip(call.data.names, call.data.arrays, strict=True)}


def refused(body: Any, signature: Signature = MIXED) -> InvalidRequest:
    """Return the error with which a body is refused."""
    with pytest.raises(InvalidRequest) as caught:
        shaped(body, signature)
    return caught.value


def test_columns_that_the_signature_does_not_name_are_left_out() -> None:
    """As MLflow has it, in every form; our own protocol refuses them."""
    row = {"d": True, "z": [1, {"deep": None}], "b": 2, "a": 1}
    split = {"columns": list(row), "data": [list(row.values())]}
    bodies = ({"dataframe_records": [row]}, {"dataframe_split": split}, {"inputs": [row]}, {"instances": [row]})
    for body in bodies:
        assert cells(shaped(body)) == {"a": [1.0], "b": [2], "d": [True]}


def test_named_arrays_that_the_signature_does_not_name_are_left_out() -> None:
    """The same for tensors."""
    signature = parse_signature({"inputs": [tensor("x", "float64", -1), tensor("y", "int64", -1)]})
    for body in ({"inputs": {"x": [1], "y": [2], "z": ["?"]}}, {"instances": [{"x": 1, "y": 2, "z": 3}]}):
        data = shaped(body, signature).data
        assert isinstance(data, TensorsInput)
        assert list(data.arrays) == ["x", "y"]


def test_other_keys_and_unknown_params_are_left_out() -> None:
    """Whatever else stands in the object, and parameters that nobody declared, change nothing."""
    body = {"inputs": {"a": [1], "b": [2], "d": [True]}, "signature_name": "x", "params": {"unknown": 1}}
    call = shaped(body)
    assert (cells(call)["a"], call.params) == ([1.0], {})
    assert shaped({**body, "params": [1]}).params == {}


def test_declared_params_are_checked_and_those_given_come_first() -> None:
    """As MLflow orders them; a wrong type is refused by name."""
    signature = Signature(MIXED.inputs, None, parse_signature({"params": PARAMS}).params)
    body = {"inputs": {"a": [1], "b": [2], "d": [True]}}
    call = shaped({**body, "params": {"word": "q", "zz": 1}}, signature)
    assert list(call.params.items()) == [("word", "q"), ("times", 2.0)]
    assert refused({**body, "params": {"times": "x"}}, signature).details["path"] == "params.times"
    assert refused({**body, "params": "x"}, signature).details["path"] == "params"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"a": True, "b": 2.0, "d": 1}, {"a": [1.0], "b": [2], "d": [True]}),
        ({"a": 1, "b": True, "d": 0.0}, {"a": [1.0], "b": [1], "d": [False]}),
        ({"a": None, "b": -3.0, "d": False}, {"a": [None], "b": [-3], "d": [False]}),
    ],
)
def test_a_value_of_the_wrong_type_is_taken_where_nothing_is_lost(
    row: dict[str, Any], expected: dict[str, list[Any]]
) -> None:
    """Integers written as floats, flags as numbers: in rows, records and columns alike."""
    split = {"columns": list(row), "data": [list(row.values())]}
    columns = {name: [cell] for name, cell in row.items()}
    bodies = (
        {"dataframe_records": [row]},
        {"dataframe_split": split},
        {"inputs": columns},
        {"inputs": [[*row.values()]]},
    )
    for body in bodies:
        got = {
            name: [None if np.isnan(cell) else cell for cell in column] for name, column in cells(shaped(body)).items()
        }
        assert got == expected


@pytest.mark.parametrize("row", [{"b": 2.5}, {"a": "1"}, {"d": 2}, {"d": "true"}, {"b": 2.0**60}, {"b": None}])
def test_a_value_that_would_lose_something_is_refused(row: dict[str, Any]) -> None:
    """The first error stands: it names what the caller sent."""
    error = refused({"dataframe_records": [{"a": 1, "b": 2, "d": True, **row}]})
    assert error.code == "invalid_input"
    assert error.details["column"] == next(iter(row))


def test_tensors_are_eased_too() -> None:
    """An array of flags is one of floats, and of whole floats one of integers."""
    floats = parse_signature({"inputs": [tensor(None, "float32", -1, 2)]})
    integers = parse_signature({"inputs": [tensor("y", "int64", -1)]})
    data = shaped({"inputs": [[True, 1], [0, False]]}, floats).data
    assert isinstance(data, TensorInput)
    assert data.array.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    named = shaped({"inputs": {"y": [3.0]}}, integers).data
    assert isinstance(named, TensorsInput)
    assert named.arrays["y"].tolist() == [3]


def test_bare_nan_is_a_missing_value() -> None:
    """MLflow's own client writes it for a DataFrame's missing cells; infinities are what they say."""
    call = shaped(b'{"dataframe_records": [{"a": NaN, "b": 1, "d": true}, {"a": -Infinity, "b": 2, "d": true}]}')
    first, second = cells(call)["a"]
    assert np.isnan(first)
    assert second == float("-inf")
    assert refused(b'{"dataframe_records": [{"a": 1, "b": NaN, "d": true}]}').code == "invalid_input"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"inputs": [NaN, "\\ud800"]}', "malformed_json"),
        (b'{"inputs": NaN', "malformed_json"),
        (b'{"inputs": NaN, "inputs": 1}', "duplicate_key"),
        (b'{"inputs": ' + b"[" * 70 + b"NaN" + b"]" * 70 + b"}", "too_deep"),
        (b"", "malformed_json"),
        (b"[1]", "invalid_argument"),
        (b"{}", "invalid_argument"),
        (b'{"inputs": 1, "instances": 1}', "invalid_argument"),
    ],
)
def test_what_is_no_body_says_so(body: bytes, code: str) -> None:
    """Being kind to NaN lets nothing else in."""
    assert refused(body).code == code


def test_a_body_that_is_itself_the_input_reaches_the_model_whole() -> None:
    """A chat, a completion, texts: the object itself, less the declared parameters; nothing else is cut off."""
    body = {"prompt": "x", "times": 3, "max_tokens": 5, "params": {"word": "q"}}
    signature = parse_signature({"params": PARAMS})
    request = read(body)
    call = request.shape(signature, None, LIMITS)
    assert call.data == JsonInput({"prompt": "x", "max_tokens": 5, "params": {"word": "q"}})
    assert call.params == {"times": 3.0, "word": "w"}
    assert request.bare


def test_a_chat_is_held_against_the_signature_before_the_model_sees_it() -> None:
    """What a caller got wrong is the caller's error; the model gets the body as it came."""
    talk = [{"role": "user"}]
    assert shaped({"messages": talk, "unknown": 1}, CHAT).data == JsonInput({"messages": talk, "unknown": 1})
    assert refused({"messages": "hello"}, CHAT).code == "invalid_input"
    assert refused({"messages": talk, "temperature": "hot"}, CHAT).code == "invalid_input"
    assert refused({"prompt": "x"}, CHAT).details["reason"] == "missing"


def test_numbers_named_like_a_chat_stay_a_table() -> None:
    """A model whose column happens to be called ``input`` is asked as any other."""
    signature = parse_signature({"inputs": [column("input", "double")]})
    assert cells(shaped({"input": [1, 2.5]}, signature)) == {"input": [1.0, 2.5]}
    texts = parse_signature({"inputs": [column("input", "string")]})
    assert shaped({"input": ["a", "b"]}, texts).data == JsonInput({"input": ["a", "b"]})


def test_a_list_for_a_type_hint_goes_to_the_model_as_it_is() -> None:
    """``list[Item]`` is one column without a name: its list of objects is what the model's own types judge."""
    items = parse_signature({"inputs": [column(None, "object", properties={"a": {"type": "long"}})]})
    assert shaped({"inputs": [{"a": 1}, {}]}, items).data == JsonInput([{"a": 1}, {}])
    assert refused({"inputs": [{"a": 1}, 2]}, items).code == "invalid_input"
    assert refused({"inputs": []}, items).code == "invalid_input"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; Charset=UTF-8", "application/json"),
        ('text/csv; charset="utf-8"', "text/csv"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("application/json;", "application/json"),
        ("", "application/json"),
        ("text/plain", None),
        ("application/json; format=pandas-split", None),
        ("text/csv; charset=latin-1", None),
        ("application/vnd.apache.arrow.stream", None),
    ],
)
def test_three_types_are_read_and_no_parameter_but_charset(content_type: str, expected: str | None) -> None:
    """As MLflow has it, but for the case of letters and quotes, which mean nothing."""
    if expected is not None:
        assert media_type(content_type) == expected
        return
    with pytest.raises(InvalidRequest) as caught:
        media_type(content_type)
    assert caught.value.code == "unsupported_media_type"


def test_a_table_is_left_to_the_reader_of_tables() -> None:
    """CSV and Parquet are handed on unread, and with the word that unknown columns may go."""
    table = read(b"a,b\n1,2\n", "text/csv").table
    assert table is not None
    assert (table.form, table.value, table.drops_unknown) == ("csv", b"a,b\n1,2\n", True)


def test_the_root_takes_no_other_models_name() -> None:
    """SageMaker's header names a model where a path does, and not here."""
    head = Head("application/json", None, {TARGET_MODEL: b"other"})
    with pytest.raises(InvalidRequest, match="invoke"):
        read_scoring_at_root(b'{"inputs": [1]}', head, LIMITS)
    assert read_scoring_at_root(b'{"inputs": [1]}', Head(None), LIMITS).parsed.value == [1]


def test_any_bytes_are_read_or_refused() -> None:
    """Damaged bodies of every form give a call or an error that was meant, against signatures of every kind."""
    seeds = [e.body for e in exchanges() if e.content_type == "application/json"]
    seeds += [
        b'{"messages": [{"role": "user", "content": "hi"}], "times": 3, "temperature": 0.5}',
        b'{"dataframe_records": [{"a": 1.0, "b": 2.0, "d": 1}], "params": {"times": 1}}',
        b'{"inputs": [[1.0, true], [NaN, 0]]}',
        b'{"input": ["a", "b"], "prompt": null}',
        b'{"inputs": [{"a": 1}, {"a": 2}]}',
    ]
    signatures = (
        Signature(),
        MIXED,
        CHAT,
        parse_signature({"inputs": [tensor(None, "float32", -1, 2)]}),
        parse_signature({"inputs": [column(None, "object", properties={"a": {"type": "long"}})]}),
    )
    for at, body in enumerate(mutated(seeds)):
        try:
            read_scoring(body, Head("application/json"), LIMITS).shape(signatures[at % len(signatures)], None, LIMITS)
        except HeadgateError as error:
            assert isinstance(error, InvalidRequest)
