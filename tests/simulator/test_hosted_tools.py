"""Tools that the service runs itself: listed, called, approved, refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipagent.errors import ScriptError
from sipagent.realtime import (
    HostedMCPTool,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeMcpApprovalRequired,
    RealtimeMcpCallEnd,
    RealtimeMcpToolList,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeTranscriptLine,
)
from sipagent.simulator.hosted_plan import HostedRun, HostedServer
from sipagent.simulator.hosted_tools import NOT_APPROVED
from sipagent.simulator.parameters import check_session
from sipagent.simulator.script import Step, ToolUse, parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from tests.simulator.session_rig import DEADLINE_S, PHONE_SESSION, Rig

DOCS: dict[str, Any] = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://docs.example",
    "require_approval": "never",
}
ASKING = {**DOCS, "require_approval": "always"}
SCRIPT = """
greeting: {call: {tool: search, mcp: docs, with: {q: hours}, output: Nine., then: "It says: {output}"}}
otherwise: Anything else?
"""


@asynccontextmanager
async def rig(script: str = SCRIPT, *tools: dict[str, Any]) -> AsyncIterator[Rig]:
    """A session whose lists have come."""
    async with Rig(script, session={**PHONE_SESSION, "tools": list(tools)}) as made:
        if tools:
            await made.client.until("mcp_list_tools.completed")
        yield made


def answer(made: Rig, request_id: str, *, approve: bool, **more: Any) -> None:
    item = {"type": "mcp_approval_response", "id": f"answer_{request_id}"[:32], "approve": approve, **more}
    made.send("conversation.item.create", item={**item, "approval_request_id": request_id})


def spoken(done: dict[str, Any]) -> str:
    return " ".join(
        part.get("transcript", "") for item in done["response"]["output"] for part in item.get("content", [])
    )


# Lists ----------------------------------------------------------------------------------------------


async def test_a_server_is_listed_when_it_is_first_named() -> None:
    async with rig(SCRIPT + "mcp: {docs: {tools: [fetch]}}\n", DOCS) as made:
        types = [each for each in made.client.types if "mcp" in each or "item" in each]
        assert types == [
            "mcp_list_tools.in_progress",
            "conversation.item.added",
            "conversation.item.done",
            "mcp_list_tools.completed",
        ]
        item = made.client.last("conversation.item.done")["item"]
        assert (item["server_label"], [each["name"] for each in item["tools"]]) == (
            "docs",
            ["search", "fetch"],
        )
        assert {made.client.last(kind)["item_id"] for kind in (types[0], types[3])} == {item["id"]}


async def test_a_server_is_listed_again_only_when_it_is_defined_anew() -> None:
    async with rig(SCRIPT, DOCS) as made:
        for tools in ([DOCS], [], [{"type": "mcp", "server_label": "docs"}]):
            made.send("session.update", session={"type": "realtime", "tools": tools})
        assert len(made.client.of("mcp_list_tools.in_progress")) == 1, "the label alone means the same"
        other = {**DOCS, "allowed_tools": ["fetch"]}
        made.send("session.update", session={"type": "realtime", "tools": [other]})
        await made.client.until("mcp_list_tools.completed", 2)
        assert made.client.last("conversation.item.done")["item"]["tools"] == []


async def test_a_label_that_was_never_defined_cannot_be_listed() -> None:
    async with rig(SCRIPT, DOCS) as made:
        unknown = {"type": "mcp", "server_label": "unknown"}
        made.send("session.update", session={"type": "realtime", "tools": [unknown]})
        await made.client.until("mcp_list_tools.failed")


@pytest.mark.parametrize("plan", ["{takes_ms: 60000}", "{fails: true}"])
async def test_tools_that_are_not_loaded_cannot_be_called(plan: str) -> None:
    async with Rig(f"{SCRIPT}mcp: {{docs: {plan}}}\n", session={**PHONE_SESSION, "tools": [DOCS]}) as made:
        if "fails" in plan:
            await made.client.until("mcp_list_tools.failed")
        made.send("response.create")
        assert spoken(await made.client.until("response.done")) == "Anything else?"


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([DOCS, DOCS], "session.tools[1].server_label"),
        ([{**DOCS, "connector_id": "connector_gmail"}], "session.tools[0].connector_id"),
        (
            [{**DOCS, "authorization": "x", "headers": {"AUTHORIZATION": "y"}}],
            "session.tools[0].headers",
        ),
    ],
)
def test_what_the_service_refuses_is_refused(tools: list[dict[str, Any]], param: str) -> None:
    problem = check_session({"type": "realtime", "tools": tools})
    assert problem is not None
    assert (problem.code, problem.param) == ("invalid_value", param)
    assert check_session({"type": "realtime", "tools": [{**DOCS, "headers": {"X-A": "1"}}]}) is None


# Calls ----------------------------------------------------------------------------------------------


async def test_a_call_without_approval_is_part_of_its_response() -> None:
    async with rig(SCRIPT, DOCS) as made:
        made.client.events.clear()
        made.send("response.create")
        done = await made.client.until("response.done")
        assert made.client.without("rate_limits.updated") == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        (item,) = done["response"]["output"]
        assert (item["arguments"], item["output"], item["error"]) == ('{"q": "hours"}', "Nine.", None)
        assert not made.conversation._unanswered.heard
        made.send("response.create")
        assert spoken(await made.client.until("response.done", 2)) == "It says: Nine."


async def test_a_call_that_fails_says_why() -> None:
    error = "{type: http_error, code: 503, message: Busy.}"
    async with rig(f"greeting: {{call: {{tool: search, mcp: docs, error: {error}}}}}\n", DOCS) as made:
        made.send("response.create")
        (item,) = (await made.client.until("response.done"))["response"]["output"]
        assert item["error"] == {"type": "http_error", "code": 503, "message": "Busy."}
        assert item["output"] is None
        assert len(made.client.of("response.mcp_call.failed")) == 1
        made.send("response.create")
        assert spoken(await made.client.until("response.done", 2)) == "Busy."


@pytest.mark.parametrize(
    ("wanted", "asks"),
    [
        ("always", True),
        (None, True),
        ("never", False),
        ({"never": {"tool_names": ["search"]}}, False),
        ({"never": {"tool_names": ["fetch"]}}, True),
        ({"always": {"tool_names": ["search"]}}, True),
    ],
)
async def test_the_session_says_whether_anybody_is_asked(wanted: Any, asks: bool) -> None:
    async with rig(SCRIPT, {**DOCS, "require_approval": wanted}) as made:
        made.send("response.create")
        output = (await made.client.until("response.done"))["response"]["output"]
        kinds = [item["type"] for item in output]
        assert kinds == (["mcp_call", "mcp_approval_request"] if asks else ["mcp_call"])
        assert ("output" in output[0]) is not asks


async def test_an_approved_call_runs_and_says_who_approved_it() -> None:
    async with rig(SCRIPT, ASKING) as made:
        made.send("response.create")
        call, request = (await made.client.until("response.done"))["response"]["output"]
        assert not made.conversation.agent_is_idle
        answer(made, request["id"], approve=True)
        completed = await made.client.until("response.mcp_call.completed")
        assert completed["item_id"] == call["id"]
        item = made.client.last("response.output_item.done")["item"]
        assert (item["approval_request_id"], item["output"]) == (request["id"], "Nine.")
        assert len(made.client.of("response.created")) == 1, "it does not go on by itself"
        made.send("response.create")
        assert spoken(await made.client.until("response.done", 2)) == "It says: Nine."


@pytest.mark.parametrize("reason", [None, "Too dear."])
async def test_a_refused_call_never_runs(reason: str | None) -> None:
    async with rig(SCRIPT, ASKING) as made:
        made.send("response.create")
        _, request = (await made.client.until("response.done"))["response"]["output"]
        answer(made, request["id"], approve=False, **({"reason": reason} if reason else {}))
        made.send("response.create")
        assert spoken(await made.client.until("response.done", 2)) == f"It says: {reason or NOT_APPROVED}"
        assert made.client.of("response.mcp_call.in_progress") == []


async def test_a_request_is_answered_once() -> None:
    async with rig(SCRIPT, ASKING) as made:
        made.send("response.create")
        _, request = (await made.client.until("response.done"))["response"]["output"]
        answer(made, "unheard of", approve=True)
        answer(made, request["id"], approve=True)
        answer(made, request["id"], approve=True)
        answer(made, request["id"], approve=True, id="another")
        errors = [each["error"]["param"] for each in made.client.of("error")]
        assert errors == ["item.approval_request_id", "item.id", "item.approval_request_id"]
        await made.client.until("response.mcp_call.completed")
        assert len(made.client.of("response.mcp_call.completed")) == 1


async def test_a_service_that_goes_on_by_itself_can_be_played() -> None:
    script = "greeting: {call: {tool: search, mcp: docs, output: Nine., continues: true}}\n"
    async with rig(script, DOCS) as made:
        made.send("response.create")
        assert spoken(await made.client.until("response.done", 2)) == "Nine."


async def test_a_call_goes_on_when_its_response_is_cut_off() -> None:
    script = "greeting: {call: {tool: search, mcp: docs, output: Nine., takes_ms: 30}}\n"
    async with rig(script, DOCS) as made:
        made.send("response.create")
        await made.client.until("response.mcp_call.in_progress")
        made.send("response.cancel")
        assert (await made.client.until("response.done"))["response"]["status"] == "cancelled"
        await made.client.until("response.mcp_call.completed")


# Scripts --------------------------------------------------------------------------------------------


def test_a_script_says_what_a_call_comes_to() -> None:
    text = """
