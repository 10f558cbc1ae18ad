"""Telnyx' REST API for Call Control: commands to legs and conferences.

From Telnyx' public documentation: "Call commands", "Conference commands". A ``command_id`` that a leg has
seen does nothing a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.api_faults import ApiTrouble
from sipagent.simulator.carrier.call_control import CallControl
from sipagent.simulator.carrier.commands import (
    Body,
    CommandError,
    address_of,
    body_of,
    membership,
    missing,
    needed,
    number_of,
    pairs_of,
    remember,
    require_answered,
)
from sipagent.simulator.carrier.conference import Member, Room
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.texml_api import CALL_ENDED, admits, telnyx_refusal
from sipagent.simulator.carrier.verbs import DialTarget, StreamTarget

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier

_OK = {"result": "ok"}


class CallControlApi:
    """The routes of one account."""

    def __init__(self, carrier: PretendedCarrier, control: CallControl, *, api_key: str) -> None:
        self._carrier = carrier
        self._control = control
        self._api_key = api_key
        self._trouble = ApiTrouble(carrier)
        self._actions: dict[str, Callable[[Leg, Body], Awaitable[dict[str, Any]]]] = {
            "answer": self._answer,
            "reject": self._reject,
            "hangup": self._hang_up,
            "transfer": self._transfer,
            "bridge": self._bridge,
            "speak": self._speak,
            "gather": self._gather_keys,
            "gather_using_speak": self._gather,
            "streaming_start": self._start_stream,
            "streaming_stop": self._stop_stream,
            "send_dtmf": self._send_keys,
        }

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.post("/v2/calls", self._guarded(self._create_call)),
            web.get("/v2/calls/{call}", self._guarded(self._show_call)),
            web.post("/v2/calls/{call}/actions/{action}", self._guarded(self._act)),
            web.post("/v2/conferences", self._guarded(self._create_room)),
            web.get("/v2/conferences", self._guarded(self._list_rooms)),
            web.get("/v2/conferences/{room}", self._guarded(self._show_room)),
            web.get("/v2/conferences/{room}/participants", self._guarded(self._list_members)),
            web.post("/v2/conferences/{room}/actions/{action}", self._guarded(self._act_on_room)),
        ]

    def _guarded(
        self, handler: Callable[[web.Request, Body], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if not admits(request, self._api_key):
                return telnyx_refusal(401, "The API key is not known.")
            if (status := await self._trouble.meet()) is not None:
                return telnyx_refusal(status, "A fault of the menu is on.")
            try:
                return web.json_response({"data": await handler(request, await body_of(request))})
            except CommandError as error:
                return telnyx_refusal(error.status, str(error), code=error.code)
            except SimulatorError as error:
                return telnyx_refusal(422, str(error))

        return handle

    # Calls

    async def _create_call(self, request: web.Request, body: Body) -> dict[str, Any]:
        command_id = str(body.get("command_id") or "")
        if (known := self._control.answer_to("", command_id)) is not None:
            return known
        to, caller = needed(body, "to"), needed(body, "from")
        if body.get("connection_id") is None:
            raise missing("connection_id")
        call = await self._carrier.call_out(address_of(to, body), caller=caller)
        leg = call.leg
        remember(leg, body)
        if body.get("webhook_url"):
            leg.extra["webhook_url"] = str(body["webhook_url"])
        leg.call()
        timeout_s = number_of(body, "timeout_secs", 30.0)

        async def give_up() -> None:
            await asyncio.sleep(timeout_s)
            if not leg.is_answered:
                leg.end(LegStatus.NO_ANSWER)

        self._carrier.spawn(give_up, name=f"patience with {leg.facts.called}")
        answer = {"record_type": "call", "is_alive": True, **self._control.events.description(leg)}
        self._control.keep_answer("", command_id, answer)
        return answer

    async def _show_call(self, request: web.Request, body: Body) -> dict[str, Any]:
        leg = self._leg(request.match_info["call"])
        return {"record_type": "call", "is_alive": not leg.is_over, **self._control.events.description(leg)}

    async def _act(self, request: web.Request, body: Body) -> dict[str, Any]:
        leg = self._leg(request.match_info["call"])
        name = request.match_info["action"]
        action = self._actions.get(name)
        if action is None:
            raise CommandError(404, f"there is no command {name!r} here")
        command_id = str(body.get("command_id") or "")
        if (known := self._control.answer_to(leg.sid, command_id)) is not None:
            leg.note("command again", name=name)
            return known
        if leg.is_over:
            raise CommandError(422, "This call is no longer active.", code=CALL_ENDED)
        leg.note("command", name=name)
        remember(leg, body)
        answer = await action(leg, body)
        self._control.keep_answer(leg.sid, command_id, answer)
        return answer

    async def _answer(self, leg: Leg, body: Body) -> dict[str, Any]:
        if leg.facts.direction != "inbound":
            raise CommandError(422, "Only calls that came in can be answered.")
        leg.answer()
        if body.get("stream_url"):
            await self._start_stream(leg, body)
        return _OK

    async def _reject(self, leg: Leg, body: Body) -> dict[str, Any]:
        cause = needed(body, "cause")
        if cause not in ("CALL_REJECTED", "USER_BUSY"):
            raise CommandError(422, "cause is one of CALL_REJECTED and USER_BUSY")
        if leg.is_answered:
            raise CommandError(422, "The call has been answered.")
        busy = cause == "USER_BUSY"
        leg.extra["rejected"] = cause.lower()
        leg.end(LegStatus.BUSY if busy else LegStatus.FAILED, sip_status=486 if busy else 603)
        return _OK

    async def _hang_up(self, leg: Leg, body: Body) -> dict[str, Any]:
        leg.end(LegStatus.COMPLETED if leg.is_answered else LegStatus.CANCELED, sip_status=480)
        return _OK

    async def _transfer(self, leg: Leg, body: Body) -> dict[str, Any]:
        names = (("client_state", "target_leg_client_state"), ("webhook_url", "webhook_url"))
        extra = {ours: str(body[theirs]) for ours, theirs in names if body.get(theirs)}
        await self._control.transfer(
            leg,
            DialTarget(address=address_of(needed(body, "to"), body)),
            caller=str(body.get("from") or leg.facts.called),
            timeout_s=number_of(body, "timeout_secs", 30.0),
            parks=body.get("park_after_unbridge") == "self",
            extra=extra,
        )
        return _OK

    async def _bridge(self, leg: Leg, body: Body) -> dict[str, Any]:
        other = self._leg(needed(body, "call_control_id"))
        if other.is_over or not other.is_answered:
            raise CommandError(422, "The other call is not active.", code=CALL_ENDED)
        self._control.connect(leg, other)
        return _OK

    async def _speak(self, leg: Leg, body: Body) -> dict[str, Any]:
        require_answered(leg)
        needed(body, "voice")
        self._control.speak(leg, needed(body, "payload"))
        return _OK

    async def _gather(self, leg: Leg, body: Body) -> dict[str, Any]:
        require_answered(leg)
        needed(body, "voice")
        self._control.gather(
            leg,
            needed(body, "payload"),
            most=int(number_of(body, "maximum_digits", 128)),
            timeout_s=number_of(body, "timeout_millis", 60_000) / 1000,
            finish_on_key=str(body.get("terminating_digit") or "#"),
        )
        return _OK

    async def _gather_keys(self, leg: Leg, body: Body) -> dict[str, Any]:
        require_answered(leg)
        self._control.gather(
            leg,
            "",
            most=int(number_of(body, "maximum_digits", 128)),
            timeout_s=number_of(body, "timeout_millis", 60_000) / 1000,
            finish_on_key=str(body.get("terminating_digit") or "#"),
        )
        return _OK

    async def _start_stream(self, leg: Leg, body: Body) -> dict[str, Any]:
        require_answered(leg)
        codec = str(body.get("stream_bidirectional_codec") or "PCMU")
        if codec not in ("PCMU", "PCMA"):
            raise CommandError(422, f"codec {codec!r} is not played here: PCMU and PCMA are")
        target = StreamTarget(
            url=needed(body, "stream_url"),
            name=str(body.get("stream_name") or ""),
            parameters=dict(pairs_of(body, "custom_parameters")),
            report_to=None,
            attributes={
                "bidirectionalMode": str(body.get("stream_bidirectional_mode") or "mp3"),
                "bidirectionalCodec": codec,
                "codec": str(body.get("stream_codec") or "default"),
                "authToken": str(body.get("stream_auth_token") or ""),
            },
        )
        self._control.start_stream(leg, target)
        return _OK

    async def _stop_stream(self, leg: Leg, body: Body) -> dict[str, Any]:
        self._control.stop_stream(leg)
        return _OK

    async def _send_keys(self, leg: Leg, body: Body) -> dict[str, Any]:
        leg.party.press(needed(body, "digits"))
        return _OK

    # Conferences

    async def _create_room(self, request: web.Request, body: Body) -> dict[str, Any]:
        name = needed(body, "name")
        leg = self._leg(needed(body, "call_control_id"))
        if leg.is_over:
            raise CommandError(422, "This call is no longer active.", code=CALL_ENDED)
        if name in self._carrier.rooms:
            raise CommandError(422, f"The conference {name!r} exists.", code=("90033", "Conference exists"))
        remember(leg, body)
        leg.answer()
        starts = body.get("start_conference_on_create", True) is not False
        room = self._control.join(leg, membership(name, body, starts=starts))
        self._control.events.tell(leg, "conference.created", {"conference_id": room.sid})
        return self._room_view(room)

    async def _list_rooms(self, request: web.Request, body: Body) -> list[dict[str, Any]]:
        name = request.query.get("filter[name]")
        return [self._room_view(room) for room in self._carrier.rooms.values() if name in (None, room.name)]

    async def _show_room(self, request: web.Request, body: Body) -> dict[str, Any]:
        return self._room_view(self._room(request))

    async def _list_members(self, request: web.Request, body: Body) -> list[dict[str, Any]]:
        return [
            {
                "record_type": "participant",
                "call_control_id": member.leg.sid,
                "muted": member.muted,
                "on_hold": member.held,
                "status": "joined",
                "end_conference_on_exit": member.target.ends_on_exit,
            }
            for member in self._room(request).members.values()
        ]

    async def _act_on_room(self, request: web.Request, body: Body) -> dict[str, Any]:
        room, action = self._room(request), request.match_info["action"]
        if action == "end":
            room.end()
            return _OK
        if action == "join":
            leg = self._leg(needed(body, "call_control_id"))
            if leg.is_over:
                raise CommandError(422, "This call is no longer active.", code=CALL_ENDED)
            remember(leg, body)
            leg.answer()
            self._control.join(leg, membership(room.name, body, starts=True))
            return _OK
        if action == "leave":
            self._control.leave(self._leg(needed(body, "call_control_id")))
            return _OK
        if action not in ("hold", "unhold", "mute", "unmute"):
            raise CommandError(404, f"there is no command {action!r} here")
        for member in self._members(room, body):
            if action in ("hold", "unhold"):
                room.set_held(member, action == "hold")
            else:
                room.set_muted(member, action == "mute")
        return _OK

    # What is asked for

    def _leg(self, sid: str) -> Leg:
        leg = self._carrier.find(sid)
        if leg is None:
            raise CommandError(404, f"There is no call {sid[:60]!r}.")
        return leg

    def _room(self, request: web.Request) -> Room:
        for room in self._carrier.rooms.values():
            if request.match_info["room"] == room.sid:
                return room
        raise CommandError(404, "There is no such conference.")

    @staticmethod
    def _members(room: Room, body: Body) -> list[Member]:
        """Those that are named, or all."""
        named = body.get("call_control_ids")
        return [member for sid, member in room.members.items() if not named or sid in named]

    @staticmethod
    def _room_view(room: Room) -> dict[str, Any]:
        return {
            "record_type": "conference",
            "id": room.sid,
            "name": room.name,
            "status": "completed" if room.over else "in_progress" if room.started else "init",
        }
