"""What can be done before the telephone rings: the agent with its call tools, and its session as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import openai.types.realtime  # noqa: F401 - the first payload needs it, and no caller should wait for that

from sipagent.calls.actions import CallContext, call_tools
from sipagent.calls.profile import AgentProfile
from sipagent.calls.routing import FrontDoor
from sipagent.realtime import OpenAIRealtimeSIPModel, RealtimeAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedProfile:
    """A profile that can answer at once."""

    profile: AgentProfile
    agent: RealtimeAgent[Any]
    """The profile's agent, with its call tools."""
    session: bytes | None
    """The accept body, or None when it depends on the call (instructions made by a function, tools that
    are enabled by one) and must be built for each."""

    first_update: str | None
    """What the attached socket is told first, ready to be sent; None where `session` is None."""

    async def session_for(self, context: CallContext) -> bytes:
        """The accept body for one call. Raises what the operator's own functions raise."""
        if self.session is not None:
            return self.session
        return await _session_json(self.agent, self.profile, context)


async def prepare(profile: AgentProfile) -> PreparedProfile:
    """Make ``profile`` ready; raises `UserError` when no session can be built from it."""
    tools = [*profile.agent.tools, *call_tools(profile.call_tools, profile.transfer_targets)]
    agent = replace(profile.agent, tools=tools)
    static = not callable(agent.instructions) and not any(callable(tool.is_enabled) for tool in agent.tools)
    session = await _session_json(agent, profile, None) if static else None
    first_update = (
        await OpenAIRealtimeSIPModel.build_first_update(
            agent, run_config={"model_settings": profile.settings}
        )
        if static
        else None
    )
    return PreparedProfile(profile=profile, agent=agent, session=session, first_update=first_update)


async def prepare_all(door: FrontDoor) -> dict[str, PreparedProfile]:
    """Every profile of ``door`` by name."""
    return {name: await prepare(profile) for name, profile in door.profiles.items()}


async def _session_json(
    agent: RealtimeAgent[Any], profile: AgentProfile, context: CallContext | None
) -> bytes:
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent, context=context, run_config={"model_settings": profile.settings}
    )
    return json.dumps(payload.model_dump(mode="json", exclude_unset=True), separators=(",", ":")).encode()
