"""Handoffs: what lets a model give the conversation to another agent.

To the model a handoff is one more function, named after the agent that would lead; what happens when it is
called is in `leading` and `handover`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pydantic

from sipagent.errors import ModelBehaviorError, UserError
from sipagent.realtime.run_context import RunContextWrapper, TContext
from sipagent.realtime.tool_schema import TOOL_NAME
from sipagent.realtime.tools import ToolEnabled
from sipagent.realtime.user_code import call_user_code

NO_INPUT: dict[str, Any] = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}
"""The schema of a handoff that takes nothing."""
_LONGEST_NAME = 64


class HandoffTarget(Protocol):
    """What a handoff needs to know of the agent it leads to."""

    name: str
    handoff_description: str | None


TAgent = TypeVar("TAgent", bound=HandoffTarget)
THandoffInput = TypeVar("THandoffInput")

OnHandoffWithInput = Callable[[RunContextWrapper[Any], THandoffInput], Any]
"""Called with the context and the model's input, right before the handoff; sync or async."""
OnHandoffWithoutInput = Callable[[RunContextWrapper[Any]], Any]
"""Called with the context, right before the handoff; sync or async."""


@dataclass(slots=True, kw_only=True)
class Handoff(Generic[TContext, TAgent]):
    """One way from an agent to another, as the model and the session see it; `realtime_handoff` makes them.

    Raises `UserError` for a name that the API refuses.
    """

    tool_name: str
    tool_description: str
    input_json_schema: dict[str, Any]
    on_invoke_handoff: Callable[[RunContextWrapper[Any], str], Awaitable[TAgent]]
    """Gets the context and the model's arguments as JSON text; returns the agent that leads from then on.
    Whatever it raises is answered to the model, and the agent that leads stays."""
    agent_name: str
    strict_json_schema: bool = True
    is_enabled: ToolEnabled = True
    """Whether it is offered; a callable is given the context and the agent that would hand off."""

    def __post_init__(self) -> None:
        if not TOOL_NAME.match(self.tool_name):
            raise UserError(
                f"{self.tool_name!r} cannot be the name of a handoff: letters, digits, _ and - only, "
                f"{_LONGEST_NAME} at most; set tool_name_override"
            )

    def get_transfer_message(self, agent: HandoffTarget) -> str:
        """What the model is told when the handoff has taken place, as JSON."""
        return json.dumps({"assistant": agent.name}, ensure_ascii=False)

    @classmethod
    def default_tool_name(cls, agent: HandoffTarget) -> str:
        """``transfer_to_`` and the agent's name in lower case, with ``_`` for all but letters and digits."""
        return re.sub(r"[^a-z0-9_]", "_", f"transfer_to_{agent.name}".lower())[:_LONGEST_NAME]

    @classmethod
    def default_tool_description(cls, agent: HandoffTarget) -> str:
        """A sentence with the agent's name, and its ``handoff_description``."""
        sentence = f"Handoff to the {agent.name} agent to handle the request."
        return f"{sentence} {agent.handoff_description or ''}".rstrip()

    async def enabled(self, context: RunContextWrapper[Any], agent: Any) -> bool:
        """Whether ``agent`` may hand off so now. Raises what ``is_enabled`` raises. Cancel-safe."""
        if isinstance(self.is_enabled, bool):
            return self.is_enabled
        answer = self.is_enabled(context, agent)
        return await answer if inspect.isawaitable(answer) else answer


def realtime_handoff(
    agent: TAgent,
    *,
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    on_handoff: OnHandoffWithInput[THandoffInput] | OnHandoffWithoutInput | None = None,
    input_type: type[THandoffInput] | None = None,
    is_enabled: ToolEnabled = True,
) -> Handoff[Any, TAgent]:
    """A handoff to ``agent``, to be listed in `RealtimeAgent.handoffs`.

    ``on_handoff`` is called before ``agent`` takes over; a plain ``def`` runs in a thread of its own. With
    ``input_type`` the model must give an input, which is checked and handed to ``on_handoff``.

    Raises `UserError` for an ``input_type`` without ``on_handoff``, for one that no JSON object can stand
    for, for an ``on_handoff`` that takes another number of arguments, and for a name that the API refuses.
    Taking the handoff raises `ModelBehaviorError` for an input that does not fit, which a session answers to
    the model.
    """
    _check_callback(on_handoff, takes_input=input_type is not None)
    tool_name = tool_name_override or Handoff.default_tool_name(agent)
    adapter: pydantic.TypeAdapter[Any] | None = None
    schema = NO_INPUT
    if input_type is not None:
        adapter, schema = _described(input_type, tool_name)

    async def invoke(context: RunContextWrapper[Any], arguments_json: str) -> TAgent:
        given = () if adapter is None else (_checked(adapter, tool_name, arguments_json),)
        if on_handoff is not None:
            await call_user_code(on_handoff, context, *given)
        return agent

    return Handoff(
        tool_name=tool_name,
        tool_description=tool_description_override or Handoff.default_tool_description(agent),
        input_json_schema=dict(schema),
        on_invoke_handoff=invoke,
        agent_name=agent.name,
        is_enabled=is_enabled,
    )


def _check_callback(on_handoff: Callable[..., Any] | None, *, takes_input: bool) -> None:
    if on_handoff is None:
        if takes_input:
            raise UserError("input_type needs on_handoff: nobody would read the input")
        return
    if not callable(on_handoff):
        raise UserError(f"on_handoff must be callable, not {on_handoff!r}")
    wanted = (None, None) if takes_input else (None,)
    try:
        inspect.signature(on_handoff).bind(*wanted)
    except TypeError as error:
        arguments = "the context and the input" if takes_input else "one argument, the context"
        raise UserError(f"on_handoff must take {arguments}") from error


def _described(input_type: type[Any], tool_name: str) -> tuple[pydantic.TypeAdapter[Any], dict[str, Any]]:
    try:
        adapter = pydantic.TypeAdapter[Any](input_type)
        schema = adapter.json_schema()
    except pydantic.errors.PydanticUserError as error:
        raise UserError(f"handoff {tool_name!r}: no JSON schema describes its input_type") from error
    if schema.get("type") != "object":
        raise UserError(f"handoff {tool_name!r}: its input_type must be described by a JSON object")
    schema.setdefault("properties", {})
    schema.setdefault("additionalProperties", False)
    return adapter, schema


def _checked(adapter: pydantic.TypeAdapter[Any], tool_name: str, arguments_json: str) -> Any:
    try:
        return adapter.validate_json(arguments_json or "{}")
    except pydantic.ValidationError as error:
        # Places and reasons, without the values: those are what a caller said.
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'input'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)[:5]
        )
        raise ModelBehaviorError(
            f"The input of handoff '{tool_name}' does not fit: {problems}. Please correct it and try again."
        ) from error
