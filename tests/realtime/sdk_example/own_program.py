"""A program of one's own on `sipagent.realtime`, written wide rather than sensible: for the type checker.

Every part of the library that programs build on appears once, with the types that a reader would expect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, assert_never

from pydantic import BaseModel

from sipagent.realtime import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    AttachPolicy,
    FunctionTool,
    GuardrailFunctionOutput,
    Handoff,
    InputAudio,
    InputImage,
    InputText,
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeAgentEndEvent,
    RealtimeAgentHooks,
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeAgentStartEvent,
    RealtimeAudio,
    RealtimeAudioEnd,
    RealtimeAudioInterrupted,
    RealtimeError,
    RealtimeHandoffEvent,
    RealtimeItem,
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
    RealtimeMcpListToolsItem,
    RealtimeModel,
    RealtimeModelConfig,
    RealtimeModelEvent,
    RealtimeModelListener,
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelTurnEndedEvent,
    RealtimePlaybackTracker,
    RealtimeResponseEnded,
    RealtimeRunConfig,
    RealtimeRunHooks,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeSessionModelSettings,
    RealtimeToolApprovalRequired,
    RealtimeToolCallItem,
    RealtimeToolEnd,
    RealtimeToolStart,
    RealtimeTranscriptLine,
    RunContextWrapper,
    SystemMessageItem,
    ToolContext,
    ToolErrorFormatterArgs,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    ToolOutputGuardrailData,
    ToolTimeoutError,
    TransportConfig,
    UserError,
    UserMessageItem,
    function_tool,
    input_guardrail,
    output_guardrail,
    realtime_handoff,
    tool_input_guardrail,
    tool_output_guardrail,
)
from sipagent.realtime.testing import ScriptedRealtimeModel


@dataclass
class Guest:
    """The context of a call."""

    name: str
    orders: list[str] = field(default_factory=list)


class Size(Enum):
    """How much of it."""

    SMALL = "small"
    LARGE = "large"


class Dish(BaseModel):
    """Something to eat."""

    name: str
    size: Size = Size.SMALL


# Tools ----------------------------------------------------------------------------------------------


@tool_input_guardrail
def kitchen_is_open(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    if "soup" in data.context.tool_arguments:
        return ToolGuardrailFunctionOutput.reject_content("The soup is gone.")
    return ToolGuardrailFunctionOutput.allow()


@tool_output_guardrail(name="no prices")
async def no_prices(data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
    if "€" in str(data.output):
        return ToolGuardrailFunctionOutput.raise_exception({"tool": data.context.tool_name})
    return ToolGuardrailFunctionOutput.allow()


def why(context: RunContextWrapper[Any], error: Exception) -> str:
    return "too slow" if isinstance(error, ToolTimeoutError) else f"not now ({context.usage.requests})"


async def large_orders(context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
    return bool(call_id) and arguments.get("count", 0) > 10


@function_tool(
    timeout=5.0,
    failure_error_function=why,
    needs_approval=large_orders,
    tool_input_guardrails=[kitchen_is_open],
    tool_output_guardrails=[no_prices],
)
async def order(context: ToolContext[Guest], dish: Dish, count: int = 1) -> dict[str, Any]:
    """Order a dish."""
    context.context.orders.extend([dish.name] * count)
    return {"ordered": context.context.orders, "call": context.tool_call_id}


@function_tool
def today(kind: Literal["lunch", "dinner"]) -> str:
    """What there is today."""
    return kind


async def by_hand(context: ToolContext[Any], arguments_json: str) -> Any:
    return arguments_json


written_by_hand = FunctionTool(
    name="by_hand",
    description="Gives back what it is given.",
    params_json_schema={"type": "object", "properties": {}},
    on_invoke_tool=by_hand,
    is_enabled=lambda context, agent: context.context is not None,
)

# Guardrails, hooks, agents --------------------------------------------------------------------------


@output_guardrail
async def polite(
    context: RunContextWrapper[Guest], agent: RealtimeAgent[Guest], said: str
) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=agent.name, tripwire_triggered="damn" in said)


@input_guardrail(name="no robots")
def no_robots(context: RunContextWrapper[Any], agent: Any, said: str) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered="beep" in said)


class Waiter(RealtimeAgentHooks[Guest]):
    """Hooks of one agent."""

    async def on_start(self, context: RunContextWrapper[Guest], agent: RealtimeAgent[Any]) -> None:
        context.context.orders.append(agent.name)


class Diary(RealtimeRunHooks[Guest]):
    """Hooks of a session."""

    async def on_tool_end(
        self, context: RunContextWrapper[Guest], agent: RealtimeAgent[Any], tool: FunctionTool, result: Any
    ) -> None:
        context.context.orders.append(f"{tool.name}: {result}")


class Complaint(BaseModel):
    """Why the manager is wanted."""

    what: str


async def note(context: RunContextWrapper[Guest], given: Complaint) -> None:
    context.context.orders.append(given.what)


async def instructions(context: RunContextWrapper[Guest], agent: RealtimeAgent[Guest]) -> str:
    return f"{agent.name} serves {context.context.name}."


def formatter(about: ToolErrorFormatterArgs) -> str | None:
    return f"{about.tool_name} was refused." if about.call_id else None


manager = RealtimeAgent[Guest](name="Manager", handoff_description="Hears complaints.")
to_manager: Handoff[Any, RealtimeAgent[Guest]] = realtime_handoff(
    manager, on_handoff=note, input_type=Complaint, tool_name_override="complain"
)
waiter = RealtimeAgent[Guest](
    name="Waiter",
    instructions=instructions,
    tools=[order, today, written_by_hand],
    handoffs=[to_manager],
    output_guardrails=[polite],
    input_guardrails=[no_robots],
    hooks=Waiter(),
)
night_waiter: RealtimeAgent[Guest] = waiter.clone(name="Night waiter")

SETTINGS: RealtimeSessionModelSettings = {
    "model_name": "gpt-realtime-2.1",
    "voice": "marin",
    "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.4}}},
    "max_output_tokens": "inf",
}
CONFIG: RealtimeRunConfig = {
    "model_settings": SETTINGS,
    "output_guardrails": [polite],
    "guardrails_settings": {"debounce_text_length": 50},
    "tool_error_formatter": formatter,
    "hooks": Diary(),
    "async_tool_calls": True,
}

# A model of one's own -------------------------------------------------------------------------------


class Parrot(RealtimeModel):
    """Says nothing of its own."""

    def __init__(self) -> None:
        self.listeners: list[RealtimeModelListener] = []
        self.options: RealtimeModelConfig | None = None

    async def connect(self, options: RealtimeModelConfig) -> None:
        self.options = options

    def add_listener(self, listener: RealtimeModelListener) -> None:
        self.listeners.append(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        self.listeners.remove(listener)

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        if isinstance(event, RealtimeModelRequestResponse) and event.response is not None:
            raise UserError(f"no response can have {sorted(event.response)}")

    async def close(self) -> None:
        self.options = None


class Counter(RealtimeModelListener):
    """Counts what responses cost."""

    tokens = 0

    async def on_event(self, event: RealtimeModelEvent) -> None:
        if isinstance(event, RealtimeModelTurnEndedEvent) and event.usage is not None:
            self.tokens += event.usage.total_tokens


# The conversation -----------------------------------------------------------------------------------


def words(item: RealtimeItem) -> str:
    """A line of the conversation; whatever there may be is dealt with."""
    match item:
        case RealtimeToolCallItem(name=name, output=output) | RealtimeMcpCallItem(name=name, output=output):
            return f"{name} -> {output}"
        case RealtimeMcpListToolsItem(tools=tools):
            return ", ".join(tool.name for tool in tools)
        case RealtimeMcpApprovalRequestItem(name=name):
            return f"{name}?"
        case RealtimeMcpApprovalResponseItem(approve=approve):
            return "yes" if approve else "no"
        case SystemMessageItem(content=content):
            return " ".join(part.text for part in content)
        case UserMessageItem(content=content):
            return " ".join(heard(part) for part in content)
        case AssistantMessageItem(content=content, interrupted=interrupted):
            return " ".join(said(part) for part in content) + ("…" if interrupted else "")
        case _:
            assert_never(item)


def heard(part: InputText | InputAudio | InputImage) -> str:
    match part:
        case InputText(text=text):
            return text
        case InputAudio(transcript=transcript):
            return transcript or ""
        case InputImage(image_url=image_url):
            return image_url
        case _:
            assert_never(part)


def said(part: AssistantText | AssistantAudio) -> str:
    match part:
        case AssistantText(text=text):
            return text
        case AssistantAudio(transcript=transcript):
            return transcript or ""
        case _:
            assert_never(part)


def line(event: RealtimeSessionEvent) -> str | None:
    """What a log says of an event; None for all that is of no interest."""
    match event:
        case RealtimeTranscriptLine(role=role, text=text, final=True):
            return f"{role}: {text}"
        case RealtimeToolStart(tool=tool) | RealtimeToolApprovalRequired(tool=tool):
            return tool.name
        case RealtimeToolEnd(tool=tool, is_error=is_error, duration_ms=duration_ms):
            return f"{tool.name} {'failed' if is_error else 'ran'} within {duration_ms:.0f} ms"
        case RealtimeHandoffEvent(from_agent=from_agent, to_agent=to_agent):
            return f"{from_agent.name} -> {to_agent.name}"
        case RealtimeAgentStartEvent(agent=agent) | RealtimeAgentEndEvent(agent=agent):
            return agent.name
        case RealtimeResponseEnded(status="completed" | "cancelled"):
            return None
        case RealtimeResponseEnded(status=status, reason=reason):
            return f"{status}: {reason}"
        case RealtimeError(error=error):
            return str(error)
        case _:
            return None


Sound = RealtimeAudio | RealtimeAudioEnd | RealtimeAudioInterrupted
Speech = RealtimeAgentSpeechStarted | RealtimeAgentSpeechStopped | RealtimeAgentSpeechCleared


def speaker(event: Sound | Speech) -> int:
    """How many bytes are to be played now."""
    match event:
        case RealtimeAudio(audio=audio):
            return len(audio.data)
        case RealtimeAudioEnd() | RealtimeAudioInterrupted():
            return 0
        case RealtimeAgentSpeechStarted() | RealtimeAgentSpeechStopped() | RealtimeAgentSpeechCleared():
            return 0
        case _:
            assert_never(event)


def by_type(event: RealtimeSessionEvent) -> str:
    """The same by the event's ``type``, as many programs do it."""
    if event.type == "tool_end":
        return event.output_text
    if event.type == "audio":
        return event.item_id
    if event.type == "history_added":
        return words(event.item)
    if event.type == "guardrail_tripped":
        return ", ".join(result.guardrail.get_name() for result in event.guardrail_results)
    return event.type


