"""The one thread that writes: in order, each transaction whole or not at all, whoever waits for it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from sipagent.store.writer_thread import WriterThread

INSERT = sa.text("INSERT INTO numbers (number) VALUES (:number)")
COUNT = sa.text("SELECT count(*) FROM numbers")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "numbers.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    connection.close()
    return file


@pytest.fixture
async def writer(file: Path) -> AsyncIterator[WriterThread]:
    writer = WriterThread(make_url(f"sqlite:///{file}"), prepare)
    yield writer
    await writer.dispose()


def prepare(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=5000")


def numbers(file: Path) -> list[int]:
    connection = sqlite3.connect(file)
    found = [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY rowid")]
    connection.close()
    return found


async def test_a_transaction_is_written_whole_or_not_at_all(writer: WriterThread, file: Path) -> None:
    rows = await writer.write([(INSERT, [{"number": 1}, {"number": 2}]), (COUNT, {})])
    assert [row[0] for row in rows] == [2]
    with pytest.raises(sa.exc.IntegrityError):
        await writer.write([(INSERT, {"number": 3}), (INSERT, {"number": 1})])
    assert numbers(file) == [1, 2]
    assert await writer.write([(INSERT, {"number": 4})]) == ()
    assert numbers(file) == [1, 2, 4], "it goes on after an error"


async def test_what_is_asked_at_once_is_written_in_its_order_by_one_thread(
    writer: WriterThread, file: Path
) -> None:
    counts = await asyncio.gather(
        *(writer.write([(INSERT, {"number": number}), (COUNT, {})]) for number in range(50))
    )
    assert [rows[0][0] for rows in counts] == list(range(1, 51))
    assert [thread.name for thread in threading.enumerate()].count("store writer") == 1


async def test_whoever_is_cancelled_leaves_at_once_and_it_is_written_all_the_same(
    writer: WriterThread, file: Path
) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.ensure_future(writer.write([(INSERT, {"number": number})])) for number in range(3)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    waiting[1].cancel()
    async with asyncio.timeout(30):
        await asyncio.wait(waiting[:2])
    assert not waiting[2].done()
    other.execute("ROLLBACK")
    other.close()
    assert await waiting[2] == ()
    assert numbers(file) == [0, 1, 2]


async def test_what_was_asked_before_is_written_before_it_lets_go(file: Path) -> None:
    writer = WriterThread(make_url(f"sqlite:///{file}"), prepare)
    waiting = [asyncio.ensure_future(writer.write([(INSERT, {"number": number})])) for number in range(20)]
    await asyncio.sleep(0)
    await writer.dispose()
    await writer.dispose()
    assert len(numbers(file)) == 20
    assert await asyncio.gather(*waiting) == [()] * 20
    assert "store writer" not in [thread.name for thread in threading.enumerate()]


async def test_one_that_was_never_used_has_no_thread(file: Path) -> None:
    await WriterThread(make_url(f"sqlite:///{file}"), prepare).dispose()


async def test_a_database_that_cannot_be_opened_is_an_error_each_time(tmp_path: Path) -> None:
    writer = WriterThread(make_url(f"sqlite:///{tmp_path / 'missing' / 'numbers.db'}"), prepare)
    for _ in range(2):
        with pytest.raises(sa.exc.OperationalError, match="unable to open"):
            await writer.write([(COUNT, {})])
    await writer.dispose()
