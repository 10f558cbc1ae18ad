"""A telephone call in memory: a Calls API and a model that do what a test says, at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from sipagent.calls import (
    CallJournal,
    CallsClient,
    CallServices,
    CallSettings,
    FrontDoor,
    IncomingCall,
    PhoneCall,
    sip_line,
)
from sipagent.calls.preparation import PreparedProfile
from sipagent.calls.sip_line import SipLine
from sipagent.identifiers import CallId
from sipagent.realtime.events import RealtimeModelEvent
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelSendToolOutput,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from sipagent.store import CallEnded, CallNoted, Fact, StateChanged
from sipagent.telemetry import Metrics
from tests.support.profiles import prepared_alone

CALL = CallId("rtc_1")


@dataclass
class Api:
    """The Calls API of one call."""

    asked: list[str] = field(default_factory=list)
    refers: deque[Exception | None] = field(default_factory=deque)
    """How the next REFERs are answered; they are accepted when these have run out."""

    async def accept(
        self, call_id: CallId, session: bytes, *, deadline: float, maybe_accepted: bool = False
    ) -> None:
        await self._asked("accept")

    async def reject(self, call_id: CallId, status: int, *, deadline: float) -> None:
        await self._asked("reject")

    async def refer(self, call_id: CallId, target_uri: str) -> None:
        await self._asked(f"refer {target_uri}")
        if self.refers and (error := self.refers.popleft()) is not None:
            raise error

    async def hang_up(self, call_id: CallId) -> None:
        await self._asked("hang_up")

    async def _asked(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(0)


class Model(ScriptedRealtimeModel):
    """Answers each request for a response with the next of ``responses``, and then with silence."""

    def __init__(self, *responses: str) -> None:
        """Each is words that are said, or ``!name {arguments}`` for a tool that is called."""
        super().__init__(answer=self._respond)
        self._responses = deque(responses)
        self.open = 0

    def _respond(self, event: RealtimeModelSendEvent) -> Iterable[RealtimeModelEvent]:
        if isinstance(event, RealtimeModelSendToolOutput) and not event.start_response:
            return ()
        if not isinstance(event, RealtimeModelSendToolOutput | RealtimeModelRequestResponse):
            return ()
        text = self._responses.popleft() if self._responses else "I see."
        if text.startswith("!"):
            name, _, arguments = text[1:].partition(" ")
            return self.agent_calls(name, arguments or "{}")
        return self.agent_says(text)


@dataclass
class Scripted:
    """One call and what became of it."""

    call: PhoneCall
    prepared: PreparedProfile
    api: Api
    model: Model
    facts: list[Fact]

    def run(self) -> Any:
        return self.call.run(self.prepared)

    @property
    def endings(self) -> list[str]:
        return [fact.reason for fact in self.facts if isinstance(fact, CallEnded)]

    @property
    def detail(self) -> str:
        (ended,) = [fact for fact in self.facts if isinstance(fact, CallEnded)]
        return ended.detail

    @property
    def states(self) -> list[str]:
        return [fact.state for fact in self.facts if isinstance(fact, StateChanged)]

    def notes(self, kind: str) -> list[str]:
        return [fact.data for fact in self.facts if isinstance(fact, CallNoted) and fact.kind == kind]


async def scripted(
    door: FrontDoor,
    *responses: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: CallSettings,
    refers: Iterable[Exception | None] = (),
) -> Scripted:
    """A call that `door`'s one agent will answer, with a model that gives ``responses``."""
    api, model, facts = Api(refers=deque(refers)), Model(*responses), list[Fact]()
    monkeypatch.setattr(sip_line, "OpenAIRealtimeSIPModel", lambda **_: model)
    (profile,) = door.profiles.values()
    services = CallServices(
        client=cast(CallsClient, api),
        api_key="key",
        base_url="http://127.0.0.1:1/v1",
        metrics=Metrics(),
        settings=settings,
        observe=lambda *_: None,
    )
    incoming = IncomingCall(
        call_id=CALL,
        webhook_id="wh_1",
        caller="+15550100123",
        dialled="+15550100001",
        sip_call_id=None,
        sip_headers=(),
        media_security=None,
    )
    call = PhoneCall(
        incoming,
        SipLine(CALL, client=services.client),
        services=services,
        journal=CallJournal(CALL, facts.append, lambda: datetime(2026, 11, 20, tzinfo=UTC)),
        received_at=asyncio.get_running_loop().time(),
    )
    return Scripted(call=call, prepared=await prepared_alone(profile), api=api, model=model, facts=facts)
