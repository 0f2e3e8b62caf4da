"""Bytes that a model answers: on their way from its host, and through a batch."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from serving.exchange import JsonOutput, TensorsOutput
from serving.runtimes.host.child import values, wire
from serving.runtimes.host.frames import FrameError, Frames, read_output
from serving.runtimes.lane.batch import split


def there(answer: Any) -> Any:
    """Return an answer as the node gets it."""
    buffers: list[Any] = []
    spec = values.lay_output(answer, buffers)
    (frame,) = Frames().feed(b"".join(wire.pack({"output": spec}, buffers)))
    return read_output(frame)


@pytest.mark.parametrize("answer", [b"\x00\xff", bytearray(b"ab"), [b"a", b""], (b"a", bytearray(b"b"))])
def test_bytes_arrive_as_they_were_and_as_mlflow_writes_them(answer: Any) -> None:
    """JSON says what MLflow's server would say; what they were is kept beside."""
    found = there(answer)
    several = list(answer) if isinstance(answer, (list, tuple)) else [answer]
    assert isinstance(found, JsonOutput)
    assert found.raw == tuple(map(bytes, several))
    texts = [base64.encodebytes(one).decode() for one in several]
    assert found.value == (texts if isinstance(answer, (list, tuple)) else texts[0])
    assert found.size == sum(map(len, several))


@pytest.mark.parametrize("answer", [[], [b"a", None], [b"a"] * (values.RAW_LIMIT + 1), {"a": b"a"}, [[b"a"]]])
def test_other_answers_stay_what_they_were(answer: Any) -> None:
    """Bytes among other things, and very many, are base64 and nothing beside."""
    assert there(answer).raw == ()


def test_a_column_of_bytes_stays_one() -> None:
    """Beside other columns too; what is no column leaves the dict what it was."""
    found = there({"image": [b"\xff", b""], "name": ["a", None], "score": [1, 0.5], "sure": np.array([True, False])})
    assert isinstance(found, TensorsOutput)
    columns = {name: array.tolist() for name, array in found.arrays.items()}
    assert columns == {"image": [b"\xff", b""], "name": ["a", None], "score": [1, 0.5], "sure": [True, False]}
    assert isinstance(there({"image": [b"\xff"], "deep": [[1]]}), JsonOutput)


def test_a_host_that_lies_about_bytes_is_caught() -> None:
    """One value needs one buffer."""
    (frame,) = Frames().feed(b"".join(wire.pack({"output": {"kind": "bytes", "listed": False}}, [])))
    with pytest.raises(FrameError):
        read_output(frame)


def test_a_batch_of_bytes_is_taken_apart() -> None:
    """Each request gets the bytes of its own rows."""
    parts = split(there([b"a", b"b", b"c"]), [1, 2])
    assert parts is not None
    assert [part.raw for part in parts if isinstance(part, JsonOutput)] == [(b"a",), (b"b", b"c")]