greeting:
  call:
    - {tool: search, mcp: docs, output: Nine., takes_ms: 20, continues: true}
    - {tool: order, mcp: shop, error: Sold out.}
    - {tool: order, mcp: shop, error: {type: protocol_error, code: -32602, message: No.}}
mcp:
  docs: {tools: [fetch], takes_ms: 50, fails: true}
  shop: {}
"""
    script = parse_script(text, name="t")
    error: dict[str, str | int] = {"type": "tool_execution_error", "message": "Sold out."}
    protocol: dict[str, str | int] = {"type": "protocol_error", "code": -32602, "message": "No."}
    docs = HostedRun(server_label="docs", output="Nine.", takes_ms=20, continues=True)
    assert script.greeting == Step(
        calls=(
            ToolUse(name="search", hosted=docs),
            ToolUse(name="order", hosted=HostedRun(server_label="shop", error=error)),
            ToolUse(name="order", hosted=HostedRun(server_label="shop", error=protocol)),
        )
    )
    assert script.mcp == {
        "docs": HostedServer(tools=("fetch",), takes_ms=50, fails=True),
        "shop": HostedServer(),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("greeting: {call: {tool: x, output: y}}", "'output' belongs to a tool that the service runs."),
        ("greeting: {call: {tool: x, mcp: docs, error: {type: other}}}", "'other'"),
        ("greeting: {call: {tool: x, mcp: docs, error: [1]}}", "Keys and values"),
        ("mcp: [docs]", "Names and values"),
        ("mcp: {docs: {takes: 3}}", "Unknown key 'takes'"),
        ("mcp: {docs: {}, docs: {}}", "'docs' is here twice"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        parse_script(text, name="t")


# With a session of ours -----------------------------------------------------------------------------


class Talk:
    """A session that the simulator talks with, and what it told."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[RealtimeSessionEvent] = []

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            async for event in self.session:
                self.events.append(event)
                if isinstance(event, RealtimeMcpApprovalRequired):
                    await self.session.approve_tool_call(event.call_id)
                if isinstance(event, RealtimeTranscriptLine) and event.role == "agent" and event.text == text:
                    return
        raise AssertionError("the session ended first")


