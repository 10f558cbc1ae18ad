from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipagent.cli.lines import MAXIMUM_LINE_BYTES, Lines
from sipagent.errors import UserError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:  # closed by the test
            continue


async def test_lines_come_one_by_one_and_then_none(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(reader)
    os.write(writer, "eins\r\nzwei \N{GREEK SMALL LETTER ALPHA}\n\nrest".encode())
    assert [await lines.next() for _ in range(3)] == ["eins", "zwei \N{GREEK SMALL LETTER ALPHA}", ""]
    os.close(writer)
    assert [await lines.next() for _ in range(3)] == ["rest", None, None]


async def test_waiting_holds_nothing_up_and_cancelling_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(reader)
    os.write(writer, b"begun ")
    waiting = asyncio.create_task(lines.next())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    os.write(writer, b"and done\n")
    assert await asyncio.wait_for(lines.next(), 10) == "begun and done"


async def test_who_asks_first_is_served_first(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(reader)
    first, second = asyncio.create_task(lines.next()), asyncio.create_task(lines.next())
    await asyncio.sleep(0)
    os.write(writer, b"one\ntwo\n")
    async with asyncio.timeout(10):
        assert (await first, await second) == ("one", "two")


async def test_a_file_and_nothing_at_all_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("a\nb\n", encoding="utf-8")
    with file.open("rb") as opened:
        lines = Lines(opened.fileno())
        assert [await lines.next() for _ in range(3)] == ["a", "b", None]
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        assert await Lines(nothing).next() is None
    finally:
        os.close(nothing)


async def test_what_is_no_text_is_replaced(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"caf\xe9\n")
    assert await Lines(reader).next() == "caf�"


async def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "flood"
    file.write_bytes(b"x" * (MAXIMUM_LINE_BYTES * 2))
    with file.open("rb") as opened, pytest.raises(UserError, match="longer than 65536 bytes"):
        await Lines(opened.fileno()).next()


async def test_a_terminal_that_was_closed_has_no_lines() -> None:
    main, terminal = os.openpty()
    os.close(main)
    try:
        assert await asyncio.wait_for(Lines(terminal).next(), 10) is None
    finally:
        os.close(terminal)
