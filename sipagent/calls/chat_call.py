"""The telephone call that a conversation in writing stands for: who calls whom, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lookup import LONGEST_TIMEOUT_S
from sipagent.calls.mcp_door import furnished
from sipagent.calls.preparation import PreparedProfile, prepare_all
from sipagent.calls.profile import AgentProfile
from sipagent.calls.routing import FrontDoor
from sipagent.calls.variables import Business
from sipagent.clock import utc_now
from sipagent.identifiers import CallId


@dataclass(frozen=True, slots=True, kw_only=True)
class PretendedCall:
    """A call that nobody makes."""

    door: FrontDoor
    """The configuration: who else there is to hand over to, and where values of variables come from."""
    call: IncomingCall
    now: datetime
    """When it comes, an aware moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readied:
    """What a conversation in writing is led with."""

    prepared: PreparedProfile
    values: Mapping[str, str]
    """What the names of templates stand for."""
    missing: tuple[str, ...]
    """What could not be had, in sentences."""


def call_from_nobody(profile: AgentProfile) -> PretendedCall:
    """A call now, of which nothing is known, to ``profile`` alone."""
    call = IncomingCall(
        call_id=CallId("chat"),
        webhook_id="chat",
        caller=None,
        dialled=None,
        sip_call_id=None,
        sip_headers=(),
        media_security=None,
    )
    door = FrontDoor(profiles={profile.name: profile}, routes=(), fingerprint="", business=Business())
    return PretendedCall(door=door, call=call, now=utc_now())


@asynccontextmanager
async def readied(profile: AgentProfile, pretended: PretendedCall) -> AsyncIterator[Readied]:
    """``profile`` as it would answer the call, with those whom it may hand over to; their MCP servers run
    until this is left. Lookups are made. Raises `UserError` when no session can be made; cancel-safe."""
    async with AsyncExitStack() as stack:
        crew = _crew(profile, pretended.door.profiles)
        profiles, missing = await stack.enter_async_context(furnished(crew))
        prepared = (await prepare_all(replace(pretended.door, profiles=profiles)))[profile.name]
        deadline = asyncio.get_running_loop().time() + LONGEST_TIMEOUT_S
        briefed = await prepared.briefing.about(pretended.call, now=pretended.now, deadline=deadline)
        failures = (
            f"The lookup {outcome.name} found nothing, and its defaults stand: {outcome.failure}."
            for outcome in briefed.outcomes
            if outcome.failure is not None
        )
        yield Readied(prepared=prepared, values=briefed.values, missing=(*missing, *failures))


def _crew(first: AgentProfile, known: Mapping[str, AgentProfile]) -> dict[str, AgentProfile]:
    """``first`` and everybody whom a caller may get to from there."""
    crew = {first.name: first}
    waiting = list(first.handoffs)
    while waiting:
        name = waiting.pop()
        if name not in crew and name in known:
            crew[name] = known[name]
            waiting += known[name].handoffs
    return crew
