"""Whole calls whose agent has manners, against the simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sipagent.calls import AgentProfile, CallSettings, FrontDoor, Manners, TransferTarget
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.speech import SilentVoice
from sipagent.store import CallRecord
from tests.support.practice import QUICK, Practice, front_door, practice

QUICKLY = SilentVoice(ms_per_character=15)


def door_with(
    *targets: TransferTarget, greeting: str | None = "Hello.", manners: Manners | None = None, **changes: Any
) -> FrontDoor:
    """The practice, with other targets and manners; ``changes`` are made to its profile."""
    door = front_door(greeting=greeting)
    (profile,) = door.profiles.values()
    changed: AgentProfile = replace(
        profile,
        transfer_targets=targets or profile.transfer_targets,
        manners=Manners() if manners is None else manners,
        **changes,
    )
    return replace(door, profiles={profile.name: changed})


@asynccontextmanager
async def desk_with(
    door: FrontDoor,
    script: str,
    *,
    calls: CallSettings = QUICK,
    voice: SilentVoice = QUICKLY,
    **options: Any,
) -> AsyncIterator[Practice]:
    """The practice with ``door``, and agents who speak fast."""
    async with practice(door=door, script=script, calls=calls, virtual_voice=voice, **options) as desk:
        yield desk


async def one_call(
    door: FrontDoor, script: str, plan: CallPlan, **options: Any
) -> tuple[SimulatedCall, CallRecord]:
    """The call and its record, when both are complete."""
    async with desk_with(door, script, **options) as desk:
        call = await desk.call(plan)
        return call, await desk.ended_record(call.call_id)


def notes(record: CallRecord, *kinds: str) -> list[dict[str, Any]]:
    """What was noted of these kinds, in order."""
    return [json.loads(note.data) for note in record.notes if note.kind in kinds]


def said(record: CallRecord, role: str = "agent") -> list[str]:
    """The lines of one side, in order."""
    return [line.text for line in record.transcript if line.role == role]
