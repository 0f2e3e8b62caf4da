"""Whatever a table does to the process that reads it, the node answers, and the next table is read."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.errors import HeadgateError, Internal, InvalidRequest, ModelFault, Refused, Unavailable
from serving.exchange import Call, Table
from serving.protocols.native import ARROW, CSV, PARQUET
from serving.reader.reader import ReaderBounds
from tests.support.table_reader import Tables, crashing_parquet, gone, parquet, state, stream, table_reader, until

pytestmark = pytest.mark.integration
GOOD = b"a,b\n1,x\n"


def reads(tables: Tables) -> bool:
    """Tell whether a good table is read."""
    data = tables.read(CSV, GOOD).data
    return isinstance(data, Table) and data.names == ("a", "b")


def pid_of(tables: Tables) -> int:
    """Return the process id of the one reader, after making sure that there is one."""
    assert reads(tables)
    (pid,) = tables.reader.pids
    return pid


async def stopped(tables: Tables, pid: int, seconds: float = 60) -> asyncio.Task[Call]:
    """Stop a reader and give it a table, which it cannot read then."""
    os.kill(pid, signal.SIGSTOP)
    assert until(lambda: state(pid) == "T")
    task = asyncio.ensure_future(tables.ask(CSV, GOOD, seconds=seconds))
    await asyncio.sleep(0.05)
    return task


def test_a_table_that_crashes_its_reader_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """A file that kills the library's process is a 400 that names its form; the next table gets a new reader."""
    with table_reader() as tables:
        before = pid_of(tables)
        for _ in range(2):
            error = tables.refused(PARQUET, crashing_parquet())
            assert isinstance(error, InvalidRequest)
            assert (error.code, error.message) == ("invalid_argument", "the body is not a valid Parquet file")
        assert tables.lost == ["died", "died"]
        assert pid_of(tables) != before
        assert gone(before)
    assert capfd.readouterr().out == ""


def test_metadata_that_contradicts_itself_is_refused(tables: Tables) -> None:
    """A column that is called required, with statistics of an optional one: asked for them, the library aborts."""
    good = parquet(pa.table({"a": ["x", None]}))
    bad = good.replace(b"\x25\x02\x18\x01a", b"\x25\x00\x18\x01a")  # repetition, then the name
    assert bad != good
    assert tables.refused(PARQUET, bad).code == "invalid_argument"
    assert reads(tables)


def test_types_that_nest_too_deep_are_no_table(tables: Tables) -> None:
    """Where the library survives the depth, the column's type is refused."""
    assert tables.refused(PARQUET, crashing_parquet(500)).code == "invalid_input"


def _files() -> dict[str, bytes]:
    table = pa.table(
        {"a": [1.5, None] * 20, "b": ["x", "y"] * 20, "c": pa.array(["p", "q"] * 20).dictionary_encode(),
         "d": [[1], [2, 3]] * 20, "o": [{"k": "v"}, None] * 20, "t": pa.array([1, 2] * 20, pa.timestamp("ms"))}
    )  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=15, data_page_version="2.0")
    return {
        "plain": parquet(table),
        "groups": sink.getvalue(),
        "stream": stream(table),
        "compressed": stream(table, compression="zstd"),
    }


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Return a file with a few bytes changed, most of them in a Parquet file's footer, or cut off."""
    body = bytearray(raw)
    start = len(body) - 8 - int.from_bytes(body[-8:-4], "little") if raw.endswith(b"PAR1") else 0
    for _ in range(chance.choice((1, 1, 2, 4))):
        low = start if chance.random() < 0.7 else 0
        body[chance.randrange(low, len(body))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(body[: chance.randrange(len(body))] if chance.random() < 0.2 else body)


def test_damaged_tables_are_read_or_refused(tables: Tables) -> None:
    """Of three hundred damaged files each is a table or a refusal; the node does not notice, and reads on."""
    files = list(_files().items())
    for seed in range(300):
        chance = random.Random(seed)
        name, raw = chance.choice(files)
        kind = PARQUET if name in ("plain", "groups") else ARROW
        try:
            assert tables.read(kind, damaged(raw, chance)).data.rows >= 1
        except HeadgateError as error:
            assert isinstance(error, InvalidRequest), (seed, error.code)
            assert error.code in {"invalid_argument", "invalid_input", "too_many_values", "body_too_large"}, seed
    assert set(tables.lost) <= {"died"}
    assert reads(tables)


def test_any_bytes_are_read_or_refused(tables: Tables) -> None:
    """Bytes that are nothing at all are refused, whatever they are said to be."""
    for seed in range(100):
        chance = random.Random(seed)
        body = chance.choice((b"", b"PAR1", b"\xff\xff\xff\xff")) + chance.randbytes(chance.randrange(1, 200))
        body += chance.choice((b"", b"PAR1", chance.randbytes(1) + b"\x00\x00\x00PAR1"))
        for kind in (PARQUET, ARROW):
            assert isinstance(tables.refused(kind, body), InvalidRequest)


def test_a_table_that_takes_too_long_costs_its_reader() -> None:
    """After the most that a table may take its reader is ended, and the caller told to send less."""
    with table_reader(ReaderBounds(most=0.2, restart=0)) as tables:
        pid = pid_of(tables)

        async def ask() -> None:
            await (await stopped(tables, pid))

        with pytest.raises(InvalidRequest, match="took too long to read; send fewer rows") as caught:
            tables.run(ask())
        assert caught.value.code == "invalid_argument"
        assert gone(pid)
        assert tables.lost == ["slow"]
        assert reads(tables)


def test_an_impatient_caller_does_not_cost_the_others_their_reader() -> None:
    """A deadline of the caller's own ends the wait with 504; the table is read to its end, and the reader lives."""
    with table_reader() as tables:
        pid = pid_of(tables)

        async def ask() -> None:
            task = await stopped(tables, pid, seconds=0.1)
            with pytest.raises(ModelFault) as caught:
                await task
            assert caught.value.code == "model_timeout"
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.2)

        tables.run(ask())
        assert pid_of(tables) == pid
        assert tables.lost == []