async def lines(session: RealtimeSession) -> AsyncIterator[str]:
    """A log."""
    async for event in session:
        if isinstance(event, RealtimeToolApprovalRequired):
            await session.approve_tool_call(event.call_id, always=True)
        if (text := line(event)) is not None:
            yield text


async def fetch_key() -> str:
    return "sk-somewhere"


async def call(call_id: str, headers: Mapping[str, str]) -> list[str]:
    """One telephone call."""
    transport: TransportConfig = {"ping_interval": 5.0, "close_timeout": 1.0}
    model = OpenAIRealtimeSIPModel(
        transport_config=transport, attach_policy=AttachPolicy(reattach_attempts=1)
    )
    config: RealtimeModelConfig = {"api_key": fetch_key, "call_id": call_id, "headers": headers}
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        waiter, context=Guest("Ann"), model_config=config, run_config=CONFIG, overrides={"voice": "cedar"}
    )
    runner = RealtimeRunner(waiter, model=model, config=CONFIG, hooks=Diary())
    found: list[str] = [str(payload.model)]
    async with await runner.run(context=Guest("Ann"), model_config=config) as session:
        await session.say("Good evening.", interruptible=False)
        async for text in lines(session):
            found.append(text)
    end = session.end
    return [*found, end.cause if end is not None else "", *(words(item) for item in session.history)]


