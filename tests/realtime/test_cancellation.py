"""Cancelling a session wherever it waits: nothing stays open, nothing stays stuck.

Each test is run over and over, and cancels one turn of the event loop later each time, until what it cancels
is through before the cancelling comes. So every point at which the code waits is met.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime import (
    AttachPolicy,
    FunctionTool,
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeConnectionRestored,
    RealtimeModelConfig,
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendInterruptible,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeModelToolCallEvent,
    RealtimeResponseEnded,
    RealtimeResponseStarted,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolApprovalRequired,
    RealtimeToolStart,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    TransportConfig,
    function_tool,
    tool_input_guardrail,
)
from sipagent.realtime.picows_connection import PicowsSocket
from sipagent.realtime.testing import ScriptedRealtimeModel
from sipagent.realtime.websockets_connection import WebsocketsSocket
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, realtime_server
from tests.support.door import Door, door_before
from tests.support.leaks import describe, leaked_tasks
from tests.support.suspensions import Point, at_every_point, cancel, cancelled_at, watching

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
            if session._work.running:
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.wait(session._work.running)
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
                through = session.agent is second and not session._work.running
            await peer.gone()
            return not through

        await at_every_turn(attempt)


# Every point at which something waits, over every transport --------------------------------------------


TRANSPORTS: tuple[TransportConfig, ...] = ({"library": "websockets"}, {"library": "picows"})
each_transport = pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport["library"])


@asynccontextmanager
async def counted_server() -> AsyncIterator[tuple[RealtimeServer, Door, RealtimeModelConfig]]:
    """A server, the door before it, and how a session gets there; at the end all must have left."""
    async with realtime_server() as server, door_before(server.port) as door:
        base_url = f"http://127.0.0.1:{door.port}/v1"
        yield server, door, {"api_key": "sk-test", "base_url": base_url, "call_id": "rtc_1"}


async def own_tasks_are_gone(before: set[asyncio.Task[Any]]) -> None:
    """Nothing of ours runs any more; what serves the door or the server is somebody else's."""
    ours = ("tool ", "errand", "realtime socket", "send ", "uninterruptible", "refused ", "again ")
    left = [describe(task) for task in await leaked_tasks(before) if task.get_name().startswith(ours)]
    assert not left, left


