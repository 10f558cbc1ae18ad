"""Bringing somebody in, as far as it can be seen without a carrier: reports that are lost, answers that never
come, calls that may or may not have been made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from sipagent.calls.incoming import CarrierLeg
from sipagent.calls.line import BringIn, CarrierSide, WarmOutcome
from sipagent.carrier.base import DECLINED, JOINED, JOINING, TAKEN, LegReport
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.reports import LegReports
from sipagent.carrier.settings import OfferManner
from sipagent.carrier.transfers import carrier_side
from sipagent.errors import (
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
)
from tests.carrier.doorway import QUICK
from tests.carrier.legs import CONTROL_LEG, LEG, NOW_S, PERSON, TEXML_LEG, settings
from tests.support.eventually import eventually
from tests.support.web import serving

NOW = datetime.fromtimestamp(NOW_S, UTC)
SOMEBODY = BringIn(number=f"tel:{PERSON}", briefing="Ann has a question.", answer_timeout_s=20)
THEIRS = "CA9"
SORRY = OfferManner().sorry


class Twilio:
    """The API: what was asked, and what it answers."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.updates: list[tuple[str, dict[str, str]]] = []
        self.status = "ringing"
        self.refused: dict[str, int] = {}
        self.names_the_leg = True
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.slow: set[str] = set()
        """Legs that are moved when `may_move` is set."""
        self.may_move = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"status": self.status})
        form = {name: str(value) for name, value in (await request.post()).items()}
        if request.path.endswith("Calls.json"):
            self.calls.append(form)
            self.called.set()
            await self.may_answer.wait()
            if status := self.refused.get("call"):
                return web.json_response({}, status=status)
            return web.json_response({"sid": THEIRS} if self.names_the_leg else {})
        leg = request.path.rpartition("/")[2].removesuffix(".json")
        self.updates.append((leg, form))
        if leg in self.slow:
            await self.may_move.wait()
        if status := self.refused.get(leg):
            return web.json_response({}, status=status)
        return web.json_response({"sid": leg})

    @property
    def ended(self) -> list[str]:
        """The legs that were ended."""
        return [leg for leg, form in self.updates if form.get("Status") == "completed"]

    @property
    def moved(self) -> list[str]:
        """The legs that go on with another document."""
        return [leg for leg, form in self.updates if "Twiml" in form]


class Scene:
    """A caller at Twilio, and what can be done for them."""

    def __init__(self, api: Twilio, reports: LegReports, side: CarrierSide) -> None:
        self.api = api
        self.reports = reports
        self.side = side
        self.moved_after: list[int] = []
        """How many legs had been moved when it was said that the caller's would be."""

    @property
    def offer(self) -> str:
        """The attempt that is made."""
        return (
            self._desk_tokens.read(self.api.calls[-1]["StatusCallback"].partition("?t=")[2], NOW_S).offer
            or ""
        )

    _desk_tokens: Any = None

    def says(self, kind: str, number: int = 0) -> None:
        """The carrier reports ``kind`` of the person's leg."""
        self.reports.note(
            LegReport(
                carrier="twilio",
                carrier_call_id=THEIRS,
                parent_call_id=LEG.carrier_call_id,
                kind=kind,
                at=NOW,
                event_id=f"{kind}{number}",
                offer=self.offer,
            )
        )

    def moving(self) -> None:
        """The caller is about to be moved."""
        self.moved_after.append(len(self.api.moved))

    async def bring_in(self, person: BringIn = SOMEBODY) -> WarmOutcome:
        """Somebody is brought in."""
        return await self.side.bring_in(person, self.moving)

    async def bringing(self) -> asyncio.Task[WarmOutcome]:
        """Somebody is being called."""
        task = asyncio.create_task(self.bring_in())
        await self.api.called.wait()
        return task


@asynccontextmanager
async def scene(leg: CarrierLeg = LEG, **changes: Any) -> AsyncIterator[Scene]:
    api, reports = Twilio(), LegReports(record=lambda _: None)
    async with (
        asyncio.timeout(30),
        serving(api.handle) as url,
        CarrierDesk(settings(twilio_url=url, telnyx_url=url, **changes), limits=QUICK) as desk,
    ):
        side = carrier_side(desk, reports, leg, lambda: NOW)
        assert side is not None
        found = Scene(api, reports, side)
        found._desk_tokens = desk.tokens
        yield found


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        (["initiated", "ringing", "busy"], WarmOutcome.BUSY),
        (["no_answer"], WarmOutcome.NO_ANSWER),
        (["canceled"], WarmOutcome.NO_ANSWER),
        (["failed"], WarmOutcome.REFUSED),
        (["answered", DECLINED], WarmOutcome.DECLINED),
        (["answered", "completed"], WarmOutcome.DECLINED),
        (["completed"], WarmOutcome.NO_ANSWER),
        (["answered", TAKEN], WarmOutcome.JOINED),
        ([TAKEN, "answered", "completed"], WarmOutcome.JOINED),
    ],
)
async def test_how_it_goes(kinds: list[str], outcome: WarmOutcome) -> None:
    async with scene() as here:
        bringing = await here.bringing()
        for kind in kinds:
            here.says(kind)
        assert await bringing is outcome
        joined = outcome is WarmOutcome.JOINED
        assert here.api.moved == ([THEIRS, LEG.carrier_call_id] if joined else [])
        assert here.moved_after == ([1] if joined else [])
        assert here.api.ended == ([] if joined else [THEIRS])
        assert "Ann has a question." in here.api.calls[0]["Twiml"]
        assert here.api.calls[0]["To"] == PERSON


