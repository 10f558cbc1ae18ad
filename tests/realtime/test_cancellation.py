"""Cancelling a session wherever it waits: nothing stays open, nothing stays stuck.

Each test is run over and over, and cancels one turn of the event loop later each time, until what it cancels
is through before the cancelling comes. So every point at which the code waits is met.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipagent.realtime import (
    AttachPolicy,
    FunctionTool,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeModelSendEvent,
    RealtimeModelSendInterruptible,
    RealtimeRunner,
    RealtimeSession,
    RealtimeToolStart,
    function_tool,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, realtime_server

MOST_TURNS = 400
"""Turns of the event loop after which something must be through."""
QUICK = AttachPolicy(not_found_deadline_s=1.0, first_retry_s=0.01)


async def cancelled_after(turns: int, work: Coroutine[Any, Any, Any]) -> bool:
    """Run ``work``, cancel it after so many turns of the event loop; False when it was through before."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        if task.done():
            break
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([task])
    if task.cancelled():
        return True
    task.result()
    return False


async def at_every_turn(attempt: Callable[[int], Awaitable[bool]]) -> None:
    """Call ``attempt`` with one turn more each time, until it says that the cancelling came too late."""
    for turns in range(MOST_TURNS):
        if not await attempt(turns):
            assert turns > 1, "nothing was cancelled at all"
            return
    pytest.fail(f"not through after {MOST_TURNS} turns of the event loop")


async def everybody_left(server: RealtimeServer) -> None:
    """Return when every connection of the server has ended."""
    while not server._peers.empty():
        peer = await server.peer()
        await peer.gone()


def session_of(server: RealtimeServer, *tools: FunctionTool) -> Coroutine[Any, Any, RealtimeSession]:
    agent = RealtimeAgent[None](name="front-desk", instructions="Be kind.", tools=list(tools))
    runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(attach_policy=QUICK))
    return runner.run(
        model_config={"api_key": "sk-test", "base_url": server.base_url, "call_id": "rtc_1"},
    )


@asynccontextmanager
async def entered(
    server: RealtimeServer, *tools: FunctionTool
) -> AsyncIterator[tuple[RealtimeSession, Peer]]:
    session = await session_of(server, *tools)
    async with session:
        peer = await server.peer()
        await peer.receive("session.update")
        yield session, peer


async def test_cancelling_while_connecting_leaves_nothing_open() -> None:
    async with realtime_server() as server:

        async def attempt(turns: int) -> bool:
            session = await session_of(server)
            was_cancelled = await cancelled_after(turns, session.enter())
            if was_cancelled:
                await everybody_left(server)
            await session.close()
            await everybody_left(server)
            return was_cancelled

        await at_every_turn(attempt)


async def test_cancelling_between_tries_to_attach_leaves_nothing_open() -> None:
    async with realtime_server() as server:
        for turns in range(100):
            # The first handshake is refused; the later ones are let in, if it comes to them.
            server.statuses.append(404)
            session = await session_of(server)
            assert await cancelled_after(turns, session.enter()) or turns > 10
            await session.close()
            server.statuses.clear()
        await everybody_left(server)


async def test_cancelling_a_close_leaves_nothing_open_and_a_second_close_is_through() -> None:
    async with realtime_server() as server:

        async def attempt(turns: int) -> bool:
            session = await session_of(server)
            await session.enter()
            peer = await server.peer()
            await peer.receive("session.update")
            was_cancelled = await cancelled_after(turns, session.close())
            await session.close()
            await peer.gone()
            assert session.end is not None
            assert session.end.cause == "closed_by_us"
            assert [event async for event in session] == []
            return was_cancelled

        await at_every_turn(attempt)


async def test_cancelling_a_wish_to_speak_never_blocks_the_next() -> None:
    async with realtime_server() as server, entered(server) as (session, peer):

        async def attempt(turns: int) -> bool:
            was_cancelled = await cancelled_after(turns, session.say("first"))
            await session.say("second")
            while True:
                request = await peer.receive("response.create")
                response_id = f"resp_{len(peer.received)}"
                await peer.send(messages.response_created(response_id), messages.response_done(response_id))
                if "second" in request["response"]["instructions"]:
                    break
            async with asyncio.timeout(PATIENCE_S):
                assert await session.wait_until_agent_silent(PATIENCE_S)
            return was_cancelled

        # Sending is one turn when nothing holds it up; the loop only has to meet both sides of it.
        for turns in range(6):
            await attempt(turns)


