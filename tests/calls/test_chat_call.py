from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sipagent.calls import CallContext
from sipagent.calls.chat_call import PretendedCall, call_from_nobody, readied
from sipagent.calls.lookup import Lookup
from sipagent.calls.profile import AgentProfile, Greeting
from sipagent.calls.routing import FrontDoor
from sipagent.calls.template import Template
from sipagent.calls.variables import Business
from sipagent.realtime import RealtimeAgent, RunContextWrapper, ToolContext, function_tool
from tests.calls.chatting import chatting, profile
from tests.support.ports import free_port

FRIDAY = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)


def pretended(*profiles: AgentProfile, lookups: tuple[Lookup, ...] = ()) -> PretendedCall:
    """A call of +15550100123 to +15550100000 on a Friday."""
    door = FrontDoor(
        profiles={each.name: each for each in profiles},
        routes=(),
        fingerprint="test",
        business=Business(name="Harbor Dental"),
        variables={"street": "Main Street 1"},
        lookups=lookups,
    )
    call = replace(
        call_from_nobody(profiles[0]).call,
        caller="+15550100123",
        dialled="+15550100000",
        sip_headers=(("X-Tenant", "acme"),),
    )
    return PretendedCall(door=door, call=call, now=FRIDAY)


async def test_what_stands_for_something_on_the_telephone_does_in_writing() -> None:
    seen: list[CallContext] = []

    @function_tool
    async def look(context: ToolContext[CallContext]) -> str:
        """Look."""
        seen.append(context.context)
        return "seen"

    greeting = Greeting(text=Template("{{business.name}}, {{street}}. It is {{time}} for {{caller}}."))
    agent = RealtimeAgent[None](name="front-desk", tools=[look])
    who = replace(profile(agent=agent), greeting=greeting)
    script = "turns: [{call: {tool: look, then: Good.}}]"
    async with chatting(script, who=who, pretended=pretended(who)) as (chat, told):
        await chat.greet()
        assert told.of("line") == [
            ("line", "front-desk", "Harbor Dental, Main Street 1. It is 14:05 for +15550100123.")
        ]
        await chat.say("Look")
    [context] = seen
    assert (context.caller, context.dialled) == ("+15550100123", "+15550100000")
    assert context.variables["sip.x-tenant"] == "acme"
    assert context.variables["weekday"] == "Friday"


async def test_one_hands_over_to_whom_a_caller_may_get_to_and_to_nobody_else() -> None:
    names = ("front-desk", "technician", "boss", "stranger")
    front, technician, boss, stranger = (
        replace(profile(agent=RealtimeAgent(name=name, instructions="Be kind.")), name=name) for name in names
    )
    front = replace(front, handoffs=("technician",))
    technician = replace(
        technician, handoffs=("boss", "front-desk"), instructions=Template("You work at {{business.name}}.")
    )
    scene = pretended(front, technician, boss, stranger)
    async with readied(front, scene) as ready:
        crew = {name for name in names if ready.prepared.team.profile(name) is not None}
        assert crew == {"front-desk", "technician", "boss"}
    script = """
turns:
  - call: {tool: send_to_agent_technician, then: "What is cold?"}
  - call: {tool: hang_up, then: Bye.}
"""
    async with chatting(script, who=front, pretended=scene) as (chat, told):
        assert set(chat.agent.handoffs) == {"technician"}
        await chat.say("My heating is cold")
        assert told.of("handed_off") == [("handed_off", "front-desk", "technician")]
        assert told.of("failed") == []
        assert set(chat.agent.handoffs) == {"boss", "front-desk"}
        await chat.say("Goodbye")
        assert chat.end is not None
        assert chat.end.cause == "hung_up"


async def test_instructions_are_written_for_the_pretended_call() -> None:
    who = replace(profile(), instructions=Template("You work at {{business.name}} on {{weekday}}."))
    async with readied(who, pretended(who)) as ready:
        context = CallContext(
            call_id=pretended(who).call.call_id,
            caller=None,
            dialled=None,
            sip_headers=(),
            controls=None,  # type: ignore[arg-type]
            variables=ready.values,
        )
        prompt = await ready.prepared.agent.get_system_prompt(RunContextWrapper(context))
        assert prompt == "You work at Harbor Dental on Friday."


async def test_a_lookup_is_made_and_one_that_fails_is_told() -> None:
    nobody = Lookup(
        name="customer",
        url=Template(f"http://127.0.0.1:{free_port()}/customers"),
        take={"name": "/name"},
        defaults={"name": "somebody"},
    )
    who = replace(profile(), greeting=Greeting(text=Template("Good day, {{customer.name}}.")))
    scene = pretended(who, lookups=(nobody,))
    async with chatting("greeting: Never said.", who=who, pretended=scene) as (chat, told):
        [(_, message)] = told.of("failed")
        assert message.startswith("The lookup customer found nothing, and its defaults stand: ")
        await chat.greet()
        assert told.of("line") == [("line", "front-desk", "Good day, somebody.")]
