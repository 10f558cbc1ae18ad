from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sipagent.calls import CallContext
from sipagent.calls.chat import Chat
from sipagent.calls.chat_view import ChatLine
from sipagent.calls.tools.mcp_spec import McpServerSpec, McpTools
from sipagent.errors import AttachError, ConnectionLostError
from sipagent.realtime import (
    GuardrailFunctionOutput,
    OutputGuardrail,
    RealtimeAgent,
    ToolContext,
    function_tool,
)
from tests.calls.chatting import API_KEY, Told, chatting, profile
from tests.calls.tools.test_mcp_servers import over_stdio
from tests.support.ports import free_port

# Turns ----------------------------------------------------------------------------------------------


async def test_a_turn_returns_when_all_of_it_was_told() -> None:
    script = "turns: ['First, slowly and in several pieces.', Second.]"
    async with chatting(script, who=profile(greeting="Good morning!")) as (chat, told):
        await chat.greet()
        assert told.all == [("line", "front-desk", "Good morning!")]
        assert told.words == {"front-desk": "Good morning!"}
        told.all.clear()
        await chat.say("Hello")
        assert told.all == [("line", "front-desk", "First, slowly and in several pieces.")]
        await chat.say("And?")
        assert told.all[1:] == [("line", "front-desk", "Second.")]
        assert [(line.speaker, line.text) for line in chat.history] == [
            ("agent", "Good morning!"),
            ("you", "Hello"),
            ("agent", "First, slowly and in several pieces."),
            ("you", "And?"),
            ("agent", "Second."),
        ]
        assert chat.usage.requests == 3
        assert chat.usage.output_audio_tokens == 0
        assert chat.end is None


async def test_without_a_greeting_you_begin() -> None:
    async with chatting("greeting: Never said.") as (chat, told):
        await chat.greet()
        assert told.all == []
        assert chat.history == ()


async def test_tools_run_for_real_and_know_that_nobody_calls() -> None:
    contexts: list[CallContext] = []

    @function_tool
    async def find_slot(context: ToolContext[CallContext], treatment: str) -> str:
        """Find a slot."""
        contexts.append(context.context)
        return f"Tuesday for a {treatment}"

    agent = RealtimeAgent[None](name="front-desk", tools=[find_slot])
    script = """
turns:
  - call: {tool: find_slot, with: {treatment: checkup}, then: "{output}, is that good?"}
"""
    async with chatting(script, who=profile(agent=agent)) as (chat, told):
        assert chat.agent.tools == ("find_slot", "hang_up", "transfer")
        await chat.say("When?")
        assert told.all == [
            ("tool_started", "find_slot"),
            ("tool_ended", "find_slot", '{"treatment": "checkup"}', "Tuesday for a checkup"),
            ("line", "front-desk", "Tuesday for a checkup, is that good?"),
        ]
        assert ChatLine(
            speaker="tool", text='find_slot({"treatment": "checkup"}) → Tuesday for a checkup'
        ) in (chat.history)
    [context] = contexts
    assert context.call_id.startswith("chat_")
    assert (context.caller, context.dialled, context.sip_headers) == (None, None, ())


async def test_tools_of_mcp_servers_are_there_and_what_is_missing_is_said() -> None:
    script = 'turns:\n  - call: {tool: price, with: {article: tea}, then: "It: {output}."}\n'
    gone = McpServerSpec(name="gone", command=("/nonexistent/program",))
    who = replace(profile(), mcp_tools=(McpTools(server=over_stdio()), McpTools(server=gone)))
    async with chatting(script, who=who) as (chat, told):
        assert "price" in chat.agent.tools
        assert told.of("failed") == [("failed", "The MCP server gone is down: its command was not found.")]
        await chat.say("How much is tea?")
    assert told.of("tool_ended") == [("tool_ended", "price", '{"article": "tea"}', "tea costs 12 euros")]