async def test_cancelling_the_wait_for_silence_changes_nothing() -> None:
    async with realtime_server() as server, entered(server) as (session, peer):
        await peer.send(messages.response_created("resp_1"))
        async with asyncio.timeout(PATIENCE_S):
            while not session.response_active:
                await anext(aiter(session))
        for turns in range(6):
            assert await cancelled_after(turns, session.wait_until_agent_silent(PATIENCE_S))
        await peer.send(messages.response_done("resp_1"))
        assert await session.wait_until_agent_silent(PATIENCE_S)


async def test_cancelling_whoever_iterates_loses_no_event() -> None:
    async with realtime_server() as server, entered(server) as (session, peer):
        events = aiter(session)
        heard: list[str] = []
        for index in range(8):
            item_id = f"item_{index}"

            async def read_one() -> None:
                event = await anext(events)
                heard.append(event.type)

            assert await cancelled_after(index, read_one())
            await peer.send(messages.speech_started(item_id))
            async with asyncio.timeout(PATIENCE_S):
                await read_one()
        assert heard == ["caller_speech_started"] * 8


async def test_closing_at_any_point_of_a_tool_run_leaves_no_task() -> None:
    began = asyncio.Event()
    ended: list[str] = []

    @function_tool
    async def look_up() -> str:
        """Look something up."""
        began.set()
        try:
            for _ in range(10):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("done")
        return "found"

    async with realtime_server() as server:

        async def attempt(turns: int) -> bool:
            began.clear()
            ended.clear()
            async with entered(server, look_up) as (session, peer):
                await peer.send(
                    messages.response_created(),
                    messages.output_item_done(messages.function_call("look_up", "call_1")),
                )
                async with asyncio.timeout(PATIENCE_S):
                    async for event in session:
                        if isinstance(event, RealtimeToolStart):
                            break
                for _ in range(turns):
                    await asyncio.sleep(0)
                await session.close()
                assert [task.get_name() for task in asyncio.all_tasks() if "tool" in task.get_name()] == []
                await peer.gone()
            return ended != ["done"]

        await at_every_turn(attempt)


async def test_cancelling_a_change_of_agents_leaves_server_and_session_of_one_mind() -> None:
    async with realtime_server() as server, entered(server) as (session, peer):
        agents = {name: RealtimeAgent[None](name=name, instructions=name) for name in ("front-desk", "other")}

        async def attempt(turns: int) -> bool:
            wanted = agents["other" if session.agent.name == "front-desk" else "front-desk"]
            was_cancelled = await cancelled_after(turns, session.update_agent(wanted))
            if session.agent is wanted:
                update = await peer.receive("session.update")
                assert update["session"]["instructions"] == wanted.name
            await session.add_system_message("mark")
            await peer.receive("conversation.item.create")  # and nothing in between
            return was_cancelled

        await at_every_turn(attempt)


class SlowModel(ScriptedRealtimeModel):
    """Waits before and after it sends, as a socket may whose peer does not read."""

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        await asyncio.sleep(0)
        await super().send_event(event)
        await asyncio.sleep(0)


async def test_cancelling_an_uninterruptible_speech_lets_the_caller_interrupt_again() -> None:
    async def attempt(turns: int) -> bool:
        model = SlowModel()
        async with await RealtimeRunner(RealtimeAgent[None](name="a"), model=model).run() as session:
            if not await cancelled_after(turns, session.say("Recorded.", interruptible=False)):
                return False
            if session._runs:
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.wait(session._runs)
            told = [each for each in model.sent if isinstance(each, RealtimeModelSendInterruptible)]
            assert not told or told[-1].interruptible
            return True

    await at_every_turn(attempt)


async def test_closing_at_every_step_of_a_handoff_leaves_nothing_open() -> None:
    async with realtime_server() as server:
        second = RealtimeAgent[None](name="second")

        async def attempt(turns: int) -> bool:
            agent = RealtimeAgent[None](name="first", handoffs=[second])
            runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(attach_policy=QUICK))
            session = await runner.run(
                model_config={"api_key": "sk-test", "base_url": server.base_url, "call_id": "rtc_1"}
            )
            async with session:
                peer = await server.peer()
                await peer.receive("session.update")
                await peer.send(
                    messages.response_created(),
                    messages.output_item_done(messages.function_call("transfer_to_second", "call_1")),
                    messages.response_done(),
                )
                for _ in range(turns):
                    await asyncio.sleep(0)
                through = session.agent is second and not session._runs
            await peer.gone()
            return not through

        await at_every_turn(attempt)
