"""How the carriers call people and move callers, each in its own way: by documents, or by commands."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from typing import Protocol

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.base import (
    Callbacks,
    Command,
    DialNumber,
    HangUp,
    JoinConference,
    OfferCall,
    SayAndHangUp,
)
from sipagent.carrier.markup import Dialect, render
from sipagent.carrier.plan import conference_name
from sipagent.carrier.rest import CallControlApi
from sipagent.carrier.telnyx_call_control import client_state, commands
from sipagent.errors import CarrierError

logger = logging.getLogger(__name__)


class People(Protocol):
    """Calls people, and moves the caller. Every coroutine raises `CarrierError`."""

    async def call(self, number: str, caller_id: str, words: OfferCall) -> str | None:
        """Call somebody; their leg, None where that is not said."""
        ...

    async def brief(self, person_leg: str, words: OfferCall) -> None:
        """Somebody answered: tell them, where that was not said with the call."""
        ...

    async def admit(self, person_leg: str, offer: str, after: Callbacks) -> str:
        """Have somebody who takes the call wait where the caller will join them: the place, for `join`.
        ``after`` is for what comes then."""
        ...

    async def join(self, place: str, offer: str, after: Callbacks) -> None:
        """Put the caller there, who is with them then."""
        ...

    async def say(self, leg_id: str, words: SayAndHangUp) -> None:
        """Let a leg hear ``words``, whatever it does now, and end."""
        ...

    async def send_caller(self, instruction: DialNumber) -> None:
        """Let the caller's leg go on with ``instruction``, whatever it does now."""
        ...

    async def end(self, leg_id: str) -> None:
        """End a leg."""
        ...

    async def state(self, leg_id: str) -> str:
        """The kind of report that a leg's state would be."""
        ...


class Documents(Protocol):
    """As `TwilioApi` and `TexmlApi`."""

    async def call(
        self, *, to: str, caller_id: str, document: str, status_url: str, answer_timeout_s: int
    ) -> str | None:
        """Call somebody, who gets ``document`` when they answer; their leg."""
        ...

    async def redirect(self, leg_id: str, document: str) -> None:
        """Let a leg go on with ``document``."""
        ...

    async def end(self, leg_id: str) -> None:
        """End a leg."""
        ...

    async def status(self, leg_id: str) -> str | None:
        """The carrier's word for how a leg is."""
        ...


class ByDocuments:
    """Where a leg runs documents: TwiML, TeXML."""

    def __init__(self, leg: CarrierLeg, api: Documents, dialect: Dialect) -> None:
        """``leg`` is the caller's."""
        self._leg_id = leg.carrier_call_id
        self._api = api
        self._dialect = dialect

    async def call(self, number: str, caller_id: str, words: OfferCall) -> str | None:
        """See `People.call`."""
        return await self._api.call(
            to=number,
            caller_id=caller_id,
            document=render(words, self._dialect),
            status_url=words.callbacks.url("status"),
            answer_timeout_s=words.answer_timeout_s,
        )

    async def brief(self, person_leg: str, words: OfferCall) -> None:
        """The document of their call says it."""

    async def admit(self, person_leg: str, offer: str, after: Callbacks) -> str:
        """See `People.admit`."""
        place = conference_name(offer)
        await self._api.redirect(person_leg, render(JoinConference(name=place), self._dialect))
        return place

    async def join(self, place: str, offer: str, after: Callbacks) -> None:
        """See `People.join`."""
        await self._api.redirect(self._leg_id, render(JoinConference(name=place), self._dialect))

    async def say(self, leg_id: str, words: SayAndHangUp) -> None:
        """See `People.say`."""
        await self._api.redirect(leg_id, render(words, self._dialect))

    async def send_caller(self, instruction: DialNumber) -> None:
        """See `People.send_caller`."""
        await self._api.redirect(self._leg_id, render(instruction, self._dialect))

    async def end(self, leg_id: str) -> None:
        """See `People.end`."""
        await self._api.end(leg_id)

    async def state(self, leg_id: str) -> str:
        """See `People.state`."""
        return (await self._api.status(leg_id) or "").replace("-", "_")


class ByCommands:
    """Where a leg is commanded: Call Control."""

    def __init__(self, leg: CarrierLeg, api: CallControlApi) -> None:
        """``leg`` is the caller's."""
        self._leg = leg
        self._api = api

    async def call(self, number: str, caller_id: str, words: OfferCall) -> str | None:
        """See `People.call`."""
        return await self._api.call(
            to=number,
            caller_id=caller_id,
            client_state=client_state(words.callbacks.token),
            command_id=words.callbacks.place,
            answer_timeout_s=words.answer_timeout_s,
        )

    async def brief(self, person_leg: str, words: OfferCall) -> None:
        """See `People.brief`."""
        for command in commands(words, replace(self._leg, carrier_call_id=person_leg), answered=True):
            await self._api.command(command)

    async def admit(self, person_leg: str, offer: str, after: Callbacks) -> str:
        """See `People.admit`."""
        # By this state, the end of the person's leg is that of a step of the caller's: the conference would
        # leave them alone. And the end of an audio socket, which was another step, concerns nobody any more.
        state = client_state(after.token)
        return await self._api.make_conference(conference_name(offer), person_leg, state, f"{offer}-make")

    async def join(self, place: str, offer: str, after: Callbacks) -> None:
        """See `People.join`."""
        state = client_state(after.token)
        await self._api.join_conference(place, self._leg.carrier_call_id, state, f"{offer}-join")
        await self._stop_streaming(state)

    async def say(self, leg_id: str, words: SayAndHangUp) -> None:
        """See `People.say`."""
        for command in commands(words, replace(self._leg, carrier_call_id=leg_id), answered=True):
            await self._api.command(command)

    async def send_caller(self, instruction: DialNumber) -> None:
        """See `People.send_caller`."""
        for command in commands(instruction, self._leg, answered=True):
            await self._api.command(command)
        await self._stop_streaming(client_state(instruction.callbacks.token))

    async def end(self, leg_id: str) -> None:
        """See `People.end`."""
        for command in commands(HangUp(), replace(self._leg, carrier_call_id=leg_id), answered=True):
            await self._api.command(command)

    async def state(self, leg_id: str) -> str:
        """See `People.state`."""
        return "answered" if await self._api.is_alive(leg_id) else "completed"

    async def _stop_streaming(self, state: str) -> None:
        """An audio socket is no part of what a leg does, and stays open unless it is closed."""
        leg_id = self._leg.carrier_call_id
        try:
            await self._api.command(
                Command(
                    leg_id=leg_id,
                    action="streaming_stop",
                    command_id=f"stop-{hashlib.sha256(leg_id.encode()).hexdigest()[:24]}",
                    body={"client_state": state},
                )
            )
        except CarrierError as error:
            logger.debug("There is no audio socket to be closed: %s", error)