@asynccontextmanager
async def talk(script: str, tool: HostedMCPTool) -> AsyncIterator[Talk]:
    options = SimulatorOptions(
        script=parse_script("delay_ms: 0\npace: 1000\n" + script, name="t"), voice=SilentVoice()
    )
    agent = RealtimeAgent[None](name="front-desk", tools=[tool])
    async with Simulator(options) as simulator:
        runner = RealtimeRunner(
            agent,
            model=OpenAIRealtimeWebSocketModel(),
            config={"model_settings": {"output_modalities": ["text"]}},
        )
        session = await runner.run(model_config={"api_key": "k", "base_url": simulator.base_url})
        async with session:
            made = Talk(session)
            async with asyncio.timeout(DEADLINE_S):
                async for event in session:
                    if isinstance(event, RealtimeMcpToolList) and event.status == "completed":
                        assert [each.name for each in event.tools] == ["search"]
                        break
            yield made


@pytest.mark.parametrize("continues", [False, True])
@pytest.mark.parametrize("approval", ["never", "always", "by the tool"])
async def test_a_session_hears_of_everything_and_speaks_about_it_once(approval: str, continues: bool) -> None:
    wanted = "never" if approval == "never" else "always"
    tool = HostedMCPTool(
        tool_config={**DOCS, "require_approval": wanted},
        on_approval_request=(lambda _: True) if approval == "by the tool" else None,
    )
    script = f"""
greeting: Hello.
turns:
  - call:
      tool: search
      mcp: docs
      output: Nine.
      takes_ms: 20
      then: It says nine.
      continues: {str(continues).lower()}
  - Goodbye.
otherwise: Twice!
"""
    async with talk(script, tool) as made:
        await made.session.send_message("When do you open?")
        await made.until_said("It says nine.")
        await made.session.send_message("Thank you.")
        await made.until_said("Goodbye.")
        ends = [each for each in made.events if isinstance(each, RealtimeMcpCallEnd)]
        assert [(each.name, each.output, each.is_error) for each in ends] == [("search", "Nine.", False)]
        assert all(each.duration_ms is not None and each.duration_ms >= 15 for each in ends)
        asked = [each for each in made.events if isinstance(each, RealtimeMcpApprovalRequired)]
        assert len(asked) == (approval == "always")
        said = [
            each.text
            for each in made.events
            if isinstance(each, RealtimeTranscriptLine) and each.role == "agent"
        ]
        assert said == ["It says nine.", "Goodbye."]
        assert not [each for each in made.events if each.type == "error"]
