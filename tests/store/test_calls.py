"""What is special to a database: its file, its errors, other processes, and sudden death."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy.engine.interfaces import DBAPIConnection

from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store import CallStore, open_store
from sipagent.store.records import Fact
from sipagent.store.sqlite import BUSY_TIMEOUT_MS, prepare
from tests.store.facts import CALL, ended, latency, line, opened, state

ROOT = Path(__file__).parents[2]
CPU_BUDGET_S = 0.1


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    store = open_store(url(tmp_path))
    await store.open()
    yield store
    await store.aclose()


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'calls.db'}"


async def test_calls_outlive_the_store(tmp_path: Path, store: CallStore) -> None:
    await store.apply([opened(), line("item_1", 1.0, "Hello."), ended()])
    before = await store.call(CALL)
    await store.aclose()
    again = open_store(url(tmp_path))
    await again.open()
    assert await again.call(CALL) == before
    await again.aclose()


async def test_the_database_is_set_up_for_one_writer_and_many_readers(
    tmp_path: Path, store: CallStore
) -> None:
    await store.apply([opened()])
    with sqlite3.connect(tmp_path / "calls.db") as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM calls").fetchone() == (1,)
        await store.apply([opened("rtc_two")])  # the reader's open transaction holds up nobody
        reader.rollback()
        assert reader.execute("SELECT call_id, started_at FROM calls ORDER BY call_id").fetchall() == [
            ("rtc_one", "2026-03-01 09:00:00.123456"),
            ("rtc_two", "2026-03-01 09:00:00.123456"),
        ]
    reader.close()


def test_every_connection_waits_for_others_and_checks_what_belongs_together() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA busy_timeout=0")
    prepare(cast(DBAPIConnection, connection), None)
    pragmas = ("busy_timeout", "synchronous", "foreign_keys")
    found = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas}
    normal = 1
    assert found == {"busy_timeout": BUSY_TIMEOUT_MS, "synchronous": normal, "foreign_keys": 1}
    connection.close()


async def test_a_writer_of_another_process_is_waited_for(tmp_path: Path, store: CallStore) -> None:
    other = sqlite3.connect(tmp_path / "calls.db")
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(store.apply([opened()]))
    _, pending = await asyncio.wait({write}, timeout=0.2)
    assert pending == {write}
    other.rollback()
    await write
    assert await store.call(CALL) is not None
    other.close()


async def test_a_cancelled_writer_leaves_at_once_and_its_write_ends_by_itself(
    tmp_path: Path, store: CallStore
) -> None:
    other = sqlite3.connect(tmp_path / "calls.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await store.apply([opened()])
    assert await store.call(CALL) is None
    other.rollback()
    other.close()
    await store.apply([state(1, "talking")])  # waits for the one before
    record = await store.call(CALL)
    assert record is not None
    assert record.webhook_id == "wh_rtc_one"


async def test_closing_waits_for_a_write_that_nobody_awaits_any_more(
    tmp_path: Path, store: CallStore
) -> None:
    write = asyncio.ensure_future(store.apply([opened(f"rtc_{number}") for number in range(500)]))
    await asyncio.sleep(0)
    write.cancel()
    await store.aclose()
    assert write.cancelled()
    with sqlite3.connect(tmp_path / "calls.db") as reader:
        assert reader.execute("SELECT count(*) FROM calls").fetchone() == (500,)
    reader.close()


async def test_cancelling_at_any_moment_never_leaves_the_database_locked(store: CallStore) -> None:
    for number in range(60):
        facts = [opened(f"rtc_{number}_{call}") for call in range(100)]
        write = asyncio.ensure_future(store.apply(facts))
        await asyncio.sleep(number * 0.0001)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
    await store.apply([opened()])  # a lock left behind would refuse it
    assert len(await store.calls(limit=10_000)) % 100 == 1


async def test_a_refused_write_leaves_nothing_behind_and_says_why(store: CallStore) -> None:
    unwritable = latency("accept", 2**70, 1.0)
    with pytest.raises(StoreError, match="cannot write to the database"):
        await store.apply([opened(), unwritable])
    assert await store.call(CALL) is None
    await store.apply([opened()])
    assert await store.call(CALL) is not None


async def test_a_database_that_lost_its_tables_is_an_error_of_the_store(
    tmp_path: Path, store: CallStore
) -> None:
    with sqlite3.connect(tmp_path / "calls.db") as other:
        other.execute("DROP TABLE latencies")
    other.close()
    with pytest.raises(StoreError, match="latencies"):
        await store.apply([opened(), latency("accept", 0, 1.0)])
    assert await store.calls() == ()


async def test_a_folder_that_does_not_exist_is_an_error_with_its_name(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'nowhere' / 'calls.db'}")
    with pytest.raises(StoreError, match="nowhere"):
        await store.open()
    await store.aclose()


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_text("Dear diary, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        await open_store(url(tmp_path)).open()


async def test_a_closed_store_says_that_it_is_not_open(store: CallStore) -> None:
    await store.aclose()
    for attempt in (store.ping(), store.apply([opened()]), store.calls(), store.call(CALL)):
        with pytest.raises(StoreError, match="not open"):
            await attempt


async def test_a_burst_of_calls_is_cheap_to_write(store: CallStore) -> None:
    def burst(round_: int) -> list[Fact]:
        facts: list[Fact] = []
        for name in (f"rtc_{round_}_{number}" for number in range(300)):
            facts += [opened(name), *(state(step, f"state {step}", name) for step in (1, 2, 3))]
            facts += [line("item_1", 1.0, "Good morning.", call_id=name), ended(call_id=name)]
        return facts

    await store.apply(burst(0))
    spent = []
    for round_ in range(1, 4):
        facts = burst(round_)
        before = time.process_time()
        await store.apply(facts)
        spent.append(time.process_time() - before)
    assert min(spent) < CPU_BUDGET_S


WRITER = """
import asyncio, sys
from tests.store.facts import line, opened, state
from sipagent.store import open_store