async def desk() -> int:
    """A conversation over the socket."""
    tracker = RealtimePlaybackTracker()
    session = RealtimeSession(
        OpenAIRealtimeWebSocketModel(), waiter, Guest("Bob"), {"playback_tracker": tracker}, CONFIG
    )
    session.model.add_listener(counter := Counter())
    async with session:
        await session.send_message(
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,", "detail": "low"},
                ],
            }
        )
        await session.send_audio(b"\0\0", commit=True)
        async for event in session:
            if isinstance(event, RealtimeAudio):
                tracker.on_play_bytes(event.item_id, event.content_index, event.audio.data)
            elif event.type == "audio_interrupted":
                await session.interrupt()
        await session.update_agent(night_waiter)
        await session.wait_until_agent_silent(timeout_s=1.0)
    return counter.tokens + session.usage.total_tokens


async def rehearsal() -> bool:
    """A test of the agent."""
    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelRequestResponse, *model.agent_calls("today", {"kind": "lunch"}))
    model.allow(lambda event: True)
    async with await RealtimeRunner(waiter, model=model).run(context=Guest("Eve")) as session:
        await session.request_response()
        await model.emit(*model.caller_says("Thank you."))
        asked: RealtimeModelRequestResponse = await model.wait_until_sent(RealtimeModelRequestResponse)
    model.verify()
    return asked.response is None
