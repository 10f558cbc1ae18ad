"""The REST API about calls that follow documents, and conferences: Twilio's, and Telnyx' for TeXML, which is
alike.

From Twilio's public documentation: "Call resource", "Conference resource", "Participant resource", "API
responses". From Telnyx': "TeXML REST commands".
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.api_faults import ApiTrouble
from sipagent.simulator.carrier.conference import Member, Room
from sipagent.simulator.carrier.document_forms import (
    ApiError,
    form_of,
    instruction_of,
    joining,
    not_found,
    one,
    report_to_of,
    seconds_of,
)
from sipagent.simulator.carrier.flow import Instruction
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.markup import MarkupError
from sipagent.simulator.carrier.verbs import ConferenceTarget

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier

Handler: TypeAlias = Callable[[web.Request, Mapping[str, list[str]]], Awaitable[web.Response]]


class DocumentApi(ABC):
    """The routes of one account below ``root``, which ends with the account."""

    def __init__(self, carrier: PretendedCarrier, *, account_sid: str, root: str) -> None:
        self._carrier = carrier
        self._account_sid = account_sid
        self._root = root
        self._trouble = ApiTrouble(carrier)

    @abstractmethod
    def _admit(self, request: web.Request) -> None:
        """Raises `ApiError` for whoever may not ask."""

    @abstractmethod
    def _refusal(self, error: ApiError) -> web.Response:
        """An error as the carrier writes it."""

    def routes(self) -> list[web.RouteDef]:
        """All of them, with and without ``.json``."""
        one_call, one_room = "Calls/{call}", "Conferences/{room}"
        table: list[tuple[str, str, Handler]] = [
            ("POST", "Calls", self._create_call),
            ("GET", one_call, self._show_call),
            ("POST", one_call, self._update_call),
            ("GET", "Conferences", self._list_rooms),
            ("GET", one_room, self._show_room),
            ("POST", one_room, self._update_room),
            ("GET", f"{one_room}/Participants", self._list_members),
            ("POST", f"{one_room}/Participants", self._create_member),
            ("GET", f"{one_room}/Participants/{{call}}", self._show_member),
            ("POST", f"{one_room}/Participants/{{call}}", self._update_member),
            ("DELETE", f"{one_room}/Participants/{{call}}", self._remove_member),
        ]
        return [
            web.route(method, f"{self._root}/{path}{suffix}", self._guarded(handler))
            for method, path, handler in table
            for suffix in (".json", "")
        ]

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._admit(request)
                await self._meet_trouble()
                return await handler(request, await form_of(request))
            except ApiError as error:
                return self._refusal(error)
            except MarkupError as error:
                return self._refusal(ApiError(400, error.code, str(error)))
            except SimulatorError as error:
                return self._refusal(ApiError(400, 21200, str(error)))

        return handle

    async def _meet_trouble(self) -> None:
        status = await self._trouble.meet()
        if status == 429:
            raise ApiError(429, 20429, "Too Many Requests")
        if status is not None:
            raise ApiError(status, 20500, "Internal Server Error")

    # Calls

    async def _create_call(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        to, caller = one(form, "To"), one(form, "From")
        if to is None:
            raise ApiError(400, 21201, "No 'To' number is specified")
        if caller is None:
            raise ApiError(400, 21213, "'From' phone number is required")
        instruction = instruction_of(form)
        if instruction is None:
            raise ApiError(400, 21205, "Url parameter is required")
        call = await self._carrier.call_out(to, caller=caller, report_to=report_to_of(form))
        self._start(call.leg, instruction, timeout_s=seconds_of(form, "Timeout", 60.0))
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
        instruction, status = instruction_of(form), one(form, "Status")
        if leg.is_over:
            raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
        if status in ("completed", "canceled"):
            leg.end(LegStatus.COMPLETED if leg.is_answered else LegStatus.CANCELED, sip_status=480)
        elif status is not None:
            raise ApiError(400, 21221, f"Status {status!r} is not one of completed and canceled")
        elif instruction is None:
            raise ApiError(400, 21219, "Nothing to update: Url, Twiml or Status is needed")
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
        if one(form, "Status") == "completed":
            room.end()
        return web.json_response(self._room_view(room))

    async def _list_members(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        found = [self._member_view(room, member) for member in room.members.values()]
        return web.json_response({"participants": found, "page": 0})

    async def _create_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        to, caller = one(form, "To"), one(form, "From")
        if to is None or caller is None:
            raise ApiError(400, 21201, "'To' and 'From' are needed")
        named = self._named(request)
        name = request.match_info["room"] if named is None else named.name
        if named is None and name.startswith("CF"):
            raise not_found(request)
        target = ConferenceTarget(
            name=name,
            starts_on_enter=one(form, "StartConferenceOnEnter") != "false",
            ends_on_exit=one(form, "EndConferenceOnExit") == "true",
            muted=one(form, "Muted") == "true",
            beep=one(form, "Beep") not in ("false", "onExit"),
            wait_url=one(form, "WaitUrl"),
            label=one(form, "Label") or "",
            report_to=report_to_of(form, prefix="ConferenceStatusCallback", default="start end"),
        )
        call = await self._carrier.call_out(to, caller=caller, report_to=report_to_of(form))
        self._start(call.leg, joining(target), timeout_s=seconds_of(form, "Timeout", 60.0))
        room = self._carrier.room(name)
        return web.json_response(self._member_view(room, Member(call.leg, target)), status=201)

    async def _show_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        return web.json_response(self._member_view(room, self._member(request, room)))

    async def _update_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        room = self._room(request)
        member = self._member(request, room)
        if (held := one(form, "Hold")) is not None:
            room.set_held(member, held.lower() == "true")
        if (muted := one(form, "Muted")) is not None:
            room.set_muted(member, muted.lower() == "true")
        return web.json_response(self._member_view(room, member))

    async def _remove_member(self, request: web.Request, form: Mapping[str, list[str]]) -> web.Response:
        self._member(request, self._room(request)).leg.end()
        return web.Response(status=204)

    # What is asked for

    def _leg(self, request: web.Request) -> Leg:
        leg = self._carrier.find(request.match_info["call"])
        if leg is None:
            raise not_found(request)
        return leg

    def _named(self, request: web.Request) -> Room | None:
        wanted = request.match_info["room"]
        return next((room for room in self._carrier.rooms.values() if wanted in (room.sid, room.name)), None)

    def _room(self, request: web.Request) -> Room:
        room = self._named(request)
        if room is None:
            raise not_found(request)
        return room

    def _member(self, request: web.Request, room: Room) -> Member:
        wanted = request.match_info["call"]
        for member in room.members.values():
            if wanted in (member.leg.sid, member.target.label):
                return member
        raise not_found(request)

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
            "uri": f"{self._root}/Calls/{facts.sid}.json",
        }

    def _room_view(self, room: Room) -> dict[str, Any]:
        return {
            "sid": room.sid,
            "account_sid": self._account_sid,
            "friendly_name": room.name,
            "status": "completed" if room.over else "in-progress" if room.started else "init",
            "uri": f"{self._root}/Conferences/{room.sid}.json",
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