async def test_several_tools_and_one_that_fails_are_one_turn() -> None:
    @function_tool
    async def slow() -> str:
        """Take a while."""
        await asyncio.sleep(0.2)
        return "slow"

    @function_tool
    async def broken() -> str:
        """Break."""
        raise RuntimeError("secret")

    agent = RealtimeAgent[None](name="front-desk", tools=[slow, broken])
    script = "turns: [{call: [{tool: slow, then: Done.}, {tool: broken, then: Done.}]}]"
    async with chatting(script, who=profile(agent=agent)) as (chat, told):
        await chat.say("Go")
        [failure] = told.of("tool_failed")
        assert failure[1] == "broken"
        assert "secret" not in failure[3]
        assert told.of("tool_ended") == [("tool_ended", "slow", "{}", "slow")]
        assert told.all[-1][:2] == ("line", "front-desk")


async def test_an_unknown_tool_is_said_in_a_sentence() -> None:
    script = "turns: [{call: {tool: dance, even_if_missing: true, then: Sorry.}}]"
    async with chatting(script) as (chat, told):
        await chat.say("Dance")
        [(_, message)] = told.of("failed")
        assert "dance" in message
        assert told.all[-1] == ("line", "front-desk", "Sorry.")


# What belongs to a telephone ------------------------------------------------------------------------


async def test_hanging_up_ends_the_chat_after_the_answer() -> None:
    async with chatting("turns: [{say: Goodbye then!, call: hang_up}]") as (chat, told):
        await chat.say("Bye")
        assert told.of("line") == [("line", "front-desk", "Goodbye then!")]
        assert chat.end is not None
        assert chat.end.cause == "hung_up"
        async with asyncio.timeout(30):
            await chat.wait_over()
        with pytest.raises(ConnectionLostError, match="The agent ended the conversation"):
            await chat.say("Are you there?")


async def test_nobody_is_called_by_a_transfer_and_the_model_is_told() -> None:
    script = "turns: [{call: {tool: transfer, with: {target: billing}, then: I would connect you.}}]"
    async with chatting(script) as (chat, told):
        await chat.say("Billing please")
        [(_, name, _, output)] = told.of("tool_ended")
        assert name == "transfer"
        assert "no telephone call to transfer to billing" in output
        assert chat.end is None


# Handoffs, guardrails, approvals --------------------------------------------------------------------


async def test_a_handoff_is_shown_and_the_next_agent_answers() -> None:
    billing = RealtimeAgent[None](name="billing", instructions="You know invoices.")
    front = RealtimeAgent[None](name="front-desk", handoffs=[billing])
    script = "turns: [{call: {tool: transfer_to_billing, then: Billing here.}}, 'Yes?']"
    async with chatting(script, who=profile(agent=front)) as (chat, told):
        assert chat.agent.handoffs == ("billing",)
        await chat.say("My invoice")
        assert told.all == [("handed_off", "front-desk", "billing"), ("line", "billing", "Billing here.")]
        assert chat.agent.name == "billing"
        await chat.say("Well?")
        assert told.all[-1] == ("line", "billing", "Yes?")


async def test_a_guardrail_that_trips_is_shown_and_the_other_answer_belongs_to_the_turn() -> None:
    async def no_prices(context: object, agent: object, words: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="euros" in words)

    agent = RealtimeAgent[None](
        name="front-desk", output_guardrails=[OutputGuardrail(guardrail_function=no_prices)]
    )
    async with chatting(
        "turns: ['That is ten euros.']\notherwise: Ask at the desk.", who=profile(agent=agent)
    ) as (
        chat,
        told,
    ):
        await chat.say("How much?")
        assert told.all == [
            ("line", "front-desk", "That is ten euros."),
            ("guardrail_tripped", "no_prices"),
            ("line", "front-desk", "Ask at the desk."),
        ]


@function_tool(needs_approval=True)
async def send_invoice(number: int) -> str:
    """Send an invoice."""
    return f"sent {number}"


ASKS = "turns: [{call: {tool: send_invoice, with: {number: 7}, then: 'Result: {output}'}}]"


async def test_an_approved_tool_runs() -> None:
    agent = RealtimeAgent[None](name="front-desk", tools=[send_invoice])
    async with chatting(ASKS, who=profile(agent=agent)) as (chat, told):
        await chat.say("Send it")
        assert told.all[0] == ("approve", "send_invoice", '{"number": 7}')
        assert told.all[-1] == ("line", "front-desk", "Result: sent 7")


