"""The queue between a socket and whoever listens."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.realtime.stream import EventStream

PATIENCE_S = 60.0


async def settled(task: asyncio.Task[None]) -> bool:
    """Whether ``task`` is through once everything that can run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


async def test_events_come_in_order_and_then_the_end() -> None:
    stream: EventStream[int] = EventStream(10)
    for number in range(3):
        await stream.put(number)
    stream.end()
    stream.end()
    assert [number async for number in stream] == [0, 1, 2]
    assert [number async for number in stream] == []


async def test_a_full_stream_makes_its_writer_wait_and_loses_nothing() -> None:
    stream: EventStream[int] = EventStream(2)

    async def write() -> None:
        for number in range(5):
            await stream.put(number)
        stream.end()

    writer = asyncio.create_task(write())
    assert not await settled(writer)
    assert await anext(stream) == 0
    assert not await settled(writer)
    async with asyncio.timeout(PATIENCE_S):
        assert [number async for number in stream] == [1, 2, 3, 4]
        await writer


async def test_several_writers_share_the_room() -> None:
    stream: EventStream[int] = EventStream(1)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as writers:
        for number in range(5):
            writers.create_task(stream.put(number))
        assert sorted([await anext(stream) for _ in range(5)]) == [0, 1, 2, 3, 4]


async def test_what_the_reader_causes_itself_never_waits() -> None:
    stream: EventStream[int] = EventStream(2)
    await stream.put(1)
    stream.put_at_once(2)
    stream.put_at_once(3)
    writer = asyncio.create_task(stream.put(4))
    assert not await settled(writer)
    assert [await anext(stream), await anext(stream)] == [1, 2]
    assert not await settled(writer), "still as full as allowed"
    assert await anext(stream) == 3
    async with asyncio.timeout(PATIENCE_S):
        await writer
    assert await anext(stream) == 4


async def test_the_end_frees_a_waiting_writer_and_drops_what_comes_behind_it() -> None:
    stream: EventStream[int] = EventStream(2)
    await stream.put(1)
    writer = asyncio.create_task(stream.put(2))
    assert not await settled(writer)
    stream.end()
    async with asyncio.timeout(PATIENCE_S):
        await writer
        await stream.put(3)
    assert [number async for number in stream] == [1, 2]


async def test_the_end_frees_a_waiting_reader() -> None:
    stream: EventStream[int] = EventStream(1)

    async def read() -> None:
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    reader = asyncio.create_task(read())
    assert not await settled(reader)
    stream.end()
    async with asyncio.timeout(PATIENCE_S):
        await reader


async def test_cancelling_a_reader_or_a_writer_loses_no_event() -> None:
    stream: EventStream[int] = EventStream(2)
    reader: asyncio.Task[int] = asyncio.ensure_future(stream.__anext__())
    await asyncio.sleep(0)
    await stream.put(1)
    reader.cancel()  # in the same turn in which its event came
    await asyncio.wait([reader])
    writer = asyncio.create_task(stream.put(2))
    assert not await settled(writer)
    writer.cancel()  # what is queued is queued
    await asyncio.wait([writer])
    another = asyncio.create_task(stream.put(3))
    async with asyncio.timeout(PATIENCE_S):
        assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
        await another


async def test_it_says_whether_there_is_room() -> None:
    stream: EventStream[int] = EventStream(1)
    before = stream.has_room
    stream.put_at_once(1)
    after = stream.has_room
    assert (before, after) == (True, False)


async def test_whether_anybody_reads_is_known() -> None:
    stream: EventStream[int] = EventStream(1)
    stream.put_at_once(1)
    assert not stream.was_read
    assert await anext(aiter(stream)) == 1
    assert stream.was_read


async def test_what_is_offered_is_taken_where_there_is_room() -> None:
    stream: EventStream[int] = EventStream(2)
    reader: asyncio.Task[int] = asyncio.ensure_future(stream.__anext__())
    await asyncio.sleep(0)
    taken = [stream.offer(1), stream.offer(2), stream.offer(3)]
    assert taken == [True, True, False]
    async with asyncio.timeout(PATIENCE_S):
        assert [await reader, await anext(stream)] == [1, 2]
    assert stream.offer(4)
    stream.end()
    assert stream.offer(5), "dropped, and nobody need wait"
    assert [number async for number in stream] == [4]


async def test_what_is_offered_to_a_reader_that_is_being_cancelled_is_kept() -> None:
    stream: EventStream[int] = EventStream(2)
    reader: asyncio.Task[int] = asyncio.ensure_future(stream.__anext__())
    await asyncio.sleep(0)
    reader.cancel()
    assert stream.offer(1)
    await asyncio.wait([reader])
    assert await anext(stream) == 1
