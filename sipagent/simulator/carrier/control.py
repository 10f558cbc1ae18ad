"""The control API of a pretended carrier: places calls, moves callers, shows what happened, switches faults.

Mounted at ``/control/carrier`` of a simulator; it asks for no key. Bodies and answers are JSON; an error is
``{"error": "what is wrong"}``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.faults import CarrierFaults
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.pretended import PretendedCarrier
from sipagent.simulator.carrier.stream import StreamRecord
from sipagent.simulator.carrier.subscribers import Act, parse_subscriber
from sipagent.simulator.control_requests import (
    Body,
    Digits,
    Faults,
    Seconds,
    explain_errors,
    read_body,
    wait_as_asked,
)
from sipagent.simulator.phone.settings import HangUp, Pause, Press, Say


class _Act(Body):
    """One thing a caller does: exactly one of ``say``, ``press``, ``pause_s`` and ``hang_up``."""

    say: str | None = None
    press: str | None = None
    pause_s: Seconds | None = None
    hang_up: Literal[True] | None = None
    waits: bool = True

    def act(self) -> Act:
        """Raises `SimulatorError` when the fields contradict each other."""
        if sum(each is not None for each in (self.say, self.press, self.pause_s, self.hang_up)) != 1:
            raise SimulatorError("each act needs exactly one of say, press, pause_s and hang_up")
        if self.say is not None:
            return Say(text=self.say, waits=self.waits)
        if self.press is not None:
            return Press(digits=self.press, waits=self.waits)
        if self.pause_s is not None:
            return Pause(seconds=self.pause_s)
        return HangUp(waits=self.waits)


class NewCarrierCall(Body):
    """The body of ``POST /control/carrier/calls``, described in the guide page *simulator*."""

    caller: str = Field(default="+15550100123", alias="from")
    called: str = Field(default="+15550100100", alias="to")
    does: tuple[str | _Act, ...] = ()
    faults: str = ""

    def acts(self) -> tuple[Act, ...]:
        """Raises `SimulatorError` for acts that cannot be."""
        return tuple(Say(text=each) if isinstance(each, str) else each.act() for each in self.does)


class _Words(Body):
    text: str


class _Numbers(Body):
    numbers: dict[str, str]


class CarrierControlApi:
    """The routes below ``/control/carrier``."""

    def __init__(self, carrier: PretendedCarrier) -> None:
        self._carrier = carrier

    def application(self) -> web.Application:
        """The routes, to be mounted."""
        app = web.Application(middlewares=[explain_errors])
        app.router.add_post("/calls", self._place)
        app.router.add_get("/calls", self._list)
        app.router.add_get("/calls/{call_id}", self._show)
        app.router.add_get("/calls/{call_id}/heard.wav", self._sound)
        app.router.add_post("/calls/{call_id}/say", self._say)
        app.router.add_post("/calls/{call_id}/digits", self._press)
        app.router.add_post("/calls/{call_id}/hangup", self._hang_up)
        app.router.add_put("/numbers", self._set_numbers)
        app.router.add_get("/faults", self._show_faults)
        app.router.add_put("/faults", self._set_faults)
        return app

    async def _place(self, request: web.Request) -> web.Response:
        wanted = await read_body(request, NewCarrierCall)
        call = await self._carrier.call(
            caller=wanted.caller, to=wanted.called, does=wanted.acts(), faults=wanted.faults
        )
        return web.json_response({"call_id": call.sid}, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"calls": [summary(call) for call in self._carrier.calls]})

    async def _show(self, request: web.Request) -> web.Response:
        """With ``?wait_s=N`` the answer comes when the call is over, or after N seconds."""
        call = self._call(request)
        await wait_as_asked(request, call.ended)
        return web.json_response(self._details(call))

    async def _sound(self, request: web.Request) -> web.Response:
        return web.Response(body=self._call(request).heard.wav(), content_type="audio/wav")

    async def _say(self, request: web.Request) -> web.Response:
        caller = self._call(request).caller
        await caller.say((await read_body(request, _Words)).text)
        return web.json_response({})

    async def _press(self, request: web.Request) -> web.Response:
        caller = self._call(request).caller
        await caller.dial_keys((await read_body(request, Digits)).digits)
        return web.json_response({})

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._call(request)
        call.caller.hang_up()
        return web.json_response(summary(call))

    async def _set_numbers(self, request: web.Request) -> web.Response:
        numbers = (await read_body(request, _Numbers)).numbers
        self._carrier.network.numbers |= {number: parse_subscriber(text) for number, text in numbers.items()}
        return web.json_response({})

    async def _show_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": str(self._carrier.faults)})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._carrier.faults = CarrierFaults.parse((await read_body(request, Faults)).faults)
        return await self._show_faults(request)

    def _call(self, request: web.Request) -> CarrierCall:
        for call in self._carrier.calls:
            if call.sid == request.match_info["call_id"]:
                return call
        raise web.HTTPNotFound

    def _details(self, call: CarrierCall) -> dict[str, Any]:
        sids = {leg.sid for leg in call.legs}
        return {
            **summary(call),
            "sentences": list(call.sentences),
            "legs": [_leg(leg) for leg in call.legs],
            "streams": [_stream(record) for record in call.streams],
            "notices": [{"code": each.code, "message": each.message} for each in call.notices],
            "requests": [
                {
                    "purpose": each.request.purpose,
                    "url": each.request.url,
                    "status": each.status,
                    "error": each.error,
                    "seconds": each.seconds,
                }
                for each in self._carrier.exchanges
                if each.leg in sids
            ],
            "timeline": [
                {"at": each.at_s, "what": each.what, "leg": each.leg, **each.detail}
                for each in call.timeline.moments
            ],
        }


def summary(call: CarrierCall) -> dict[str, Any]:
    """One call in a line of a list."""
    return {
        "call_id": call.sid,
        "from": call.leg.facts.caller,
        "to": call.leg.facts.called,
        "state": call.status.value,
        "faults": str(call.leg.facts.faults),
    }


def _leg(leg: Leg) -> dict[str, Any]:
    return {
        "id": leg.sid,
        "direction": leg.facts.direction,
        "to": leg.facts.called,
        "state": leg.status.value,
        "sip_status": leg.sip_status,
        "heard_s": leg.heard.loud_s,
        "said_s": leg.said.loud_s,
        "ended_by": leg.hung_up_by,
    }


def _stream(record: StreamRecord) -> dict[str, Any]:
    return {
        "id": record.stream_id,
        "url": record.url,
        "frames_sent": len(record.sent_at_s),
        "frames_dropped": record.frames_dropped,
        "events": dict(Counter(event.what for event in record.events)),
        "end": None if record.end is None else record.end.value,
        "close_code": record.close_code,
    }
