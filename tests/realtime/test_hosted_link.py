"""Hosted tools over a real socket: what is asked, what is answered, and what a broken connection changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from sipagent.identifiers import ItemId
from sipagent.realtime import (
    AttachPolicy,
    HostedMCPTool,
    MCPToolApprovalRequest,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeMcpApprovalRequired,
    RealtimeMcpCallEnd,
    RealtimeMcpToolList,
    RealtimeModelSendMcpApproval,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
)
from sipagent.realtime.commands import approval_id
from tests.realtime import mcp_messages as mcp
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, realtime_server

COMMANDS: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


def server_tool(**options: Any) -> HostedMCPTool:
    config = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}
    return HostedMCPTool(tool_config=config, **options)


class Call:
    """A session on the telephone, and the server's side of it."""

    def __init__(self, server: RealtimeServer, session: RealtimeSession, peer: Peer) -> None:
        self.server = server
        self.session = session
        self.peer = peer

    async def until(self, kind: type[RealtimeSessionEvent]) -> Any:
        """The next event of a class."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self.session:
                if isinstance(event, kind):
                    return event
        raise AssertionError(f"the session ended without {kind.__name__}")

    async def received(self, kind: str) -> dict[str, Any]:
        """The next command, which must be one of a kind and as documented."""
        command = await self.peer.receive(kind)
        COMMANDS.validate_python(command)
        return command

    async def answer(self) -> dict[str, Any]:
        """The next command, which must answer an approval request."""
        item = (await self.received("conversation.item.create"))["item"]
        assert item["type"] == "mcp_approval_response"
        return dict(item)

    async def fence(self) -> None:
        """Nothing was sent that was not received."""
        await self.session.add_system_message("fence")
        item = (await self.received("conversation.item.create"))["item"]
        assert item["content"][0]["text"] == "fence"

    async def break_and_mend(self) -> None:
        """The socket breaks, and is back."""
        self.peer.drop()
        self.peer = await self.server.peer()
        await self.received("session.update")

    async def model_asks(self) -> None:
        """A response that wants to call a tool, and may not yet."""
        await self.peer.send(
            messages.response_created(),
            {**messages.output_item_done(mcp.mcp_call()), "type": "response.output_item.added"},
            mcp.arguments_done(),
            messages.output_item_done(mcp.mcp_call()),
            messages.output_item_done(mcp.approval_request()),
            messages.response_done(output=[mcp.mcp_call(), mcp.approval_request()]),
        )


@asynccontextmanager
async def call(tool: HostedMCPTool | None = None) -> AsyncIterator[Call]:
    async with realtime_server() as server:
        agent = RealtimeAgent[None](name="front-desk", tools=[tool or server_tool()])
        policy = AttachPolicy(first_retry_s=0.01)
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(attach_policy=policy))
        session = await runner.run(
            context=None,
            model_config={"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1"},
        )
        async with session:
            made = Call(server, session, await server.peer())
            await made.received("session.update")
            yield made


async def test_a_call_that_needs_no_approval_is_spoken_about() -> None:
    async with call() as made:
        item = mcp.mcp_call(output="Michelin")
        await made.peer.send(
            mcp.list_changed("in_progress"),
            mcp.item_done(mcp.mcp_list("mcpl_1", "search")),
            mcp.list_changed("completed"),
            messages.response_created(),
            mcp.arguments_done(),
            mcp.call_changed("in_progress"),
            mcp.call_changed("completed"),
            messages.output_item_done(item),
            mcp.item_done(item),
        )
        assert (await made.until(RealtimeMcpToolList)).status == "in_progress"
        listed = await made.until(RealtimeMcpToolList)
        assert (listed.status, listed.server_label) == ("completed", "docs")
        assert [each.name for each in listed.tools] == ["search"]
        ended = await made.until(RealtimeMcpCallEnd)
        assert (ended.name, ended.output, ended.is_error) == ("search", "Michelin", False)
        assert ended.duration_ms >= 0
        await made.fence()
        await made.peer.send(messages.response_done(output=[item]))
        assert "response" not in await made.received("response.create")


async def test_a_server_that_goes_on_by_itself_is_not_asked_twice() -> None:
    async with call() as made:
        await made.peer.send(
            messages.response_created(),
            mcp.arguments_done(),
            messages.response_done(),
            mcp.call_changed("completed"),
        )
        request = await made.received("response.create")
        await made.peer.send(
            messages.response_created("resp_2"),
            messages.error("conversation_already_has_active_response", event_id=request["event_id"]),
            messages.response_done("resp_2"),
        )
        await made.peer.send(messages.response_created("resp_3"), messages.response_done("resp_3"))
        await made.session.request_response("Be brief.")
        assert (await made.received("response.create"))["response"]["instructions"] == "Be brief."


@pytest.mark.parametrize("approved", [True, False])
async def test_the_application_decides(approved: bool) -> None:
    async with call() as made:
        await made.model_asks()
        event = await made.until(RealtimeMcpApprovalRequired)
        assert (event.server_label, event.name, event.arguments) == ("docs", "search", '{"q": "tyres"}')
        assert (event.call_id, event.agent.name) == ("mcpr_1", "front-desk")
        assert event.tool is not None
        await made.fence()
        expected: dict[str, Any] = {
            "type": "mcp_approval_response",
            "id": approval_id("mcpr_1"),
            "approval_request_id": "mcpr_1",
            "approve": approved,
        }
        if approved:
            await made.session.approve_tool_call(event.call_id)
        else:
            await made.session.reject_tool_call(event.call_id, rejection_message="Too dear.")
            expected["reason"] = "Too dear."
        assert await made.answer() == expected
        if approved:
            await made.peer.send(mcp.call_changed("in_progress"), mcp.call_changed("completed"))
        await made.received("response.create")
        # Whatever comes again changes nothing.
        await made.session.approve_tool_call(event.call_id)
        await made.session.reject_tool_call(event.call_id)
        await made.peer.send(
            mcp.item_done(mcp.approval_request()),
            mcp.item_done(mcp.approval_response(approval_id("mcpr_1"), approve=approved)),
            mcp.item_done(mcp.approval_request()),
            mcp.list_changed("failed", "mcpl_9"),
        )
        await made.until(RealtimeMcpToolList)
        await made.fence()


async def test_an_answer_is_sent_once_whoever_gives_it_again() -> None:
    async with call() as made:
        answer = RealtimeModelSendMcpApproval(approval_request_id=ItemId("mcpr_1"), approve=True)
        await asyncio.gather(*(made.session.model.send_event(answer) for _ in range(3)))
        await made.session.model.send_event(
            RealtimeModelSendMcpApproval(approval_request_id=ItemId("mcpr_1"), approve=False)
        )
        assert (await made.answer())["approve"] is True
        await made.fence()


async def test_a_question_survives_its_socket_and_is_answered_over_the_next() -> None:
    async with call() as made:
        await made.model_asks()
        event = await made.until(RealtimeMcpApprovalRequired)
        made.server.hold = asyncio.Event()
        made.peer.drop()
        await made.server.handshake(2)
        approving = asyncio.create_task(made.session.approve_tool_call(event.call_id))
        made.server.hold.set()
        made.peer = await made.server.peer()
        await made.received("session.update")
        await approving
        assert (await made.answer())["approve"] is True
        await made.fence()


async def test_an_answer_that_may_have_been_lost_is_sent_again_until_it_was_heard() -> None:
    async with call() as made:
        await made.model_asks()
        await made.session.approve_tool_call((await made.until(RealtimeMcpApprovalRequired)).call_id)
        first = await made.answer()
        await made.break_and_mend()
        assert await made.answer() == first
        assert made.peer.received[-1]["event_id"]
        # How the approved call stands may have been told meanwhile.
        retrieve = await made.received("conversation.item.retrieve")
        assert retrieve["item_id"] == "mcp_1"
        shown = {
            **mcp.item_done(mcp.approval_response(first["id"])),
            "type": "conversation.item.added",
        }
        await made.peer.send(shown, mcp.list_changed("failed"))
        await made.until(RealtimeMcpToolList)
        await made.break_and_mend()
        await made.received("conversation.item.retrieve")
        await made.fence()


async def test_an_answer_that_is_refused_when_it_is_repeated_troubles_nobody() -> None:
    async with call() as made:
        await made.model_asks()
        await made.session.approve_tool_call((await made.until(RealtimeMcpApprovalRequired)).call_id)
        await made.answer()
        await made.break_and_mend()
        await made.answer()
        repeated = made.peer.received[-1]["event_id"]
        retrieve = await made.received("conversation.item.retrieve")
        await made.peer.send(
            messages.error("invalid_value", event_id=repeated),
            messages.error("item_retrieve_invalid_item_id", event_id=retrieve["event_id"]),
            mcp.list_changed("failed"),
        )
        async with asyncio.timeout(PATIENCE_S):
            async for event in made.session:
                assert event.type != "error"
                if isinstance(event, RealtimeMcpToolList):
                    break
        await made.break_and_mend()
        await made.fence()


async def test_the_end_of_a_call_that_came_while_nobody_listened_is_asked_for() -> None:
    async with call() as made:
        await made.peer.send(
            messages.response_created(),
            mcp.arguments_done(),
            mcp.call_changed("in_progress"),
            mcp.item_done(mcp.mcp_call()),
            messages.response_done(),
            mcp.list_changed("failed"),
        )
        await made.until(RealtimeMcpToolList)
        await made.break_and_mend()
        assert (await made.received("conversation.item.retrieve"))["item_id"] == "mcp_1"
        item = mcp.mcp_call(output="Michelin")
        await made.peer.send({**mcp.item_done(item), "type": "conversation.item.retrieved"})
        assert (await made.until(RealtimeMcpCallEnd)).output == "Michelin"
        await made.received("response.create")
        await made.break_and_mend()
        await made.received("response.create")  # it was under way
        await made.fence()


async def test_the_tool_decides_itself() -> None:
    asked: list[MCPToolApprovalRequest] = []

    def decide(request: MCPToolApprovalRequest) -> bool:
        asked.append(request)
        return True

    async with call(server_tool(on_approval_request=decide)) as made:
        await made.model_asks()
        assert await made.answer() == {
            "type": "mcp_approval_response",
            "id": approval_id("mcpr_1"),
            "approval_request_id": "mcpr_1",
            "approve": True,
        }
        assert [each.data.name for each in asked] == ["search"]
        await made.fence()


async def test_a_tool_may_be_asked_for_by_name() -> None:
    async with call() as made:
        choice = {"type": "mcp", "server_label": "docs", "name": "search"}
        settings: Any = {"tool_choice": choice}
        agent = made.session.agent.clone()
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(), config={"model_settings": settings})
        session = await runner.run(
            model_config={"api_key": "k", "base_url": made.server.base_url, "call_id": "rtc_2"}
        )
        async with session:
            peer = await made.server.peer()
            update = await peer.receive("session.update")
            COMMANDS.validate_python(update)
            assert update["session"]["tool_choice"] == choice


async def test_a_handoff_says_the_whole_definition_of_a_server_again() -> None:
    async with call() as made:
        await made.session.update_agent(RealtimeAgent[None](name="billing"))
        assert (await made.received("session.update"))["session"]["tools"] == []
        await made.session.update_agent(RealtimeAgent[None](name="sales", tools=[server_tool()]))
        (tool,) = (await made.received("session.update"))["session"]["tools"]
        assert tool == {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}
