"""Ways from one agent to another, by the names that the configuration gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sipagent.errors import UserError
from sipagent.realtime import Handoff, RealtimeAgent, realtime_handoff

SEND_TO_AGENT = "send_to_agent"


def connect_agents(agents: Mapping[str, RealtimeAgent[Any]], handoffs: Mapping[str, Sequence[str]]) -> None:
    """Let each agent hand over to those that ``handoffs`` names for it; they may name each other.

    Raises `UserError` for a name that no agent has, and for an agent that would hand over to itself.
    """
    for name, targets in handoffs.items():
        made: list[RealtimeAgent[Any] | Handoff[Any, Any]] = []
        for target in dict.fromkeys(targets):
            if target not in agents:
                raise UserError(f"agent {name} hands over to {target}, which is no agent")
            if target == name:
                raise UserError(f"agent {name} hands over to itself")
            made.append(make_handoff(target, agents[target]))
        agents[name].handoffs = made


def make_handoff(name: str, agent: RealtimeAgent[Any]) -> Handoff[Any, Any]:
    """A way to ``agent``, which the configuration calls ``name``."""
    purpose = f" {agent.handoff_description.strip()}" if agent.handoff_description else ""
    return realtime_handoff(
        agent,
        tool_name_override=tool_name(name),
        tool_description_override=(
            f"Let {name} go on with the conversation, on the same call.{purpose} Tell the caller so before, "
            "in one short sentence."
        ),
    )


def tool_name(name: str) -> str:
    """What the way to an agent is called for the model."""
    written = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in name
    )
    return f"{SEND_TO_AGENT}_{written}"[:64]
