"""Whatever a conversation holds and its server leaves unanswered, taking over ends and hurts nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.identifiers import ToolCallId
from sipagent.realtime import (
    PendingToolCall,
    RealtimeAgent,
    RealtimeModelRequestResponse,
    RealtimeRunner,
    RealtimeTakeover,
    function_tool,
)
from sipagent.realtime.taking_over import ANSWER_S
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime.running_session import Json, RunningSession, answered, called, said
from tests.support.virtual_time import run_virtually

COMMANDS = ("conversation.item.create", "conversation.item.retrieve", "conversation.item.delete")
CALLS = ("call_1", "call_2", "call_3")


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """What may stand in a conversation: words, calls, and the outputs of some of them."""
    items: list[Json] = []
    for number in range(draw(st.integers(0, 3))):
        items.append(said(f"item_{number}", "Well.", role=draw(st.sampled_from(("user", "assistant")))))
    for call_id in draw(st.sets(st.sampled_from(CALLS))):
        status = draw(st.sampled_from(("completed", "completed", "in_progress")))
        items.append(called(call_id, "book", status=status))
        if status == "completed" and draw(st.booleans()):
            items.append(answered(call_id, "booked before"))
    return items


async def take_over(
    items: list[Json], pending: frozenset[str], ignores: frozenset[str], refuses: frozenset[str]
) -> None:
    runs: list[str] = []

    @function_tool
    async def book() -> str:
        """Book."""
        runs.append("run")
        return "booked now"

    server = RunningSession(*items, ignores=ignores, refuses=refuses)
    had_output = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    model = ScriptedRealtimeModel(answer=server)
    known = RealtimeTakeover(
        pending=tuple(
            PendingToolCall(tool_call_id=ToolCallId(each), name="book", arguments="{}") for each in pending
        )
    )
    agent = RealtimeAgent[Any](name="Practice", tools=[book])
    session = await RealtimeRunner(agent, model=model).run(takeover=known)
    loop = asyncio.get_running_loop()
    async with session:
        assert loop.time() <= ANSWER_S + 0.001
        while session._work.running:
            await asyncio.wait(session._work.running)
        outcome = session.takeover_outcome
        assert outcome is not None
        assert len(runs) == len(outcome.rerun)
        # What the server said has an output is believed, and nothing that lacks one is left out.
        if not ignores and not refuses:
            assert not outcome.rerun & had_output
            assert [*_meaning(server.items)][: len(items)] == [*_meaning(items)], "all stands where it stood"
            assert outcome.rerun == {*(pending - had_output), *_missed(items, pending)}
        assert pending - had_output <= outcome.rerun or "conversation.item.retrieve" in ignores
        for call_id in CALLS:
            assert len(server.outputs(call_id)) <= 1
        marks = [item for item in server.items if item["type"] == "message" and item["role"] == "system"]
        assert not marks or "conversation.item.delete" in ignores | refuses
        assert not [item for item in session.history if item.item_id.startswith("takeover_")]
        asked = [event for event in model.sent if isinstance(event, RealtimeModelRequestResponse)]
        assert len(asked) <= 1
    assert model.config is None


def _meaning(items: list[Json]) -> Iterator[str]:
    """The items, but for their ids."""
    return (json.dumps({**item, "id": None, "status": None}, sort_keys=True) for item in items)


def _missed(items: list[Json], pending: frozenset[str]) -> set[str]:
    """The calls at the end that nobody has heard."""
    missed: set[str] = set()
    for item in reversed(items):
        if item["type"] != "function_call" or item["status"] != "completed" or item["call_id"] in pending:
            break
        missed.add(item["call_id"])
    return missed


@given(
    items=conversations(),
    pending=st.frozensets(st.sampled_from(CALLS)),
    ignores=st.frozensets(st.sampled_from(COMMANDS)),
    refuses=st.frozensets(st.sampled_from(COMMANDS)),
)
@settings(max_examples=150, deadline=None)
def test_taking_over_ends_soon_and_answers_every_call_at_most_once(
    items: list[Json], pending: frozenset[str], ignores: frozenset[str], refuses: frozenset[str]
) -> None:
    run_virtually(take_over(items, pending, ignores, refuses))