async def test_reports_that_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.carrier.offer.LOOK_S", 0.05)
    async with scene() as here:
        bringing = await here.bringing()
        here.api.status = "busy"
        assert await bringing is WarmOutcome.BUSY


async def test_nobody_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.carrier.offer.LOOK_S", 0.05)
    monkeypatch.setattr("sipagent.carrier.offer.MARGIN_S", -30.0)
    async with scene() as here:
        assert await here.bring_in() is WarmOutcome.NO_ANSWER
        assert here.api.ended == [THEIRS]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, WarmOutcome.REFUSED), (403, WarmOutcome.REFUSED), (500, WarmOutcome.UNAVAILABLE)],
)
async def test_the_carrier_does_not_call(status: int, outcome: WarmOutcome) -> None:
    async with scene() as here:
        here.api.refused["call"] = status
        assert await here.bring_in() is outcome
        assert here.api.updates == []


async def test_a_call_that_may_have_been_made_is_known_by_its_reports() -> None:
    async with scene() as here:
        here.api.may_answer.clear()
        bringing = await here.bringing()
        await asyncio.sleep(QUICK.try_timeout_s + 0.1)
        here.says("ringing")
        here.says(TAKEN)
        assert await bringing is WarmOutcome.JOINED
        here.api.may_answer.set()


async def test_a_call_that_was_not_made_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.carrier.offer.FIRST_REPORT_S", 0.1)
    async with scene() as here:
        here.api.may_answer.clear()
        assert await here.bring_in() is WarmOutcome.UNAVAILABLE
        here.api.may_answer.set()


async def test_a_leg_that_is_not_named_names_itself() -> None:
    async with scene() as here:
        here.api.names_the_leg = False
        bringing = await here.bringing()
        here.says("busy")
        assert await bringing is WarmOutcome.BUSY
        assert here.api.ended == [THEIRS]


@pytest.mark.parametrize("answered", [True, False])
async def test_cancelling_ends_the_call(answered: bool) -> None:
    """Also in the middle of making it, when nobody knows its name yet."""
    async with scene() as here:
        if not answered:
            here.api.may_answer.clear()
        bringing = await here.bringing()
        if answered:
            here.says("ringing")
            await asyncio.sleep(0.05)
        bringing.cancel()
        await asyncio.sleep(0.05)
        here.api.may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await bringing
        assert here.api.ended == [THEIRS]


@pytest.mark.parametrize(
    ("status", "outcome"), [(404, WarmOutcome.CALLER_GONE), (500, WarmOutcome.UNAVAILABLE)]
)
async def test_a_caller_who_cannot_be_moved(status: int, outcome: WarmOutcome) -> None:
    async with scene() as here:
        bringing = await here.bringing()
        here.api.refused[LEG.carrier_call_id] = status
        here.says(TAKEN)
        assert await bringing is outcome
        moved = here.api.moved
        assert (moved[0], moved[1], moved[-1]) == (THEIRS, LEG.carrier_call_id, THEIRS)
        assert SORRY in here.api.updates[-1][1]["Twiml"], "whoever took the call is not left waiting"


@pytest.mark.parametrize(("status", "outcome"), [(404, WarmOutcome.DECLINED), (500, WarmOutcome.UNAVAILABLE)])
async def test_a_person_who_is_gone_when_they_are_to_meet_the_caller(
    status: int, outcome: WarmOutcome
) -> None:
    async with scene() as here:
        bringing = await here.bringing()
        here.api.refused[THEIRS] = status
        here.says(TAKEN)
        assert await bringing is outcome
        assert LEG.carrier_call_id not in here.api.moved, "the caller stays with the agent"
        assert here.moved_after == []


async def test_who_is_with_the_caller_by_then_is_not_hung_up_on() -> None:
    """The caller who is moved has left us, and with them goes whoever wanted to know."""
    async with scene() as here:
        bringing = await here.bringing()
        here.api.slow.add(LEG.carrier_call_id)
        here.says(TAKEN)
        await eventually(lambda: LEG.carrier_call_id in here.api.moved)
        bringing.cancel()
        await asyncio.sleep(0.05)
        bringing.cancel()
        await asyncio.sleep(0.05)
        assert not bringing.done()
        here.api.may_move.set()
        with pytest.raises(asyncio.CancelledError):
            await bringing
        assert here.api.moved == [THEIRS, LEG.carrier_call_id]
        assert here.api.ended == []


