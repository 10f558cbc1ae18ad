"""Keys that nobody has read yet."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.calls.tools.keys import MOST_KEYS, Keys


def test_keys_come_out_in_their_order() -> None:
    keys = Keys()
    assert keys.take() is None
    for key in "12#":
        keys.press(key)
    assert keys.some
    assert [keys.take() for _ in range(4)] == ["1", "2", "#", None]
    assert not keys.some


def test_a_stuck_key_does_not_fill_the_memory() -> None:
    keys = Keys()
    for number in range(MOST_KEYS + 10):
        keys.press(str(number % 10))
    taken = 0
    while keys.take() is not None:
        taken += 1
    assert taken == MOST_KEYS


def test_what_was_meant_for_nobody_is_forgotten() -> None:
    keys = Keys()
    keys.press("1")
    keys.forget()
    assert keys.take() is None


async def test_waiting_ends_with_a_key_and_loses_none() -> None:
    keys = Keys()
    waiting = asyncio.create_task(keys.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    keys.press("7")
    await keys.wait()
    assert keys.take() == "7"
    again = asyncio.create_task(keys.wait())
    await asyncio.sleep(0)
    assert not again.done()
    keys.press("8")
    await again
