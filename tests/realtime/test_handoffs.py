"""What a handoff is made of: its name, its schema, and what becomes of the model's input."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from sipagent.errors import ModelBehaviorError, UserError
from sipagent.realtime import Handoff, RealtimeAgent, RunContextWrapper, function_tool, realtime_handoff
from sipagent.realtime.settings import agent_settings, session_payload, tool_payloads

CONTEXT = RunContextWrapper("Ann")
BILLING = RealtimeAgent[Any](name="Billing & Refunds", handoff_description="Knows all bills.")


class Reason(pydantic.BaseModel):
    why: str
    urgency: int = 1


@dataclass
class Noted:
    """What a test's callback was given."""

    inputs: list[Any]

    async def with_input(self, context: RunContextWrapper[Any], given: Reason) -> None:
        self.inputs.append((context.context, given))

    def in_thread(self, context: RunContextWrapper[Any]) -> None:
        self.inputs.append(threading.current_thread() is threading.main_thread())


def test_a_handoff_is_named_after_its_agent() -> None:
    way = realtime_handoff(BILLING)
    assert way.tool_name == "transfer_to_billing___refunds"
    assert way.tool_description == (
        "Handoff to the Billing & Refunds agent to handle the request. Knows all bills."
    )
    assert way.agent_name == "Billing & Refunds"
    assert way.input_json_schema == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert way.get_transfer_message(BILLING) == '{"assistant": "Billing & Refunds"}'
    plain = realtime_handoff(RealtimeAgent[Any](name="Zürich"))
    assert plain.tool_name == "transfer_to_z_rich"
    assert plain.tool_description == "Handoff to the Zürich agent to handle the request."
    assert len(realtime_handoff(RealtimeAgent[Any](name="x" * 100)).tool_name) == 64


def test_name_and_description_may_be_given() -> None:
    way = realtime_handoff(BILLING, tool_name_override="ask_billing", tool_description_override="Bills.")
    assert (way.tool_name, way.tool_description) == ("ask_billing", "Bills.")
    with pytest.raises(UserError, match="tool_name_override"):
        realtime_handoff(BILLING, tool_name_override="ask billing")


async def test_the_input_of_the_model_is_checked_and_handed_over() -> None:
    noted = Noted([])
    way = realtime_handoff(BILLING, on_handoff=noted.with_input, input_type=Reason)
    assert way.input_json_schema["properties"]["why"]["type"] == "string"
    assert way.input_json_schema["additionalProperties"] is False
    assert await way.on_invoke_handoff(CONTEXT, '{"why": "a bill", "urgency": 3}') is BILLING
    assert noted.inputs == [("Ann", Reason(why="a bill", urgency=3))]
    for wrong in ("", "no JSON", '{"urgency": "the secret"}'):
        with pytest.raises(ModelBehaviorError, match="does not fit") as raised:
            await way.on_invoke_handoff(CONTEXT, wrong)
        assert "secret" not in str(raised.value)
    assert len(noted.inputs) == 1


async def test_a_plain_callback_runs_in_a_thread_and_input_is_ignored_where_none_is_wanted() -> None:
    noted = Noted([])
    way = realtime_handoff(BILLING, on_handoff=noted.in_thread)
    assert await way.on_invoke_handoff(CONTEXT, "no JSON") is BILLING
    assert noted.inputs == [False]


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_type": Reason},
        {"input_type": Reason, "on_handoff": lambda context: None},
        {"on_handoff": lambda context, given: None},
        {"on_handoff": lambda: None},
        {"on_handoff": "log"},
        {"on_handoff": lambda context, given: None, "input_type": str},
        {"on_handoff": lambda context, given: None, "input_type": threading.Lock},
    ],
    ids=str,
)
def test_mistakes_are_told_before_the_telephone_rings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        realtime_handoff(BILLING, **wrong)


def test_an_agent_takes_agents_and_handoffs_only() -> None:
    RealtimeAgent[Any](name="a", handoffs=[BILLING, realtime_handoff(BILLING)])
    for wrong in ((BILLING,), ["billing"]):
        with pytest.raises(TypeError, match="handoffs"):
            RealtimeAgent[Any](name="a", handoffs=wrong)  # type: ignore[arg-type]


@function_tool
def look_up() -> str:
    """Look something up."""
    return ""


async def test_handoffs_stand_behind_the_tools_of_the_payload() -> None:
    async def only_for_ann(context: RunContextWrapper[Any], agent: Any) -> bool:
        return bool(context.context == "Ann" and agent.name == "front-desk")

    def never(context: RunContextWrapper[Any], agent: Any) -> bool:
        return False

    agent = RealtimeAgent[Any](
        name="front-desk",
        tools=[look_up],
        handoffs=[
            RealtimeAgent[Any](name="sales"),
            realtime_handoff(BILLING, tool_name_override="one", is_enabled=only_for_ann),
            realtime_handoff(BILLING, tool_name_override="two", is_enabled=never),
            realtime_handoff(BILLING, tool_name_override="three", is_enabled=False),
        ],
    )
    settings = await agent_settings(agent, CONTEXT)
    payload = session_payload(settings, default_format="g711_ulaw", model=None)
    assert [each["name"] for each in payload["tools"]] == ["look_up", "transfer_to_sales", "one"]
    assert payload["tools"][2] == {
        "type": "function",
        "name": "one",
        "description": Handoff.default_tool_description(BILLING),
        "parameters": realtime_handoff(BILLING).input_json_schema,
    }


async def test_a_handoff_may_not_have_the_name_of_a_tool_or_of_another() -> None:
    for handoffs in ([realtime_handoff(BILLING, tool_name_override="look_up")], [BILLING, BILLING]):
        agent = RealtimeAgent[Any](name="a", tools=[look_up], handoffs=[*handoffs])
        with pytest.raises(UserError, match="named"):
            await agent_settings(agent, CONTEXT)
    with pytest.raises(UserError, match="no handoff"):
        tool_payloads([], [BILLING])  # type: ignore[list-item]
