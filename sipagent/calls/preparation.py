"""What can be done before the telephone rings: the agent with its call tools, and its session as JSON.

A session of which nothing depends on the call is written once. Where only the instructions depend on it, as
with variables, all the rest is written once and the instructions are put in for each call. A session whose
tools depend on the call is built for each.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import openai.types.realtime  # noqa: F401 - the first payload needs it, and no caller should wait for that

from sipagent.calls.actions import call_tools
from sipagent.calls.briefing import Briefing
from sipagent.calls.context import CallContext
from sipagent.calls.leading import Team
from sipagent.calls.profile import AgentProfile, TransferTarget
from sipagent.calls.routing import FrontDoor
from sipagent.calls.template import Template
from sipagent.calls.tools.handing_over import connect_agents
from sipagent.calls.variables import UNKNOWN, write_for_prompt
from sipagent.errors import UserError
from sipagent.realtime import Handoff, OpenAIRealtimeSIPModel, RealtimeAgent, RunContextWrapper


class OperatorCodeError(UserError):
    """A function that the operator wrote, and that a session needs, raised or gave what it must not."""


@dataclass(frozen=True, slots=True)
class TemplateInstructions:
    """Instructions of a `RealtimeAgent` with variables in them, written for the call that they are asked for.

    A value that strangers may have chosen stands in them as a JSON string; see `variables`.
    """

    template: Template

    def __call__(self, wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> str:
        """The instructions for the call of ``wrapper``; raises nothing."""
        return self.write(wrapper.context)

    def write(self, context: object) -> str:
        """The instructions for ``context``; outside of a call, nothing is known."""
        values = context.variables if isinstance(context, CallContext) else {}
        return self.template.render(values, missing=UNKNOWN, write=write_for_prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSession:
    """What one call is answered with."""

    agent: RealtimeAgent[Any]
    accept: bytes
    """The body of the accept request."""
    first_update: str | None
    """What the attached socket is told first; None where the session must write it itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedProfile:
    """A profile that can answer at once."""

    profile: AgentProfile
    agent: RealtimeAgent[Any]
    """The profile's agent, with its call tools."""
    session: bytes | None
    """The accept body, or None when it depends on the call."""
    first_update: str | None
    """What the attached socket is told first, ready to be sent; None where `session` is None."""
    briefing: Briefing = field(default_factory=Briefing)
    """Finds out what the variables of a call stand for."""
    greeting: Template | None = None
    """What is said first."""
    around: SessionAround | None = None
    """The session without its instructions; None when more of it depends on the call, or nothing does."""
    targets: Mapping[str, TransferTarget] = field(default_factory=dict)
    """Whom people of the company may send its callers to: the targets of every agent, its own first."""
    team: Team = field(default_factory=Team)
    """Those who may lead the call in its course."""

    def greeting_for(self, context: CallContext) -> str | None:
        """What is said first in one call, word for word; None lets the caller speak first."""
        return None if self.greeting is None else spoken(self.greeting, context)

    async def session_for(self, context: CallContext) -> CallSession:
        """The session for one call.

        Raises `OperatorCodeError` when a function of the operator fails, and `UserError` when what they gave
        makes no session. Cancel-safe as far as they are.
        """
        if self.session is not None:
            return CallSession(agent=self.agent, accept=self.session, first_update=self.first_update)
        if self.around is not None and isinstance(self.agent.instructions, TemplateInstructions):
            return self.around.with_instructions(self.agent, self.agent.instructions.write(context))
        # Asked once: the function may be slow, and need not give the same twice.
        text = await self.agent.get_system_prompt(RunContextWrapper(context))
        agent = replace(self.agent, instructions=text)
        if self.around is not None:
            return self.around.with_instructions(agent, text or "")
        accept = json.dumps(await _session(agent, self.profile, context), separators=(",", ":"))
        return CallSession(agent=agent, accept=accept.encode(), first_update=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAround:
    """The two messages that set a session up, without their instructions."""

    accept: tuple[bytes, bytes]
    """What stands before the instructions, which are a JSON string, and after them."""
    first_update: tuple[str, str]

    def with_instructions(self, agent: RealtimeAgent[Any], text: str) -> CallSession:
        """The session of ``agent`` with the instructions ``text``."""
        written = json.dumps(text)
        return CallSession(
            agent=agent,
            accept=b"".join((self.accept[0], written.encode(), self.accept[1])),
            first_update="".join((self.first_update[0], written, self.first_update[1])),
        )


def spoken(words: Template, context: CallContext) -> str:
    """``words`` as they are said in one call, values plain. Raises nothing."""
    return words.render(context.variables, missing=UNKNOWN)


async def prepare_all(door: FrontDoor, briefing: Briefing | None = None) -> dict[str, PreparedProfile]:
    """Every profile of ``door`` by name, each able to hand over to those that it names.

    Whoever takes over is as whole as those who answer: with call tools and variables. Raises `UserError` when
    no session can be built from a profile.
    """
    if briefing is None:
        briefing = Briefing(
            business=door.business, own=door.variables, calendars=door.calendars, lookups=door.lookups
        )
    agents = {name: _whole_agent(profile) for name, profile in door.profiles.items()}
    named = {name: profile.handoffs for name, profile in door.profiles.items() if profile.handoffs}
    connect_agents(agents, named)
    team = Team(door.profiles.values())
    everybodys = {target.name: target for each in door.profiles.values() for target in each.transfer_targets}
    prepared = [
        await _prepare(profile, agents[name], briefing, team) for name, profile in door.profiles.items()
    ]
    return {
        name: replace(one, targets={**everybodys, **one.targets})
        for name, one in zip(door.profiles, prepared, strict=True)
    }


def _whole_agent(profile: AgentProfile) -> RealtimeAgent[Any]:
    """The agent of ``profile`` with all that it needs on the telephone, but for its handoffs."""
    tools = [*profile.agent.tools, *call_tools(profile.call_tools, profile.transfer_targets)]
    agent = replace(profile.agent, tools=tools)
    if profile.instructions is not None:
        agent = replace(agent, instructions=TemplateInstructions(profile.instructions))
    return _guarded(agent)


async def _prepare(
    profile: AgentProfile, agent: RealtimeAgent[Any], briefing: Briefing, team: Team
) -> PreparedProfile:
    around = None if _may_change(agent, profile) else await _around(agent, profile)
    prepared = PreparedProfile(
        profile=profile,
        agent=agent,
        session=None,
        first_update=None,
        briefing=briefing,
        greeting=None if profile.greeting is None else profile.greeting.text,
        around=around,
        targets={target.name: target for target in profile.transfer_targets},
        team=team,
    )
    if around is None or callable(agent.instructions):
        return prepared
    whole = around.with_instructions(agent, agent.instructions or "")
    return replace(prepared, session=whole.accept, first_update=whole.first_update, around=None)


# The session as JSON --------------------------------------------------------------------------------


def _may_change(agent: RealtimeAgent[Any], profile: AgentProfile) -> bool:
    """Whether more than the instructions depends on the call, or they are not the agent's at all."""
    if "instructions" in (profile.settings.get("extra_session") or {}):
        return True
    handoffs = [each for each in agent.handoffs if isinstance(each, Handoff)]
    return any(callable(each.is_enabled) for each in (*agent.tools, *handoffs))


async def _around(agent: RealtimeAgent[Any], profile: AgentProfile) -> SessionAround:
    agent = replace(agent, instructions="")
    update: dict[str, Any] = json.loads(
        await OpenAIRealtimeSIPModel.build_first_update(
            agent, run_config={"model_settings": profile.settings}
        )
    )
    session = update.pop("session")
    before = json.dumps(update, separators=(",", ":"))
    opening, closing = _seam(session)
    return SessionAround(
        accept=_as_bytes(_seam(await _session(agent, profile, None))),
        first_update=(f'{before[:-1]},"session":{opening}', f"{closing}}}"),
    )


def _seam(session: dict[str, Any]) -> tuple[str, str]:
    """``session`` as JSON with the instructions first, cut where their value stands."""
    rest = json.dumps(
        {key: value for key, value in session.items() if key != "instructions"}, separators=(",", ":")
    )
    return '{"instructions":', f",{rest[1:]}"


def _as_bytes(seam: tuple[str, str]) -> tuple[bytes, bytes]:
    return seam[0].encode(), seam[1].encode()


async def _session(
    agent: RealtimeAgent[Any], profile: AgentProfile, context: CallContext | None
) -> dict[str, Any]:
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent, context=context, run_config={"model_settings": profile.settings}
    )
    return payload.model_dump(mode="json", exclude_unset=True)


