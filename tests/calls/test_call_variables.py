"""Calls answered with what is known of them: the session, the record, and what the caller gets instead."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp import web

import sipagent.calls.generation
from sipagent.calls import CallsClient, EndReason, FaultOwner, FrontDoor, prepare_all
from sipagent.calls.briefing import Briefed, Briefing
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lookup import LONGEST_TIMEOUT_S, Lookup
from sipagent.calls.preparation import TemplateInstructions
from sipagent.calls.template import Template
from sipagent.identifiers import CallId
from sipagent.realtime import RealtimeAgent, RealtimeSession, RunContextWrapper, ToolContext, function_tool
from sipagent.simulator.call_values import EndedBy
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.virtual import VirtualLeg
from sipagent.store import CallRecord
from tests.calls.test_briefing import briefing
from tests.calls.test_lookup import serving
from tests.support.practice import QUICK, front_door, practice

SCRIPT = """
greeting: Hello.
turns:
  - call: {tool: who_calls, then: "You are {output}."}
  - {say: Goodbye., call: hang_up}
otherwise: {say: Goodbye., call: hang_up}
"""
LINES = (Say(text="Who am I?"), Say(text="Bye."))


@function_tool
async def who_calls(context: ToolContext[Any]) -> str:
    """Tell who calls."""
    return str(context.context.variables.get("customer.name", "nobody"))


def door_with(**changes: Any) -> FrontDoor:
    door = front_door(greeting="Hello {{customer.name | there}}.", tools=[who_calls])
    (profile,) = door.profiles.values()
    changed = replace(profile, agent=replace(profile.agent, **changes))
    return replace(door, profiles={profile.name: changed})


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every session that was sent with an accept."""
    sessions: list[dict[str, Any]] = []
    accept = CallsClient.accept

    async def note(
        client: CallsClient,
        call_id: CallId,
        session: bytes,
        *,
        deadline: float,
        maybe_accepted: bool = False,
    ) -> None:
        sessions.append(json.loads(session))
        await accept(client, call_id, session, deadline=deadline)

    monkeypatch.setattr(CallsClient, "accept", note)
    return sessions


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that was to be said word for word."""
    texts: list[str] = []
    say = RealtimeSession.say

    async def note(session: RealtimeSession, text: str, *, interruptible: bool = True) -> None:
        texts.append(text)
        await say(session, text, interruptible=interruptible)

    monkeypatch.setattr(RealtimeSession, "say", note)
    return texts


def known(monkeypatch: pytest.MonkeyPatch, there: Briefing) -> None:
    monkeypatch.setattr(sipagent.calls.generation, "prepare_all", partial(prepare_all, briefing=there))


async def one_call(door: FrontDoor, plan: CallPlan | None = None) -> tuple[EndedBy | None, CallRecord]:
    quick = SilentVoice(ms_per_character=15)
    plan = plan or CallPlan(steps=LINES, hangs_up=False, patience_s=3.0)
    async with practice(door=door, script=SCRIPT, virtual_voice=quick) as desk:
        call = await desk.call(plan)
        return call.ended_by, await desk.ended_record(call.call_id)


BY_TEMPLATE = TemplateInstructions(
    Template(
        "For {{customer.name | a stranger}} from {{caller}} ({{sip.x-tenant}}), {{calendar.office.open}}."
    )
)


async def test_a_call_is_answered_with_what_was_looked_up(
    accepted: list[dict[str, Any]], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"customer": {"name": "Ann Lee"}})

    async with serving(answer) as base:
        crm = Lookup(
            name="customer",
            url=Template(f"{base}/{{{{caller}}}}"),
            take={"name": "/customer/name"},
            defaults={},
            timeout_s=3,
        )
        known(monkeypatch, briefing(crm))
        plan = CallPlan(steps=LINES, hangs_up=False, patience_s=3.0, headers=(("X-Tenant", "acme"),))
        _, record = await one_call(door_with(instructions=BY_TEMPLATE), plan)
    assert [each["instructions"] for each in accepted] == ['For "Ann Lee" from +15550100123 ("acme"), open.']
    assert said == ["Hello Ann Lee."]
    assert record.summary.end_reason == EndReason.AGENT_HUNG_UP.value
    assert [run.output for run in record.tools if run.name == "who_calls"] == ["Ann Lee"]


async def test_a_lookup_that_hangs_costs_its_time_and_no_more(
    accepted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with serving(answer) as base:
        crm = Lookup(name="customer", url=Template(base), take={"name": ""}, defaults={}, timeout_s=0.2)
        known(monkeypatch, briefing(crm))
        _, record = await one_call(door_with(instructions=BY_TEMPLATE))
        released.set()
    assert [each["instructions"] for each in accepted] == [
        "For a stranger from +15550100123 (unknown), open."
    ]
    assert record.summary.end_reason == EndReason.AGENT_HUNG_UP.value
    assert "Lookup customer: no answer within" in caplog.text


class Noted(Briefing):
    """Notes with what it is asked."""

    asked: ClassVar[list[tuple[float, Any]]] = []

    async def about(
        self, call: IncomingCall, *, now: datetime, deadline: float, http: aiohttp.ClientSession | None = None
    ) -> Briefed:
        self.asked.append((deadline - asyncio.get_running_loop().time(), http))
        return await super().about(call, now=now, deadline=deadline, http=http)


async def test_lookups_share_connections_and_a_bound_below_that_of_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Noted.asked.clear()
    known(monkeypatch, Noted())
    await one_call(door_with(instructions="Be kind."))
    ((left_s, used),) = Noted.asked
    assert isinstance(used, aiohttp.ClientSession), "the service's own, for all of its calls"
    assert used.closed, "and closed with it"
    assert left_s <= LONGEST_TIMEOUT_S < QUICK.answer_timeout_s


def raises(wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> str:
    raise KeyError("a secret")


async def never_done(wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> str:
    await asyncio.Event().wait()
    return ""


@pytest.mark.parametrize(
    ("instructions", "detail"),
    [
        (raises, "The function that decides the instructions of front-desk raised KeyError."),
        (never_done, "The functions that make the session took too long."),
    ],
)
async def test_a_function_of_the_operator_that_fails_is_answered_with_a_refusal(
    instructions: Any, detail: str, accepted: list[dict[str, Any]]
) -> None:
    door = door_with(instructions=instructions)
    settings = replace(QUICK, answer_timeout_s=3.0)
    async with practice(door=door, script=SCRIPT, calls=settings) as desk:
        call = await desk.call()
        assert call.ended_by is EndedBy.REJECT
        assert isinstance(call.leg, VirtualLeg)
        assert call.leg.final_status == 503
        record = await desk.ended_record(call.call_id)
    assert accepted == []
    assert record.summary.end_reason == EndReason.OPERATOR_CODE_FAILED.value
    assert record.summary.fault_owner == FaultOwner.OPERATOR.value
    assert record.end_detail == detail


async def test_a_function_that_fails_after_the_answer_hangs_up() -> None:
    asked: list[str] = []

    def once(wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> bool:
        asked.append(agent.name)
        if len(asked) > 1:
            raise KeyError("a secret")
        return True

    door = door_with(tools=[replace(who_calls, is_enabled=once)])
    ended_by, record = await one_call(door, CallPlan(hangs_up=False, patience_s=3.0))
    assert ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.OPERATOR_CODE_FAILED.value
    assert record.end_detail == "The function that decides whether who_calls is offered raised KeyError."
