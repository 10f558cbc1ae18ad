from __future__ import annotations

import pytest

from sipagent.identifiers import CallId
from sipagent.store import MemoryCallStore
from tests.store.facts import ended, loaded, opened


async def test_the_oldest_call_is_forgotten_beyond_the_capacity() -> None:
    store = MemoryCallStore(capacity=2)
    await store.apply([opened("rtc_1", second=1), opened("rtc_2", second=2), ended(call_id="rtc_1")])
    await store.apply([opened("rtc_3", second=3)])
    assert [call.call_id for call in await store.calls()] == ["rtc_3", "rtc_2"]
    assert await store.call(CallId("rtc_1")) is None


async def test_what_was_remembered_can_be_read_after_closing() -> None:
    store = MemoryCallStore()
    await store.open()
    await store.apply([opened()])
    await store.aclose()
    assert len(await store.calls()) == 1


def test_a_store_without_room_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        MemoryCallStore(capacity=0)
    with pytest.raises(AssertionError):
        MemoryCallStore(configurations=0)


async def test_the_oldest_configuration_is_forgotten_beyond_the_capacity() -> None:
    store = MemoryCallStore(configurations=2)
    for number in range(1, 4):
        await store.apply([loaded(f"f{number}", number=number, second=number)])
    assert [each.fingerprint for each in await store.configurations()] == ["f3", "f2"]
    assert await store.configuration("f1") is None
