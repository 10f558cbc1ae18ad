from __future__ import annotations

import asyncio
import logging

import pytest

from sipagent.app.opening import open_later
from sipagent.errors import StoreAwayError
from sipagent.store import Store, open_store


class Away:
    """A store that opens after these reasons why not."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.store = open_store("memory:")
        self.opened = False

    async def open(self) -> None:
        if self.reasons:
            raise StoreAwayError(self.reasons.pop(0), serves_nobody=True)
        await self.store.open()
        self.opened = True


async def opened(away: Away, *, tell_again_s: float) -> None:
    store: Store = away  # type: ignore[assignment]
    async with asyncio.timeout(30):
        await open_later(store, open_again_s=0.001, tell_again_s=tell_again_s)
    await away.store.aclose()


async def test_one_reason_is_told_once_and_another_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="sipagent.app.opening")
    away = Away(*["refused"] * 20, *["no such role"] * 20, "refused")
    await opened(away, tell_again_s=600)
    assert away.opened
    assert [record.getMessage() for record in caplog.records] == [
        "The database cannot be opened yet: refused",
        "The database cannot be opened yet: no such role",
        "The database cannot be opened yet: refused",
        "The database is there",
    ]


async def test_it_is_told_again_when_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="sipagent.app.opening")
    await opened(Away(*["refused"] * 5), tell_again_s=0)
    assert len(caplog.records) == 6
