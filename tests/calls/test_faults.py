"""Every entry of the fault menu ends in exactly one terminal record, with the right reason and owner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sipagent.calls import EndReason, FaultOwner, fault_owner
from sipagent.simulator.call_values import CallSettings, EndedBy
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.faults import Fault, FaultSet
from sipagent.simulator.speech import SilentVoice
from sipagent.store import CallEnded, Fact, MemoryCallStore
from tests.support.practice import QUICK, Practice, front_door, practice

SCRIPT = """
greeting: Hello.
turns:
  - call: {tool: next_free_slot, with: {treatment: checkup}, then: "It is {output}."}
  - {say: Goodbye., call: hang_up}
otherwise: {say: Goodbye., call: hang_up}
"""

TRANSFER_SCRIPT = """
greeting: Hello.
turns:
  - say: One moment.
    call: {tool: transfer, with: {target: billing}, then: "That did not work. Anything else?"}
  - {say: Goodbye., call: hang_up}
otherwise: {say: Goodbye., call: hang_up}
"""

LINES = (Say(text="When?"), Say(text="Thanks."), Say(text="Bye."))


class CountingStore(MemoryCallStore):
    """Counts the terminal facts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: list[CallEnded] = []

    async def apply(self, facts: Sequence[Fact]) -> None:
        self.endings += [fact for fact in facts if isinstance(fact, CallEnded)]
        await super().apply(facts)


ENDINGS = {
    "": EndReason.AGENT_HUNG_UP,
    "webhook_late=1": EndReason.AGENT_HUNG_UP,
    "webhook_duplicate": EndReason.AGENT_HUNG_UP,
    "accept_dead": EndReason.SESSION_NOT_FOUND,
    "accept_404": EndReason.CALLER_GONE,
    "accept_429": EndReason.ACCEPT_RATE_LIMITED,
    "accept_429=1": EndReason.AGENT_HUNG_UP,
    "accept_500": EndReason.ACCEPT_UNAVAILABLE,
    "accept_500=2": EndReason.AGENT_HUNG_UP,
    "accept_slow=1": EndReason.AGENT_HUNG_UP,
    "socket_404": EndReason.SESSION_NOT_FOUND,
    "socket_404=2": EndReason.AGENT_HUNG_UP,
    "socket_dropped": EndReason.AGENT_HUNG_UP,
    "socket_stalled": EndReason.MODEL_SILENT,
    "refer_slow=0.3": EndReason.TRANSFERRED,
    "refer_lost": EndReason.AGENT_HUNG_UP,
    "refer_500": EndReason.AGENT_HUNG_UP,
    "refer_500=1": EndReason.TRANSFERRED,
    "playback_stop_missing": EndReason.AGENT_HUNG_UP,
    "malformed_event": EndReason.AGENT_HUNG_UP,
    "unknown_event": EndReason.AGENT_HUNG_UP,
    "media_stalled": EndReason.AGENT_HUNG_UP,
    "caller_hangs_up_ringing": EndReason.CALLER_GONE,
    "caller_hangs_up_speaking": EndReason.CALLER_HUNG_UP,
    "caller_hangs_up_tool": EndReason.CALLER_HUNG_UP,
}

UNHEARD = ("webhook_missing", "webhook_forged")
"""The service never learns of these calls: their caller gets a SIP error, and there is nothing to record."""


def test_the_whole_menu_is_on_trial() -> None:
    tried = {fault for name in (*ENDINGS, *UNHEARD) for fault in FaultSet.parse(name).values}
    assert tried == set(Fault)


async def one_call(desk: Practice, faults: str) -> tuple[str, str, str]:
    call = await desk.call(
        CallPlan(steps=LINES, hangs_up=False, faults=FaultSet.parse(faults), patience_s=2.0)
    )
    record = await desk.ended_record(call.call_id)
    return record.summary.end_reason or "", record.summary.fault_owner or "", record.summary.state


@pytest.mark.parametrize("faults", ENDINGS, ids=lambda name: name or "none")
async def test_a_fault_ends_in_one_record_with_its_reason_and_owner(faults: str) -> None:
    store = CountingStore()
    script = TRANSFER_SCRIPT if faults.startswith("refer") else SCRIPT
    quick = SilentVoice(ms_per_character=15)
    door = front_door(greeting="Hello.")
    async with practice(door=door, script=script, store=store, virtual_voice=quick) as desk:
        reason, owner, state = await one_call(desk, faults)
    assert reason == ENDINGS[faults].value
    assert owner == fault_owner(ENDINGS[faults]).value
    assert state == "ended"
    assert len(store.endings) == 1


@pytest.mark.parametrize("faults", UNHEARD)
async def test_a_call_the_service_never_hears_of_leaves_no_record(faults: str) -> None:
    quick = CallSettings(webhook_delay_s=0.02, accept_timeout_s=1.0)
    async with practice(door=front_door(), script=SCRIPT, simulated=quick) as desk:
        call = await desk.call(CallPlan(faults=FaultSet.parse(faults)))
        assert call.ended_by is EndedBy.NO_ACCEPT
        assert await desk.store.calls() == ()
        attempts = [attempt.status for attempt in call.webhook_attempts]
    assert attempts == ([400] if faults == "webhook_forged" else [])


async def test_nobody_can_say_who_is_to_blame_for_a_session_that_is_not_there_after_a_yes() -> None:
    async with practice(door=front_door(greeting="Hello."), script=SCRIPT) as desk:
        _, owner, _ = await one_call(desk, "accept_dead")
    assert owner == FaultOwner.UNKNOWN.value


async def test_a_dead_model_ends_the_call_long_before_a_silent_caller_would() -> None:
    loop = asyncio.get_running_loop()
    async with practice(door=front_door(greeting="Hello."), script=SCRIPT) as desk:
        began = loop.time()
        reason, _, _ = await one_call(desk, "socket_stalled")
    assert reason == EndReason.MODEL_SILENT.value
    assert loop.time() - began < QUICK.limits.caller_silence_s


async def test_a_transfer_without_effect_is_told_to_the_agent_and_recorded() -> None:
    async with practice(door=front_door(greeting="Hello."), script=TRANSFER_SCRIPT) as desk:
        call = await desk.call(
            CallPlan(steps=LINES, hangs_up=False, faults=FaultSet.parse("refer_lost"), patience_s=3.0)
        )
        record = await desk.ended_record(call.call_id)
    transfer = next(run for run in record.tools if run.name == "transfer")
    assert "did not go through" in (transfer.output or "")
    assert [state.state for state in record.states][3:6] == ["talking", "transferring", "talking"]
    assert "That did not work. Anything else?" in [line.text for line in record.transcript]