# Functions of the operator --------------------------------------------------------------------------


def _guarded(agent: RealtimeAgent[Any]) -> RealtimeAgent[Any]:
    """``agent``, whose functions, where they fail, say that they are the operator's."""
    instructions = agent.instructions
    if callable(instructions) and not isinstance(instructions, TemplateInstructions):
        instructions = _guard(instructions, f"the instructions of {agent.name}", str)
    return replace(
        agent,
        instructions=instructions,
        tools=[_guarded_choice(tool, tool.name) for tool in agent.tools],
        handoffs=[
            _guarded_choice(each, each.tool_name) if isinstance(each, Handoff) else each
            for each in agent.handoffs
        ],
    )


def _guarded_choice(offered: Any, name: str) -> Any:
    """A tool or handoff whose ``is_enabled`` is guarded, if it is a function."""
    if not callable(offered.is_enabled):
        return offered
    return replace(offered, is_enabled=_guard(offered.is_enabled, f"whether {name} is offered", object))


def _guard(function: Callable[..., Any], what: str, wanted: type) -> Callable[..., Any]:
    async def guarded(wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> Any:
        try:
            answer = function(wrapper, agent)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:  # the operator's code may raise anything
            raise OperatorCodeError(
                f"The function that decides {what} raised {type(error).__name__}."
            ) from error
        if not isinstance(answer, wanted):
            raise OperatorCodeError(
                f"The function that decides {what} gave {type(answer).__name__}, not {wanted.__name__}."
            )
        return answer

    return guarded
