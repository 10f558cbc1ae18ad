"""The control API: places virtual calls, moves their callers, shows what happened, switches faults.

Meant for tests and for the curious, on the simulator's own HTTP port below ``/control``; it asks for no key.
Bodies and answers are JSON; an error is ``{"error": "what is wrong"}``.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, Protocol

from aiohttp import web
from pydantic import Field

from sipagent.errors import SimulatorError
from sipagent.simulator.call_table import CallTable
from sipagent.simulator.caller import (
    AfterAgent,
    At,
    CallPlan,
    DuringAgent,
    HangUp,
    Press,
    Say,
    Step,
    VirtualCaller,
    When,
    check_digits,
)
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.control_requests import (
    Body,
    Digits,
    Faults,
    Seconds,
    explain_errors,
    read_body,
    wait_as_asked,
)
from sipagent.simulator.controllers import Attachment
from sipagent.simulator.faults import FaultSet

FinalStatus = Annotated[int, Field(ge=200, le=699)]

_USUAL = CallPlan()


class CallPlacer(Protocol):
    """What the control API needs of a simulator (`sipagent.simulator.server`; here it breaks a cycle)."""

    faults: FaultSet
    """On for every call that begins from now on."""
    calls: CallTable

    def place_call(self, plan: CallPlan) -> SimulatedCall:
        """Begin a virtual call."""


# What may be asked for


class _Line(Body):
    """One step: exactly one of ``say``, ``press``, ``hang_up``; at most one of the three times."""

    say: str | None = None
    press: str | None = None
    hang_up: Literal[True] | None = None
    pause_s: Seconds | None = None
    at_s: Seconds | None = None
    during_s: Seconds | None = None
    duration_s: Seconds | None = None

    def step(self) -> Step:
        """Raises `SimulatorError` when the fields contradict each other."""
        if sum(action is not None for action in (self.say, self.press, self.hang_up)) != 1:
            raise SimulatorError("a line needs exactly one of say, press and hang_up")
        when = self._when()
        if self.say is not None:
            return Say(text=self.say, when=when, duration_s=self.duration_s)
        if self.duration_s is not None:
            raise SimulatorError("duration_s belongs to say")
        if self.press is not None:
            check_digits(self.press)
            return Press(digits=self.press, when=when)
        return HangUp(when=when)

    def _when(self) -> When:
        times = [time for time in (self.pause_s, self.at_s, self.during_s) if time is not None]
        if len(times) > 1:
            raise SimulatorError("a line takes one of pause_s, at_s and during_s")
        if self.at_s is not None:
            return At(since_answer_s=self.at_s)
        if self.during_s is not None:
            return DuringAgent(since_start_s=self.during_s)
        return AfterAgent() if self.pause_s is None else AfterAgent(pause_s=self.pause_s)


class NewCall(Body):
    """The body of ``POST /control/calls``, described in the guide page *simulator*."""

    caller: str = Field(default=_USUAL.caller, alias="from")
    dialled: str = Field(default=_USUAL.dialled, alias="to")
    headers: tuple[tuple[str, str], ...] = ()
    lines: tuple[str | _Line, ...] | None = None
    then: Literal["hang_up", "wait"] = "hang_up"
    faults: str = ""
    media_security: Literal["rtp", "srtp"] = "rtp"
    patience_s: Seconds = _USUAL.patience_s
    refer_status: FinalStatus = _USUAL.refer_status
    transfer_status: FinalStatus = _USUAL.transfer_status

    def plan(self) -> CallPlan:
        """Raises `SimulatorError` for lines or faults that cannot be."""
        steps: tuple[Step, ...] | None = None
        if self.lines is not None:
            steps = tuple(Say(text=line) if isinstance(line, str) else line.step() for line in self.lines)
        return CallPlan(
            caller=self.caller,
            dialled=self.dialled,
            headers=self.headers,
            steps=steps,
            hangs_up=self.then == "hang_up",
            faults=FaultSet.parse(self.faults),
            media_security=self.media_security,
            patience_s=self.patience_s,
            refer_status=self.refer_status,
            transfer_status=self.transfer_status,
        )


class _Words(Body):
    text: str
    duration_s: Seconds | None = None


# The routes


class ControlApi:
    """The routes below ``/control``."""

    def __init__(self, simulator: CallPlacer) -> None:
        self._simulator = simulator

    def application(self) -> web.Application:
        """The routes, to be mounted at ``/control``."""
        app = web.Application(middlewares=[explain_errors])
        app.router.add_post("/calls", self._place)
        app.router.add_get("/calls", self._list)
        app.router.add_get("/calls/{call_id}", self._show)
        app.router.add_post("/calls/{call_id}/say", self._say)
        app.router.add_post("/calls/{call_id}/digits", self._press)
        app.router.add_post("/calls/{call_id}/hangup", self._hang_up)
        app.router.add_post("/calls/{call_id}/faults", self._set_call_faults)
        app.router.add_get("/faults", self._show_faults)
        app.router.add_put("/faults", self._set_faults)
        return app

    async def _place(self, request: web.Request) -> web.Response:
        call = self._simulator.place_call((await read_body(request, NewCall)).plan())
        return web.json_response({"call_id": call.call_id}, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"calls": [summary(call) for call in self._simulator.calls.all_calls()]})

    async def _show(self, request: web.Request) -> web.Response:
        """With ``?wait_s=N`` the answer comes when the call is over, or after N seconds."""
        call = self._call(request)
        await wait_as_asked(request, call.wait_over)
        return web.json_response(details(call))

    async def _say(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        words = await read_body(request, _Words)
        caller.say(words.text, duration_s=words.duration_s)
        return web.json_response({})

    async def _press(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        caller.press((await read_body(request, Digits)).digits)
        return web.json_response({})

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._call(request)
        call.hang_up_as_caller()
        return web.json_response(summary(call))

    async def _set_call_faults(self, request: web.Request) -> web.Response:
        call = self._call(request)
        call.set_faults(FaultSet.parse((await read_body(request, Faults)).faults))
        return web.json_response(summary(call))

    async def _show_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": str(self._simulator.faults)})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self._simulator.faults = FaultSet.parse((await read_body(request, Faults)).faults)
        return await self._show_faults(request)

    def _call(self, request: web.Request) -> SimulatedCall:
        call = self._simulator.calls.find(request.match_info["call_id"])
        if call is None:
            raise web.HTTPNotFound
        return call

    def _caller(self, request: web.Request) -> VirtualCaller:
        caller = self._simulator.calls.caller_of(self._call(request))
        if caller is None:
            raise SimulatorError("a real telephone is at the other end: only virtual callers can be moved")
        return caller


def summary(call: SimulatedCall) -> dict[str, Any]:
    """One call in a line of a list."""
    return {
        "call_id": call.call_id,
        "state": call.state.value,
        "ended_by": None if call.ended_by is None else call.ended_by.value,
        "faults": str(call.faults),
        "sockets": len(call.controllers.sockets),
        "last_command_at": call.controllers.last_command_at_s,
        "began_at": call.history[0].at_s,
    }


def details(call: SimulatedCall) -> dict[str, Any]:
    """Everything known about one call."""
    conversation = call.conversation
    return {
        **summary(call),
        "history": [{"state": change.state.value, "at": change.at_s} for change in call.history],
        "sip_headers": [list(header) for header in call.leg.sip_headers],
        "media_security": call.leg.media_security,
        "webhook_attempts": [dataclasses.asdict(attempt) for attempt in call.webhook_attempts],
        "transcript": []
        if conversation is None
        else [dataclasses.asdict(line) for line in conversation.transcript],
        "controllers": [_attachment(each) for each in call.controllers.attachments],
        "unattended_s": call.controllers.unattended_s,
        "requests": [
            {"action": each.action, "verdict": each.verdict.value, "at": each.at_s} for each in call.requests
        ],
        "tool_outputs": {} if conversation is None else conversation.tool_outputs,
        "events_sent": {} if conversation is None else dict(conversation.events_sent),
        "events_received": {} if conversation is None else dict(conversation.events_received),
        "statistics": dataclasses.asdict(call.leg.statistics()),
    }


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return {
        "attached_at": attachment.attached_at_s,
        "detached_at": attachment.detached_at_s,
        "commands": attachment.commands,
        "last_command_at": attachment.last_command_at_s,
    }
