"""Calls that people of the company end, send on and speak into."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import pytest

from sipagent.calls import FrontDoor, Manners, TransferTarget
from sipagent.calls.calendar import Calendar
from sipagent.calls.conversation import Conversation
from sipagent.calls.steering import Steering
from sipagent.calls.template import Template
from sipagent.simulator.call_values import EndedBy, Transfer
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.virtual import VirtualLeg
from tests.calls.mannered import desk_with, door_with, notes, said
from tests.support.eventually import eventually
from tests.support.practice import Practice

TALKS = """
greeting: Hello.
otherwise: I see.
"""
SILENT = CallPlan(steps=(), hangs_up=False)
GOODBYE = "We have to end here. Goodbye."
BY = "dana@ops had the call ended."


@dataclass
class Steered:
    desk: Practice
    call: SimulatedCall
    steering: Steering

    async def over(self) -> None:
        async with asyncio.timeout(30):
            await self.call.wait_over()


@asynccontextmanager
async def steered(
    monkeypatch: pytest.MonkeyPatch,
    door: FrontDoor | None = None,
    plan: CallPlan = SILENT,
    **options: Any,
) -> AsyncIterator[Steered]:
    """A call that talks, has heard its greeting, and can be steered."""
    made: list[Conversation] = []
    before = Conversation.__init__

    def remembered(self: Conversation, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Conversation, "__init__", remembered)
    manners = Manners(goodbye=Template(GOODBYE))
    async with desk_with(door or door_with(manners=manners), TALKS, **options) as desk:
        call = desk.simulator.place_call(plan)
        await eventually(lambda: heard(call, "Hello."))
        yield Steered(desk=desk, call=call, steering=made[0].steering)


def spoken(call: SimulatedCall) -> list[str]:
    """What the agent has begun to say."""
    assert call.conversation is not None
    return [line.text for line in call.conversation.transcript if line.role == "agent"]


def heard(call: SimulatedCall, words: str) -> bool:
    return call.conversation is not None and any(
        line.text == words and not line.interrupted for line in call.conversation.transcript
    )


async def test_a_polite_end_says_goodbye_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async with steered(monkeypatch) as it:
        assert it.steering.hang_up(BY, politely=True).done
        assert it.steering.hang_up(BY, politely=True).detail == "The call was being ended already."
        await it.over()
        record = await it.desk.ended_record(it.call.call_id)
        assert heard(it.call, GOODBYE)
        assert it.call.ended_by is EndedBy.HANGUP
        assert record.summary.end_reason == "hung_up_by_operator"
        assert record.summary.fault_owner == "none"
        assert record.end_detail == BY
        assert not it.steering.hang_up(BY, politely=True).done, "it is over"
        assert not (await it.steering.say("Hello?")).done
        assert not (await it.steering.transfer("billing")).done


async def test_an_end_at_once_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with steered(monkeypatch) as it:
        assert it.steering.hang_up(BY, politely=False).done
        await it.over()
        record = await it.desk.ended_record(it.call.call_id)
    assert record.summary.end_reason == "hung_up_by_operator"
    assert spoken(it.call) == ["Hello."]


async def test_an_end_at_once_overtakes_a_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Manners(goodbye=Template("So long. " * 200))
    async with steered(monkeypatch, door_with(manners=slow)) as it:
        it.steering.hang_up(BY, politely=True)
        await eventually(lambda: len(it.call.conversation.transcript) > 1 if it.call.conversation else False)
        began = asyncio.get_running_loop().time()
        it.steering.hang_up("another", politely=False)
        await it.over()
        assert asyncio.get_running_loop().time() - began < 10
        record = await it.desk.ended_record(it.call.call_id)
    assert record.end_detail == BY, "the first reason counts"


async def test_words_are_said_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    words = 'The office moved to {street} 12, "second floor".'
    async with steered(monkeypatch) as it:
        assert (await it.steering.say(words)).done
        await eventually(lambda: heard(it.call, words))
        it.steering.hang_up(BY, politely=False)
        await it.over()


async def test_a_transfer_is_announced_and_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    async with steered(monkeypatch) as it:
        steered_ = await it.steering.transfer("billing")
        assert steered_.done, steered_.detail
        await it.over()
        record = await it.desk.ended_record(it.call.call_id)
    assert record.summary.end_reason == "transferred"
    assert [note["target"] for note in notes(record, "transfer_tried")] == ["billing"]


async def test_a_transfer_that_fails_leaves_the_caller_with_an_agent_who_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = TransferTarget(name="billing", uris=("tel:+15550100009",), confirm_s=0.3)
    plan = replace(SILENT, transfers=(Transfer(transfer_status=486),))
    async with steered(monkeypatch, door_with(away), plan) as it:
        outcome = await it.steering.transfer("billing")
        assert not outcome.done
        assert outcome.detail == "The caller is still there: the transfer was not confirmed."
        await eventually(lambda: it.call.conversation and len(it.call.conversation.transcript) > 2)
        it.steering.hang_up(BY, politely=False)
        await it.over()
        record = await it.desk.ended_record(it.call.call_id)
    assert [note["outcome"] for note in notes(record, "transfer_outcome")] == ["not_confirmed"]
    assert said(record)[-2:] == ["I see.", "I see."], "it announced the transfer, and said how it went"


async def test_only_targets_of_the_configuration_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async with steered(monkeypatch) as it:
        for name in ("nobody", "tel:+15550100077", ""):
            outcome = await it.steering.transfer(name)
            assert not outcome.done
            assert outcome.detail.endswith("billing.")
        it.steering.hang_up(BY, politely=False)
        await it.over()
        record = await it.desk.ended_record(it.call.call_id)
    assert not notes(record, "transfer_tried")


async def test_two_transfers_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = TransferTarget(name="billing", uris=("tel:+15550100009",), confirm_s=0.5)
    plan = replace(SILENT, transfers=(Transfer(transfer_status=486),))
    async with steered(monkeypatch, door_with(target), plan) as it:
        first, second = await asyncio.gather(it.steering.transfer("billing"), it.steering.transfer("billing"))
        assert "was not confirmed" in first.detail
        assert second.detail == "Another transfer of this call is being tried."
        it.steering.hang_up(BY, politely=False)
        await it.over()
        record = await it.desk.ended_record(it.call.call_id)
    assert len(notes(record, "transfer_tried")) == 1


async def test_a_closed_target_is_not_called_and_the_caller_hears_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = Calendar(zone=UTC)
    target = TransferTarget(name="billing", uris=("tel:+15550100009",), calendar="office")
    door = replace(door_with(target), calendars={"office": closed})
    async with steered(monkeypatch, door) as it:
        assert (await it.steering.transfer("billing")).detail == "Nobody was called: billing is closed now."
        it.steering.hang_up(BY, politely=False)
        await it.over()
    assert spoken(it.call) == ["Hello."]


async def test_a_transfer_whose_call_breaks_off_is_not_claimed_to_be_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = TransferTarget(name="billing", uris=("tel:+15550100009",), confirm_s=20.0)
    plan = replace(SILENT, transfers=(Transfer(transfer_status=486),))
    async with steered(monkeypatch, door_with(target), plan) as it:
        transferring = asyncio.ensure_future(it.steering.transfer("billing"))
        await eventually(lambda: isinstance(it.call.leg, VirtualLeg) and it.call.leg.referrals)
        it.steering.hang_up(BY, politely=False)
        outcome = await transferring
        assert not outcome.done
        await it.over()