async def write():
    store = open_store(sys.argv[1])
    await store.open()
    await store.apply([opened(), state(1, "talking")])
    for number in range(10**9):
        await store.apply([line(f"item_{number}", number, f"Line {number}.")])
        print(number, flush=True)

asyncio.run(write())
"""


async def test_a_killed_process_leaves_a_readable_record(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, url(tmp_path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    written = -1
    while written < 20:
        written = int(await process.stdout.readline())
    process.kill()
    rest = await process.stdout.read()
    assert await process.wait() == -signal.SIGKILL
    written = max([written, *(int(number) for number in rest.split(b"\n")[:-1])])

    store = open_store(url(tmp_path))
    await store.open()
    record = await store.call(CALL)
    await store.aclose()
    assert record is not None
    assert (record.summary.state, record.summary.ended_at) == ("talking", None)
    # Every line whose write had returned is there, and at most the one that was under way.
    assert len(record.transcript) in (written + 1, written + 2)
    assert [said.text for said in record.transcript[:3]] == ["Line 0.", "Line 1.", "Line 2."]


OPENER = """
import asyncio, sys
from tests.store.facts import opened
from sipagent.store import open_store

async def write():
    store = open_store(sys.argv[1])
    await store.open()
    await store.apply([opened(sys.argv[2])])
    await store.aclose()

sys.stdin.readline()
asyncio.run(write())
"""


async def test_processes_that_open_a_new_database_at_once_do_not_fall_over_each_other(tmp_path: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", OPENER, url(tmp_path), f"rtc_{number}", cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    results = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * 4, results
    store = open_store(url(tmp_path))
    await store.open()
    assert {call.call_id for call in await store.calls()} == {CallId(f"rtc_{number}") for number in range(4)}
    await store.aclose()