def test_two_tables_are_read_at_once_and_the_rest_waits_or_is_refused() -> None:
    """One slow table leaves a second reader; when both are taken, few may wait, and the next is refused."""
    with table_reader(ReaderBounds(waiting=1, restart=0)) as tables:
        first = pid_of(tables)

        async def crowd() -> None:
            slow = await stopped(tables, first)
            await tables.ask(CSV, GOOD)
            (second,) = set(tables.reader.pids) - {first}
            also = await stopped(tables, second)
            waiting = asyncio.ensure_future(tables.ask(CSV, GOOD))
            await asyncio.sleep(0.05)
            with pytest.raises(Refused) as caught:
                await tables.ask(CSV, GOOD)
            assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1)
            for pid in (first, second):
                os.kill(pid, signal.SIGCONT)
            for task in (slow, also, waiting):
                assert (await task).data.rows == 1

        tables.run(crowd())
        assert tables.lost == []


def test_a_killed_reader_costs_at_most_the_table_that_it_read() -> None:
    """kill -9 in the middle of a table is a 400 for it; kill -9 in between is not noticed."""
    with table_reader() as tables:
        pid = pid_of(tables)

        async def kill() -> None:
            task = await stopped(tables, pid)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(InvalidRequest, match="not a valid CSV"):
                await task

        tables.run(kill())
        os.kill(pid := pid_of(tables), signal.SIGKILL)
        assert gone(pid)
        tables.run(asyncio.sleep(0.05))
        assert reads(tables)
        assert tables.lost == ["died"]


def test_an_idle_reader_ends() -> None:
    """After a while without a table its memory returns; the next table gets a new one."""
    with table_reader(ReaderBounds(idle=0.1, restart=0)) as tables:
        pid = pid_of(tables)
        tables.run(asyncio.sleep(0.3))
        assert tables.reader.pids == []
        assert gone(pid)
        assert reads(tables)
        assert tables.lost == []


def test_restarts_are_paced() -> None:
    """Three readers may be lost at once; from then on a new one has to wait."""
    with table_reader(ReaderBounds(restart=0.5)) as tables:
        begun = time.monotonic()
        for _ in range(5):
            tables.refused(PARQUET, crashing_parquet())
        assert reads(tables)
        assert time.monotonic() - begun >= 0.9


def test_a_reader_that_cannot_start_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its interpreter there is no reading, and no caller is blamed."""
    with table_reader() as tables:
        for program in ("/nowhere/python", "/bin/false"):
            monkeypatch.setattr(sys, "executable", program)
            assert isinstance(tables.refused(CSV, GOOD), Internal)
        monkeypatch.undo()
        assert reads(tables)


def test_closing_answers_what_is_under_way() -> None:
    """A node that stops tells whoever waits, and leaves no process."""
    with table_reader() as tables:
        pid = pid_of(tables)

        async def close() -> None:
            task = await stopped(tables, pid)
            await tables.reader.close()
            with pytest.raises(Unavailable) as caught:
                await task
            assert caught.value.code == "shutting_down"

        tables.run(close())
        assert gone(pid)


NODE = """
import asyncio
from tests.support.table_reader import Tables, ReaderBounds

with asyncio.Runner() as runner:
    tables = Tables(runner, ReaderBounds())
    tables.read("text/csv", b"a\\n1\\n")
    print(*tables.reader.pids, flush=True)
    runner.run(asyncio.sleep(600))
"""


def test_nothing_survives_a_killed_node() -> None:
    """kill -9 of the node ends its readers, a stopped one included."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "AWS_SECRET_ACCESS_KEY": "hidden"}
    with subprocess.Popen(
        [sys.executable, "-c", NODE], stdout=subprocess.PIPE, text=True, cwd=root, env=environment
    ) as node:
        assert node.stdout is not None
        pid = int(node.stdout.readline())
        assert "AWS" not in Path(f"/proc/{pid}/environ").read_text()
        os.kill(pid, signal.SIGSTOP)
        node.send_signal(signal.SIGKILL)
        assert gone(pid)