# Of a process that is gone -------------------------------------------------------------------------------


def said_of(kind: str, *, leg: str = THEIRS, offer: str = "o1") -> LegReport:
    return LegReport(
        carrier="twilio",
        carrier_call_id=leg,
        parent_call_id=LEG.carrier_call_id,
        kind=kind,
        at=NOW,
        event_id=f"{leg} {offer} {kind}",
        offer=offer,
    )


@pytest.mark.parametrize(
    ("kinds", "here_still", "then"),
    [
        (["initiated", "ringing"], True, "ended"),
        (["initiated", "ringing"], False, "ended"),
        (["ringing", "answered"], True, "told"),
        (["ringing", "answered", TAKEN], False, "told"),
        (["ringing", "answered", TAKEN, JOINING], True, "told"),
        (["ringing", "answered", TAKEN, JOINING], False, "left alone"),
        (["ringing", "answered", TAKEN, JOINING, JOINED], True, "left alone"),
        (["ringing", "busy"], True, "left alone"),
        (["ringing", "answered", DECLINED], True, "left alone"),
        (["ringing", "answered", TAKEN, "completed"], True, "left alone"),
    ],
)
async def test_whom_a_process_that_is_gone_was_bringing_in(
    kinds: list[str], here_still: bool, then: str
) -> None:
    async with scene() as here:
        for kind in kinds:
            here.reports.note(said_of(kind))
        here.reports.note(replace(said_of("ringing", leg="CA8", offer="other"), parent_call_id="CA7"))
        await here.side.call_off(caller_is_here=here_still)
        told = [form for leg, form in here.api.updates if leg == THEIRS and SORRY in form.get("Twiml", "")]
        assert here.api.ended == ([THEIRS] if then == "ended" else [])
        assert len(told) == (then == "told")
        assert len(here.api.updates) == (then != "left alone")


@pytest.mark.parametrize("status", [404, 401, 500])
async def test_calling_off_raises_nothing(status: int) -> None:
    async with scene() as here:
        here.api.refused[THEIRS] = status
        here.reports.note(said_of("answered"))
        await here.side.call_off(caller_is_here=True)


async def test_nobody_is_called_without_a_number_to_show(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with scene(replace(LEG, dialled=None)) as here:
        assert await here.bring_in() is WarmOutcome.REFUSED
        assert here.api.calls == []


async def test_manners() -> None:
    async with scene(offers=OfferManner(question="Drücken Sie die Eins.", language="de-DE")) as here:
        bringing = await here.bringing()
        assert "Drücken Sie die Eins." in here.api.calls[0]["Twiml"]
        assert 'language="de-DE"' in here.api.calls[0]["Twiml"]
        here.says("busy")
        await bringing
    async with scene(offers=OfferManner(question="")) as here:
        bringing = await here.bringing()
        assert "<Gather" not in here.api.calls[0]["Twiml"]
        here.says("busy")
        await bringing
        here.api.called.clear()
        silent = asyncio.create_task(here.bring_in(replace(SOMEBODY, briefing="")))
        await here.api.called.wait()
        assert "Press 1" in here.api.calls[1]["Twiml"], "somebody who hears nothing cannot say yes"
        here.says("busy", 1)
        await silent


async def test_the_caller_is_sent_and_released() -> None:
    async with scene() as here:
        await here.side.send_to("sip:desk@pbx.example")
        await here.side.release()
        (_, sent), (_, ended) = here.api.updates
        assert "<Sip" in sent["Twiml"]
        assert "sip:desk@pbx.example" in sent["Twiml"]
        assert ended == {"Status": "completed"}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, CallGoneError),
        (403, CallControlRefusedError),
        (429, CallControlRateLimitedError),
        (500, CallControlUnavailableError),
    ],
)
async def test_errors_are_those_of_a_line(status: int, error: type[Exception]) -> None:
    async with scene() as here:
        here.api.refused[LEG.carrier_call_id] = status
        for asked in (here.side.send_to("tel:+15550100177"), here.side.release()):
            with pytest.raises(error):
                await asked


async def test_whose_carrier_can_do_something() -> None:
    reports = LegReports(record=lambda _: None)
    async with CarrierDesk(settings()) as desk:
        for leg in (LEG, TEXML_LEG, CONTROL_LEG):
            assert carrier_side(desk, reports, leg, lambda: NOW) is not None
        asterisk = replace(LEG, carrier="asterisk")
        assert carrier_side(desk, reports, asterisk, lambda: NOW) is None
    async with CarrierDesk(settings(twilio=None, telnyx=None)) as desk:
        for leg in (LEG, TEXML_LEG, CONTROL_LEG):
            assert carrier_side(desk, reports, leg, lambda: NOW) is None
