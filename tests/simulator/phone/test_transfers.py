from __future__ import annotations

import asyncio
from typing import cast

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.phone.call import PhoneCall
from sipagent.simulator.phone.changes import Changes
from sipagent.simulator.phone.settings import PhoneSettings
from sipagent.simulator.phone.transfers import Transfers
from sipagent.simulator.sip.call import SipCall


class ToldStatuses:
    """Stands in for the call whose peer sent us away."""

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def notify_refer(self, status: int) -> None:
        self.statuses.append(status)


class Elsewhere:
    """Stands in for the call to the target."""

    def __init__(self, *, status: int) -> None:
        self.status = status
        self.is_answered = False

    async def ringing(self) -> bool:
        return self.status < 300

    async def answered(self) -> None:
        if self.status >= 300:
            raise SimulatorError("refused")
        self.is_answered = True


async def follow(
    uri: str, *, status: int = 200, reachable: bool = True, settings: PhoneSettings | None = None
) -> tuple[int, list[str], list[int]]:
    """What a transfer was answered with, what was dialled, and what was reported."""
    dialled: list[str] = []

    async def dial(target: str) -> PhoneCall:
        dialled.append(target)
        if not reachable:
            raise SimulatorError("nobody there")
        return cast(PhoneCall, Elsewhere(status=status))

    told = ToldStatuses()
    transfers = Transfers(dial=dial, settings=settings or PhoneSettings(), changes=Changes())
    answer = transfers.request(cast(SipCall, told), uri)
    for _ in range(10):
        await asyncio.sleep(0)
    await transfers.aclose()
    return answer, dialled, told.statuses


async def test_a_target_that_answers() -> None:
    assert await follow("sip:billing@127.0.0.1") == (202, ["sip:billing@127.0.0.1"], [180, 200])


async def test_a_target_that_refuses() -> None:
    assert await follow("sips:billing@127.0.0.1", status=486) == (202, ["sips:billing@127.0.0.1"], [486])


async def test_a_target_that_cannot_be_reached() -> None:
    assert await follow("sip:billing@127.0.0.1", reachable=False) == (202, ["sip:billing@127.0.0.1"], [503])


async def test_a_telephone_number_needs_a_gateway() -> None:
    assert await follow("tel:+15550100001") == (416, [], [])
    settings = PhoneSettings(tel_gateway="127.0.0.1:5080")
    answer, dialled, _ = await follow("tel:+15550100001;phone-context=x", settings=settings)
    assert (answer, dialled) == (202, ["sip:+15550100001@127.0.0.1:5080"])


@pytest.mark.parametrize("uri", ["mailto:ann@example.com", "billing", ""])
async def test_what_cannot_be_called_is_refused(uri: str) -> None:
    assert await follow(uri) == (416, [], [])


async def test_a_phone_may_decline() -> None:
    settings = PhoneSettings(follows_refer=False)
    assert await follow("sip:billing@127.0.0.1", settings=settings) == (603, [], [])


async def test_one_transfer_at_a_time() -> None:
    async def dial(target: str) -> PhoneCall:
        await asyncio.Event().wait()
        raise AssertionError("never reached")

    transfers = Transfers(dial=dial, settings=PhoneSettings(), changes=Changes())
    told = cast(SipCall, ToldStatuses())
    assert transfers.request(told, "sip:one@127.0.0.1") == 202
    assert transfers.request(told, "sip:two@127.0.0.1") == 491
    await asyncio.sleep(0)
    await transfers.aclose()
