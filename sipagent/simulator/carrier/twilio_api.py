"""Twilio's REST API, as far as it is about calls and conferences.

From Twilio's public documentation: "Call resource", "Conference resource", "Participant resource", "API
responses".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web
from multidict import MultiDictProxy

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.api_faults import ApiTrouble
from sipagent.simulator.carrier.conference import Member, Room
from sipagent.simulator.carrier.desk import Fetch
from sipagent.simulator.carrier.flow import Instruction
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.markup import (
    ConferenceTarget,
    DialVerb,
    Document,
    MarkupError,
    ReportTo,
    parse_document,
)

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier

Form: TypeAlias = MultiDictProxy[str | web.FileField]
Handler: TypeAlias = Callable[[web.Request, Mapping[str, list[str]]], Awaitable[web.Response]]
_ROOT = "/2010-04-01/Accounts/{account}"


class TwilioError(SimulatorError):
    """An answer that is no success."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> web.Response:
        """In Twilio's shape."""
        return web.json_response(
            {
                "code": self.code,
                "message": str(self),
                "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
                "status": self.status,
            },
            status=self.status,
        )


class TwilioApi:
    """The routes of one account."""

    def __init__(self, carrier: PretendedCarrier, *, account_sid: str, auth_token: str) -> None:
        self._carrier = carrier
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._trouble = ApiTrouble(carrier)

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        calls, rooms = f"{_ROOT}/Calls", f"{_ROOT}/Conferences"
        table: list[tuple[str, str, Handler]] = [
            ("POST", f"{calls}.json", self._create_call),
            ("GET", f"{calls}/{{call}}.json", self._show_call),
            ("POST", f"{calls}/{{call}}.json", self._update_call),
            ("GET", f"{rooms}.json", self._list_rooms),
            ("GET", f"{rooms}/{{room}}.json", self._show_room),
            ("POST", f"{rooms}/{{room}}.json", self._update_room),
            ("GET", f"{rooms}/{{room}}/Participants.json", self._list_members),
            ("POST", f"{rooms}/{{room}}/Participants.json", self._create_member),
            ("GET", f"{rooms}/{{room}}/Participants/{{call}}.json", self._show_member),
            ("POST", f"{rooms}/{{room}}/Participants/{{call}}.json", self._update_member),
            ("DELETE", f"{rooms}/{{room}}/Participants/{{call}}.json", self._remove_member),
        ]
        return [web.route(method, path, self._guarded(handler)) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._admit(request)
                await self._meet_trouble()
                form = await request.post()
                values = {name: [str(value) for value in form.getall(name)] for name in form}
                return await handler(request, values)
            except TwilioError as error:
                return error.response()
            except MarkupError as error:
                return TwilioError(400, error.code, str(error)).response()
            except SimulatorError as error:
                return TwilioError(400, 21200, str(error)).response()

        return handle

    def _admit(self, request: web.Request) -> None:
        kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            name = secret = ""
        known = name == self._account_sid and hmac.compare_digest(secret, self._auth_token)
        if kind.lower() != "basic" or not known:
            raise TwilioError(401, 20003, "Authenticate")
        if request.match_info["account"] != self._account_sid:
            raise _not_found(request)

    async def _meet_trouble(self) -> None:
        status = await self._trouble.meet()
        if status == 429:
            raise TwilioError(429, 20429, "Too Many Requests")
        if status is not None:
            raise TwilioError(status, 20500, "Internal Server Error")

    # Calls

    async def _create_call(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        to, caller = _one(form, "To"), _one(form, "From")
        if to is None:
            raise TwilioError(400, 21201, "No 'To' number is specified")
        if caller is None:
            raise TwilioError(400, 21213, "'From' phone number is required")
        instruction = _instruction(form)
        if instruction is None:
            raise TwilioError(400, 21205, "Url parameter is required")
        call = await self._carrier.call_out(to, caller=caller, report_to=_report_to(form))
        self._start(call.leg, instruction, timeout_s=_seconds(form, "Timeout", 60.0))
        return web.json_response(self._call(call.leg), status=201)

    def _start(self, leg: Leg, instruction: Instruction, *, timeout_s: float) -> None:
        leg.call()

        async def follow() -> None:
            try:
                async with asyncio.timeout(timeout_s):
                    await leg.until(lambda: leg.is_answered)
            except TimeoutError:
                leg.end(LegStatus.NO_ANSWER)
            if not leg.is_over:
                self._carrier.run_flow(leg, instruction)

        self._carrier.spawn(follow, name=f"call to {leg.facts.called}")

    async def _show_call(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        return web.json_response(self._call(self._leg(request)))

    async def _update_call(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        leg = self._leg(request)
        instruction, status = _instruction(form), _one(form, "Status")
        if leg.is_over:
            raise TwilioError(400, 21220, "Call is not in-progress. Cannot redirect.")
        if status in ("completed", "canceled"):
            leg.end(LegStatus.COMPLETED if leg.is_answered else LegStatus.CANCELED, sip_status=480)
        elif status is not None:
            raise TwilioError(400, 21221, f"Status {status!r} is not one of completed and canceled")
        elif instruction is None:
            raise TwilioError(400, 21219, "Nothing to update: Url, Twiml or Status is needed")
        else:
            leg.note("redirected")
            self._carrier.run_flow(leg, instruction)
        return web.json_response(self._call(leg))

    # Conferences

    async def _list_rooms(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        name = request.query.get("FriendlyName")
        found = [room for room in self._carrier.rooms.values() if name in (None, room.name)]
        return web.json_response({"conferences": [self._room_view(room) for room in found], "page": 0})

    async def _show_room(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        return web.json_response(self._room_view(self._room(request)))

    async def _update_room(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        if _one(form, "Status") == "completed":
            room.end()
        return web.json_response(self._room_view(room))

    async def _list_members(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        found = [self._member_view(room, member) for member in room.members.values()]
        return web.json_response({"participants": found, "page": 0})

    async def _create_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        to, caller = _one(form, "To"), _one(form, "From")
        if to is None or caller is None:
            raise TwilioError(400, 21201, "'To' and 'From' are needed")
        named = self._named(request)
        name = request.match_info["room"] if named is None else named.name
        if named is None and name.startswith("CF"):
            raise _not_found(request)
        target = ConferenceTarget(
            name=name,
            starts_on_enter=_one(form, "StartConferenceOnEnter") != "false",
            ends_on_exit=_one(form, "EndConferenceOnExit") == "true",
            muted=_one(form, "Muted") == "true",
            beep=_one(form, "Beep") not in ("false", "onExit"),
            wait_url=_one(form, "WaitUrl"),
            label=_one(form, "Label") or "",
            report_to=_report_to(form, prefix="ConferenceStatusCallback", default="start end"),
        )
        call = await self._carrier.call_out(to, caller=caller, report_to=_report_to(form))
        self._start(call.leg, _joining(target), timeout_s=_seconds(form, "Timeout", 60.0))
        room = self._carrier.room(name)
        return web.json_response(self._member_view(room, Member(call.leg, target)), status=201)

    async def _show_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        return web.json_response(self._member_view(room, self._member(request, room)))

    async def _update_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        member = self._member(request, room)
        if (held := _one(form, "Hold")) is not None:
            room.set_held(member, held.lower() == "true")
        if (muted := _one(form, "Muted")) is not None:
            room.set_muted(member, muted.lower() == "true")
        return web.json_response(self._member_view(room, member))

    async def _remove_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        self._member(request, self._room(request)).leg.end()
        return web.Response(status=204)

    # What is asked for

    def _leg(self, request: web.Request) -> Leg:
        leg = self._carrier.find(request.match_info["call"])
        if leg is None:
            raise _not_found(request)
        return leg

    def _named(self, request: web.Request) -> Room | None:
        wanted = request.match_info["room"]
        return next((room for room in self._carrier.rooms.values() if wanted in (room.sid, room.name)), None)

    def _room(self, request: web.Request) -> Room:
        room = self._named(request)
        if room is None:
            raise _not_found(request)
        return room

    def _member(self, request: web.Request, room: Room) -> Member:
        wanted = request.match_info["call"]
        for member in room.members.values():
            if wanted in (member.leg.sid, member.target.label):
                return member
        raise _not_found(request)

    # What is shown

    def _call(self, leg: Leg) -> dict[str, Any]:
        facts = leg.facts
        return {
            "sid": facts.sid,
            "account_sid": self._account_sid,
            "parent_call_sid": facts.parent_sid,
            "from": facts.caller,
            "to": facts.called,
            "status": leg.status.value,
            "direction": facts.direction,
            "duration": str(round(leg.times.talked_s)) if leg.is_over else None,
            "api_version": "2010-04-01",
            "uri": f"/2010-04-01/Accounts/{self._account_sid}/Calls/{facts.sid}.json",
        }

    def _room_view(self, room: Room) -> dict[str, Any]:
        return {
            "sid": room.sid,
            "account_sid": self._account_sid,
            "friendly_name": room.name,
            "status": "completed" if room.over else "in-progress" if room.started else "init",
            "uri": f"/2010-04-01/Accounts/{self._account_sid}/Conferences/{room.sid}.json",
        }

    def _member_view(self, room: Room, member: Member) -> dict[str, Any]:
        return {
            "account_sid": self._account_sid,
            "call_sid": member.leg.sid,
            "conference_sid": room.sid,
            "label": member.target.label or None,
            "muted": member.muted,
            "hold": member.held,
            "start_conference_on_enter": member.target.starts_on_enter,
            "end_conference_on_exit": member.target.ends_on_exit,
            "status": "connected" if member.leg.is_answered else member.leg.status.value,
        }


def _one(form: Mapping[str, list[str]], name: str) -> str | None:
    values = form.get(name)
    return values[-1] if values else None


def _seconds(form: Mapping[str, list[str]], name: str, usual: float) -> float:
    text = _one(form, name)
    if text is None:
        return usual
    if not text.isdigit():
        raise TwilioError(400, 21200, f"{name} is no number of seconds")
    return float(text)


def _instruction(form: Mapping[str, list[str]]) -> Instruction | None:
    """What a call is told to do."""
    twiml, url = _one(form, "Twiml"), _one(form, "Url")
    if twiml is not None:
        return parse_document(twiml.encode())
    if url is not None:
        return Fetch(url=url, method=(_one(form, "Method") or "POST").upper(), purpose="instruction")
    return None


def _report_to(
    form: Mapping[str, list[str]], *, prefix: str = "StatusCallback", default: str = "completed"
) -> ReportTo | None:
    url = _one(form, prefix)
    if url is None:
        return None
    events = " ".join(form.get(f"{prefix}Event", [default])).split()
    return ReportTo(url=url, method=(_one(form, f"{prefix}Method") or "POST"), events=frozenset(events))


def _joining(target: ConferenceTarget) -> Document:
    """What a participant made by the API does."""
    dial = DialVerb(
        action=None,
        method="POST",
        timeout_s=30.0,
        time_limit_s=14_400.0,
        caller_id=None,
        answers_on_bridge=False,
        hangs_up_on_star=False,
        refer_url=None,
        refer_method="POST",
        targets=(),
        conference=target,
    )
    return Document(verbs=(dial,))


def _not_found(request: web.Request) -> TwilioError:
    return TwilioError(404, 20404, f"The requested resource {request.path} was not found")