@pytest.fixture
def slow_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends waits a little, as for a peer that reads slowly."""
    for kind in (WebsocketsSocket, PicowsSocket):
        monkeypatch.setattr(kind, "send", slowly(kind.send))


def slowly(send: Callable[[Any, str], Awaitable[None]]) -> Callable[[Any, str], Awaitable[None]]:
    held: set[object] = set()

    def release(protocol: Any, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(release, protocol, turns - 1)
        else:
            held.discard(protocol)
            protocol.resume_writing()

    async def send_slowly(socket: Any, text: str) -> None:
        protocol = getattr(socket, "_connection", socket)  # whom the event loop tells of such a peer
        if protocol not in held:
            held.add(protocol)
            protocol.pause_writing()
            release(protocol, 3)
        await send(socket, text)

    return send_slowly


class Tools:
    """Tools that wait in every way, and what became of their runs."""

    def __init__(self) -> None:
        @tool_input_guardrail
        async def look_before(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
            await asyncio.sleep(0)
            return ToolGuardrailFunctionOutput.allow()

        @function_tool(tool_input_guardrails=[look_before])
        async def look_up() -> str:
            """Look something up."""
            try:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0)
            return "found"

        @function_tool(needs_approval=True)
        async def pay() -> str:
            """Pay."""
            await asyncio.sleep(0)
            return "paid"

        self.all = [look_up, pay]


class Caller:
    """The server's side of one session, as far as it goes by itself, and somebody who approves."""

    def __init__(self, session: RealtimeSession, peer: Peer) -> None:
        self.session = session
        self.peer = peer
        self.commands: list[dict[str, Any]] = []
        self.answers: list[str] = []
        self.events: list[RealtimeSessionEvent] = []
        self._responses = 0
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Confirm what must be confirmed; end when the session leaves."""
        with suppress(ConnectionClosed):
            while True:
                message = json.loads(await self.peer._connection.recv())
                self.commands.append(message)
                if message["type"] == "session.update":
                    await self.peer.send(messages.session_updated())
                elif message["type"] == "response.create":
                    self._responses += 1
                    name = f"resp_of_ours_{self._responses}"
                    await self.peer.send(messages.response_created(name), messages.response_done(name))
                elif message.get("item", {}).get("type") == "function_call_output":
                    self.answers.append(message["item"]["call_id"])
                self._changed.set()

    async def approve(self) -> None:
        """Keep what happens, and approve whatever waits for it."""
        async for event in self.session:
            self.events.append(event)
            self._changed.set()
            if isinstance(event, RealtimeToolApprovalRequired):
                await self.session.approve_tool_call(event.call_id)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def calls(self, name: str, call_id: str) -> None:
        """The model calls a tool."""
        response_id = f"resp_{call_id}"
        call = messages.function_call(name, call_id)
        await self.peer.send(
            messages.response_created(response_id),
            messages.output_item_done(call, response_id),
            messages.response_done(response_id, output=[call]),
        )

    async def told(self, kind: type[RealtimeSessionEvent]) -> None:
        """Return when the session has told of something of this kind."""
        await self.until(lambda: any(isinstance(event, kind) for event in self.events))

    async def answers_everything_still(self) -> None:
        """The session is usable: it takes a message, answers a call, and may ask for a response."""
        await self.session.add_system_message("mark")
        await self.calls("look_up", "probe")
        await self.until(lambda: "probe" in self.answers)
        await self.session.request_response("Are you there?")
        await self.until(lambda: self.asked_for("Are you there?"))
        assert self.answers.count("probe") == 1
        assert await self.session.wait_until_agent_silent(PATIENCE_S), "the gate is stuck"

    @property
    def _updates(self) -> list[dict[str, Any]]:
        return [each["session"] for each in self.commands if each["type"] == "session.update"]

    @property
    def leads(self) -> str:
        """The agent that the server was told of last; each is instructed with its name."""
        return [str(each["instructions"]) for each in self._updates if "instructions" in each][-1]

    @property
    def interruptible(self) -> bool:
        """Whether the server lets the caller interrupt."""
        detections = [each.get("audio", {}).get("input", {}).get("turn_detection") for each in self._updates]
        known = [each for each in detections if each is not None]
        return not known or known[-1].get("interrupt_response", True) is True

    def heard(self, words: str) -> bool:
        """Whether the application said this to the model."""
        items = [each["item"] for each in self.commands if each["type"] == "conversation.item.create"]
        return any({"type": "input_text", "text": words} in item.get("content", ()) for item in items)

    def asked_for(self, words: str) -> bool:
        wanted = [each.get("response") or {} for each in self.commands if each["type"] == "response.create"]
        return any(words == each.get("instructions") for each in wanted)


@asynccontextmanager
async def in_conversation(
    server: RealtimeServer,
    options: RealtimeModelConfig,
    transport: TransportConfig,
    *,
    kind: type[OpenAIRealtimeSIPModel | OpenAIRealtimeWebSocketModel] = OpenAIRealtimeSIPModel,
) -> AsyncIterator[Caller]:
    """A session of two agents, in which the other side answers by itself; it is closed at the end."""
    before = asyncio.all_tasks()
    tools = Tools()
    second = RealtimeAgent[None](name="second", instructions="second", tools=list(tools.all))
    first = RealtimeAgent[None](name="first", instructions="first", tools=list(tools.all), handoffs=[second])
    session = await RealtimeRunner(first, model=kind(transport_config=transport)).run(model_config=options)
    async with asyncio.timeout(PATIENCE_S):
        async with session:
            caller = Caller(session, await server.peer())
            listening = asyncio.create_task(caller.listen(), name="errand: listen")
            approving = asyncio.create_task(caller.approve(), name="errand: approve")
            try:
                await caller.until(lambda: caller.commands)
                yield caller
            finally:
                await session.close()
                await asyncio.wait([listening, approving])
        listening.result()
        approving.result()
    await own_tasks_are_gone(before)


@each_transport
@pytest.mark.usefixtures("slow_sockets")
async def test_a_connect_that_is_cancelled_at_any_point_can_be_tried_again(
    transport: TransportConfig,
) -> None:
    async def key() -> str:
        await asyncio.sleep(0)
        return "sk-test"

    async with counted_server() as (server, door, options):

        async def attempt(point: Point) -> bool:
            before = asyncio.all_tasks()
            server.statuses.append(404)  # so that the pause between two tries is met too
            model = OpenAIRealtimeSIPModel(transport_config=transport, attach_policy=QUICK)
            was_cancelled = await cancelled_at(point, model.connect({**options, "api_key": key}))
            if was_cancelled:
                await door.empty()
                await own_tasks_are_gone(before)
                server.statuses.clear()
                await model.connect(options)
            await model.send_event(RealtimeModelSendSystemMessage(text="here"))
            await model.close()
            await door.empty()
            await own_tasks_are_gone(before)
            return was_cancelled

        await at_every_point(attempt, at_least=5)


@each_transport
@pytest.mark.usefixtures("slow_sockets")
async def test_an_enter_cancelled_at_any_point_leaves_nothing(transport: TransportConfig) -> None:
    async with counted_server() as (_, door, options):

        async def attempt(point: Point) -> bool:
            before = asyncio.all_tasks()
            model = OpenAIRealtimeSIPModel(transport_config=transport, attach_policy=QUICK)
            session = await RealtimeRunner(RealtimeAgent[None](name="a"), model=model).run(
                model_config=options
            )
            was_cancelled = await cancelled_at(point, session.enter())
            if was_cancelled:
                await door.empty()
                await own_tasks_are_gone(before)
            await session.close()
            await door.empty()
            await own_tasks_are_gone(before)
            return was_cancelled

        await at_every_point(attempt, at_least=3)


@each_transport
@pytest.mark.parametrize("deaf", [False, True], ids=["peer answers", "peer is silent"])
async def test_a_close_cancelled_at_any_point_has_closed(transport: TransportConfig, deaf: bool) -> None:
    async with counted_server() as (server, door, options):

        async def attempt(point: Point) -> bool:
            was_cancelled = False
            async with in_conversation(server, options, {**transport, "close_timeout": 0.2}) as caller:
                await caller.calls("look_up", "call_1")
                door.deaf = deaf
                was_cancelled = await cancelled_at(point, caller.session.close())
                await caller.session.close()
                await door.empty()
                door.deaf = False
                assert caller.session.end is not None
                with pytest.raises(ConnectionLostError):
                    await caller.session.add_system_message("too late")
            assert caller.answers in ([], ["call_1"])
            return was_cancelled

        await at_every_point(attempt)


TAKEN = ("look_up", "pay", "nobody_knows", "transfer_to_second")
"""What the model calls: a tool, one that waits for an approval, none at all, another agent."""


@each_transport
@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.usefixtures("slow_sockets")
async def test_a_tool_run_cancelled_at_any_point_harms_nothing_else(
    transport: TransportConfig, name: str
) -> None:
    async with counted_server() as (server, _, options):

        async def attempt(point: Point) -> bool:
            async with in_conversation(server, options, transport) as caller:
                async with watching(point, cancel, name=f"tool {name}") as watch:
                    await caller.calls(name, "call_1")
                    await watch.over()
                await caller.answers_everything_still()
                assert caller.answers.count("call_1") <= 1
                assert caller.session.agent.name == caller.leads, "server and session are of two minds"
                assert watch.reached or caller.answers.count("call_1") == 1
            return watch.reached

        await at_every_point(attempt)


@each_transport
@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.usefixtures("slow_sockets")
async def test_closing_at_any_point_of_a_tool_run_leaves_nothing(
    transport: TransportConfig, name: str
) -> None:
    async with counted_server() as (server, door, options):

        async def attempt(point: Point) -> bool:
            closing: list[asyncio.Task[None]] = []
            async with in_conversation(server, options, transport) as caller:

                def close(task: asyncio.Task[Any]) -> None:
                    closing.append(asyncio.create_task(caller.session.close(), name="errand: close"))

                async with watching(point, close, name=f"tool {name}") as watch:
                    await caller.calls(name, "call_1")
                    await watch.over()
                await asyncio.gather(*closing)
                if closing:
                    await door.empty()
                assert caller.answers.count("call_1") <= 1
            return watch.reached

        await at_every_point(attempt)


@each_transport
@pytest.mark.usefixtures("slow_sockets")
async def test_closing_at_any_point_of_attaching_again_leaves_nothing(transport: TransportConfig) -> None:
    async with counted_server() as (server, door, options):

        async def attempt(point: Point) -> bool:
            before = asyncio.all_tasks()
            closing: list[asyncio.Task[None]] = []
            model = OpenAIRealtimeSIPModel(transport_config=transport, attach_policy=QUICK)
            session = await RealtimeRunner(RealtimeAgent[None](name="a"), model=model).run(
                model_config=options
            )

            def close(task: asyncio.Task[Any]) -> None:
                closing.append(asyncio.create_task(session.close(), name="errand: close"))

            async with asyncio.timeout(PATIENCE_S), watching(point, close, name="realtime socket") as watch:
                await session.enter()
                server.statuses.append(500)
                (await server.peer()).drop()
                async for event in session:
                    if isinstance(event, RealtimeConnectionRestored):
                        break
                await session.close()
                await asyncio.gather(*closing)
            server.statuses.clear()
            await door.empty()
            await everybody_left(server)
            await own_tasks_are_gone(before)
            return watch.reached

        await at_every_point(attempt, at_least=5)


Sends = Callable[[RealtimeSession], Coroutine[Any, Any, None]]
CALL = RealtimeModelToolCallEvent(
    name="look_up", call_id=ToolCallId("call_1"), arguments="{}", id=ItemId("item_1"), response_id=None
)
SENT: dict[str, RealtimeModelSendEvent] = {
    "a message of the user": RealtimeModelSendUserInput(user_input="Hello"),
    "a message of the system": RealtimeModelSendSystemMessage(text="Be brief."),
    "a request": RealtimeModelRequestResponse(response={"instructions": "greet"}),
    "a request aside": RealtimeModelRequestResponse(response={"conversation": "none"}),
    "a raw message": RealtimeModelSendRawMessage(message={"type": "output_audio_buffer.clear"}),
    "a raw request": RealtimeModelSendRawMessage(message={"type": "response.create"}),
    "an answer": RealtimeModelSendToolOutput(tool_call=CALL, output="found", start_response=True),
    "an interruption": RealtimeModelSendInterrupt(force_response_cancel=True),
    "an update": RealtimeModelSendSessionUpdate(session_settings={"instructions": "first"}),
    "a change of turn detection": RealtimeModelSendInterruptible(
        interruptible=True, turn_detection={"type": "semantic_vad"}
    ),
}


@each_transport
@pytest.mark.parametrize("what", SENT)
@pytest.mark.usefixtures("slow_sockets")
async def test_a_send_cancelled_at_any_point_blocks_nothing(transport: TransportConfig, what: str) -> None:
    async with counted_server() as (server, _, options):

        async def attempt(point: Point) -> bool:
            async with in_conversation(server, options, transport) as caller:
                await caller.peer.send(messages.response_created("resp_1"))
                await caller.told(RealtimeResponseStarted)
                if "interruption" not in what:
                    await caller.peer.send(messages.response_done("resp_1"))
                    await caller.told(RealtimeResponseEnded)
                beside = asyncio.create_task(
                    caller.session.add_system_message("beside"), name="errand: beside"
                )
                was_cancelled = await cancelled_at(point, caller.session.model.send_event(SENT[what]))
                await beside
                if "interruption" in what:
                    await caller.peer.send(messages.response_done("resp_1", status="cancelled"))
                await caller.answers_everything_still()
                assert caller.answers.count("call_1") <= 1
                assert caller.heard("beside"), "what somebody else sent was lost"
            return was_cancelled

        await at_every_point(attempt)


@each_transport
@pytest.mark.usefixtures("slow_sockets")
async def test_audio_cancelled_at_any_point_blocks_nothing(transport: TransportConfig) -> None:
    async with counted_server() as (server, _, options):

        async def attempt(point: Point) -> bool:
            kind = OpenAIRealtimeWebSocketModel
            async with in_conversation(server, options, transport, kind=kind) as caller:
                was_cancelled = await cancelled_at(point, caller.session.send_audio(b"x", commit=True))
                await caller.answers_everything_still()
            return was_cancelled

        await at_every_point(attempt)


ASKED: dict[str, Sends] = {
    "say": lambda session: session.say("Hello."),
    "say to the end": lambda session: session.say("Hello.", interruptible=False),
    "change agents": lambda session: session.update_agent(
        RealtimeAgent[None](name="third", instructions="third", tools=Tools().all)
    ),
    "wait": lambda session: said_nothing(session),
}


async def said_nothing(session: RealtimeSession) -> None:
    await session.request_response()
    assert await session.wait_until_agent_silent(PATIENCE_S)


@each_transport
@pytest.mark.parametrize("what", ASKED)
@pytest.mark.usefixtures("slow_sockets")
async def test_what_is_asked_of_a_session_and_cancelled_at_any_point_blocks_nothing(
    transport: TransportConfig, what: str
) -> None:
    async with counted_server() as (server, _, options):

        async def attempt(point: Point) -> bool:
            async with in_conversation(server, options, transport) as caller:
                was_cancelled = await cancelled_at(point, ASKED[what](caller.session))
                await caller.answers_everything_still()
                await caller.until(lambda: caller.interruptible)
                assert caller.session.agent.name == caller.leads, "server and session are of two minds"
            return was_cancelled

        await at_every_point(attempt)