async def test_a_refused_tool_does_not_run() -> None:
    agent = RealtimeAgent[None](name="front-desk", tools=[send_invoice])
    async with chatting(ASKS, who=profile(agent=agent), told=Told(approves=False)) as (chat, told):
        await chat.say("Send it")
        assert told.all[-1][2].startswith("Result: ")
        assert "sent 7" not in told.all[-1][2]


async def test_leaving_while_a_question_is_open_leaves_nothing_behind() -> None:
    agent = RealtimeAgent[None](name="front-desk", tools=[send_invoice])
    told = Told(never_answers=True)
    async with chatting(ASKS, who=profile(agent=agent), told=told) as (chat, _):
        turn = asyncio.create_task(chat.say("Send it"))
        await told.asked.wait()
    await asyncio.wait_for(turn, 60)
    assert chat.end is not None


# Cutting off and breaking off -----------------------------------------------------------------------


async def test_an_interrupt_cuts_the_answer_off_and_the_turn_ends() -> None:
    long = "word " * 400
    async with chatting(f"turns: ['{long}', Yes.]", pace=1) as (chat, told):
        turn = asyncio.create_task(chat.say("Tell me everything"))
        await told.spoke.wait()
        await chat.interrupt()
        await asyncio.wait_for(turn, 60)
        [(kind, _, text)] = told.of("line", "cut")
        assert kind == "cut"
        assert 0 < len(text) < len(long) / 2
        assert chat.history[-1].interrupted
        await chat.say("Go on?")
        assert told.all[-1] == ("line", "front-desk", "Yes.")


async def test_a_connection_that_breaks_ends_the_turn_and_the_chat() -> None:
    script = "turns: ['This will never be said to its end, whatever happens.']"
    async with chatting(script, faults="socket_dropped", pace=1) as (chat, told):
        await chat.say("Hello")
        assert chat.end is not None
        assert chat.end.cause == "disconnected"
        assert told.of("cut")
        with pytest.raises(ConnectionLostError):
            await chat.say("Still there?")


async def test_a_model_that_goes_silent_has_left() -> None:
    script = "turns: ['This will never be said to its end, whatever happens.']"
    async with chatting(script, faults="socket_stalled", pace=1, silence_timeout_s=0.5) as (chat, _):
        await chat.say("Hello")
        assert chat.end is not None
        assert chat.end.detail == "The model owed an answer, and nothing came for 0.5 s."


async def test_an_answer_that_fails_is_said_and_the_chat_goes_on() -> None:
    broken = profile()
    broken.settings["max_output_tokens"] = 3
    async with chatting("turns: [A rather long answer that cannot be said.]", who=broken) as (chat, told):
        await chat.say("Hello")
        assert ("failed", "The answer is incomplete: max_output_tokens") in told.all
        assert chat.end is None


async def test_nobody_at_the_address_is_an_error_and_leaves_nothing_open() -> None:
    chat = Chat(profile(), api_key=API_KEY, base_url=f"http://127.0.0.1:{free_port()}/v1", view=Told())
    with pytest.RaisesGroup(AttachError):
        async with chat:
            pytest.fail("entered")


async def test_cancelling_while_it_connects_leaves_nothing_open() -> None:
    came, left = asyncio.Event(), asyncio.Event()

    async def never_shakes_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        while await reader.read(4096):
            pass
        left.set()
        writer.close()

    server = await asyncio.start_server(never_shakes_hands, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        chat = Chat(profile(), api_key=API_KEY, base_url=f"http://127.0.0.1:{port}/v1", view=Told())
        entering = asyncio.create_task(chat.__aenter__())
        async with asyncio.timeout(30):
            await came.wait()
            entering.cancel()
            await asyncio.wait([entering])
            await left.wait()
    assert entering.cancelled()


async def test_cancelling_a_turn_leaves_the_chat_usable() -> None:
    async with chatting("turns: [A first answer., A second answer.]", pace=5) as (chat, told):
        turn = asyncio.create_task(chat.say("Hello"))
        await told.spoke.wait()
        turn.cancel()
        await asyncio.wait([turn])
        assert turn.cancelled()
        await chat.say("Go on")
        assert told.of("line") == [
            ("line", "front-desk", "A first answer."),
            ("line", "front-desk", "A second answer."),
        ]
