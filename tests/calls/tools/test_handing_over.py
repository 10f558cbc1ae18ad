"""Ways from one agent to another."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.calls.tools.handing_over import connect_agents, tool_name
from sipagent.errors import UserError
from sipagent.realtime import Handoff, RealtimeAgent, RunContextWrapper


def agents() -> dict[str, RealtimeAgent[Any]]:
    return {
        "front-desk": RealtimeAgent(name="front-desk"),
        "billing": RealtimeAgent(name="billing", handoff_description="Invoices and payments."),
        "doctor": RealtimeAgent(name="doctor"),
    }


async def test_agents_hand_over_to_those_that_are_named_for_them() -> None:
    there = agents()
    connect_agents(there, {"front-desk": ["billing", "doctor", "billing"], "billing": ["front-desk"]})
    ways = there["front-desk"].handoffs
    assert all(isinstance(way, Handoff) for way in ways)
    names = [way.tool_name for way in ways if isinstance(way, Handoff)]
    assert names == ["send_to_agent_billing", "send_to_agent_doctor"]
    (billing, *_) = ways
    assert isinstance(billing, Handoff)
    assert "Invoices and payments." in billing.tool_description
    assert await billing.on_invoke_handoff(RunContextWrapper(None), "{}") is there["billing"]
    (back,) = there["billing"].handoffs
    assert isinstance(back, Handoff)
    assert await back.on_invoke_handoff(RunContextWrapper(None), "") is there["front-desk"]
    assert there["doctor"].handoffs == []


@pytest.mark.parametrize("handoffs", [{"front-desk": ["sales"]}, {"front-desk": ["front-desk"]}])
def test_a_way_to_nobody_or_to_oneself_is_refused(handoffs: dict[str, list[str]]) -> None:
    with pytest.raises(UserError, match="front-desk"):
        connect_agents(agents(), handoffs)


def test_names_become_names_of_tools() -> None:
    assert tool_name("front-desk") == "send_to_agent_front-desk"
    assert tool_name("Büro 2") == "send_to_agent_B_ro_2"
    assert len(tool_name("x" * 100)) == 64
