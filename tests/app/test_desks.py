"""Desks of carriers that follow each other: none is closed under the hands of whoever uses it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from sipagent.app.desks import Desks
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.settings import TwilioSettings
from sipagent.errors import UserError
from tests.carrier.legs import ACCOUNT, NOW_S, settings
from tests.support.eventually import eventually

NEWER = settings(twilio=TwilioSettings(account_sid=ACCOUNT, auth_tokens=("newer",)))


def desks() -> Desks:
    return Desks(settings(), utc_now=lambda: datetime.fromtimestamp(NOW_S, UTC))


def is_open(desk: CarrierDesk) -> bool:
    assert desk.twilio is not None
    session = desk.twilio.http._session
    return session is not None and not session.closed


async def test_a_desk_that_is_used_is_closed_afterwards() -> None:
    all_desks = desks()
    await all_desks.open()
    first = all_desks.current
    assert first is not None
    with first.used():
        async with all_desks.change(NEWER) as take_place:
            assert all_desks.current is first
            take_place()
        second = all_desks.current
        assert second is not None
        assert second is not first
        assert second.former.twilio_auth_tokens[0].value == "twilio-auth-token"
        await asyncio.sleep(0.05)
        assert is_open(first)
        assert is_open(second)
    await eventually(lambda: not is_open(first))
    await all_desks.close()
    assert not is_open(second)


async def test_a_change_that_is_not_made_leaves_everything_as_it_was() -> None:
    all_desks = desks()
    await all_desks.open()
    first = all_desks.current
    assert first is not None
    with pytest.raises(UserError):
        async with all_desks.change(NEWER):
            raise UserError("something else cannot be had")
    assert all_desks.current is first
    assert all_desks.settings == settings()
    with pytest.raises(UserError):
        async with all_desks.change(settings(twilio=TwilioSettings(account_sid=ACCOUNT, auth_tokens=()))):
            pass
    async with all_desks.change(settings()) as take_place:
        take_place()
    assert all_desks.current is first, "nothing is new"
    assert is_open(first)
    await all_desks.close()


async def test_closing_waits_for_nobody() -> None:
    all_desks = desks()
    await all_desks.open()
    first = all_desks.current
    assert first is not None
    with first.used():
        async with all_desks.change(None) as take_place:
            take_place()
        await all_desks.close()
    assert not is_open(first)


async def test_carriers_that_are_taken_away_and_come_back() -> None:
    all_desks = desks()
    await all_desks.open()
    for wanted in (None, NEWER):
        async with all_desks.change(wanted) as take_place:
            take_place()
        desk = all_desks.current
        assert desk is not None
        assert set(desk.carriers) >= {"/carriers/twilio"}, "calls in progress have it still"
        assert desk.settings.plan == settings().plan
        assert all_desks.settings == wanted
    await all_desks.close()
    none = Desks(None, utc_now=lambda: datetime.fromtimestamp(NOW_S, UTC))
    async with none.change(NEWER) as take_place:
        take_place()
    assert none.current is not None
    await none.close()
