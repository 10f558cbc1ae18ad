"""What the agent of a session does, as values: the events that carry the names of the OpenAI Agents SDK."""

from __future__ import annotations

from typing import Any, Literal

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import RealtimeModelAudioEvent, RealtimeModelEvent
from sipagent.realtime.guardrails import InputGuardrailResult, OutputGuardrailResult
from sipagent.realtime.items import RealtimeItem
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tools import FunctionTool
from sipagent.realtime.value import Value


class RealtimeEventInfo(Value, frozen=True, kw_only=True):
    """What every event carries: the user's context, and the usage so far."""

    context: RunContextWrapper[Any]


class RealtimeAgentStartEvent(Value, frozen=True, kw_only=True):
    """``agent`` began a turn."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_start"] = "agent_start"


class RealtimeAgentEndEvent(Value, frozen=True, kw_only=True):
    """``agent``, which began the turn, ended it; its speech may still be playing."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_end"] = "agent_end"


class RealtimeHandoffEvent(Value, frozen=True, kw_only=True):
    """``to_agent`` leads from now on; a server that refuses it is reported as an error of type
    ``handoff_refused``, and ``from_agent`` leads again."""

    from_agent: RealtimeAgent[Any]
    to_agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["handoff"] = "handoff"


class RealtimeToolStart(Value, frozen=True, kw_only=True):
    """A tool starts to run. It comes for a refused call too, so that each `RealtimeToolEnd` has one."""

    agent: RealtimeAgent[Any]
    tool: FunctionTool
    arguments: str
    """JSON, as the model wrote it."""
    tool_call_id: ToolCallId
    info: RealtimeEventInfo
    type: Literal["tool_start"] = "tool_start"


class RealtimeToolEnd(Value, frozen=True, kw_only=True):
    """A tool has run, and its output was handed to the model."""

    agent: RealtimeAgent[Any]
    tool: FunctionTool
    arguments: str
    output: Any
    """What the tool returned, or the sentence that stands for its failure."""
    output_text: str
    """What the model was told."""
    is_error: bool
    duration_ms: float
    tool_call_id: ToolCallId
    info: RealtimeEventInfo
    type: Literal["tool_end"] = "tool_end"


class RealtimeToolApprovalRequired(Value, frozen=True, kw_only=True):
    """A tool call waits for `RealtimeSession.approve_tool_call` or ``reject_tool_call``."""

    agent: RealtimeAgent[Any]
    tool: FunctionTool
    arguments: str
    """JSON, as the model wrote it."""
    call_id: ToolCallId
    info: RealtimeEventInfo
    type: Literal["tool_approval_required"] = "tool_approval_required"


class RealtimeGuardrailTripped(Value, frozen=True, kw_only=True):
    """What the agent says must not go on: the response is being cut off. Once for each response."""

    guardrail_results: tuple[OutputGuardrailResult, ...]
    message: str
    """The words that were looked at; the caller may have heard more of them, or less."""
    response_id: ResponseId
    item_id: ItemId
    info: RealtimeEventInfo
    type: Literal["guardrail_tripped"] = "guardrail_tripped"


class RealtimeInputGuardrailTripped(Value, frozen=True, kw_only=True):
    """What the caller said must not be answered: the response to it is being cut off. Once for each item."""

    guardrail_results: tuple[InputGuardrailResult, ...]
    message: str
    """The transcript that was looked at."""
    item_id: ItemId
    info: RealtimeEventInfo
    type: Literal["input_guardrail_tripped"] = "input_guardrail_tripped"


class RealtimeHistoryAdded(Value, frozen=True, kw_only=True):
    """An item is new in the history."""

    item: RealtimeItem
    info: RealtimeEventInfo
    type: Literal["history_added"] = "history_added"


class RealtimeHistoryUpdated(Value, frozen=True, kw_only=True):
    """An item changed or went; ``history`` is all of it, in conversation order."""

    history: tuple[RealtimeItem, ...]
    info: RealtimeEventInfo
    type: Literal["history_updated"] = "history_updated"


class RealtimeAudio(Value, frozen=True, kw_only=True):
    """Speech of the agent, where it comes over the socket; never on SIP."""

    audio: RealtimeModelAudioEvent
    item_id: ItemId
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio"] = "audio"


class RealtimeAudioEnd(Value, frozen=True, kw_only=True):
    """All audio of one part was generated; on SIP it may still be playing."""

    item_id: ItemId
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio_end"] = "audio_end"


class RealtimeAudioInterrupted(Value, frozen=True, kw_only=True):
    """Stop playing: the agent was cut off."""

    item_id: ItemId
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio_interrupted"] = "audio_interrupted"


class RealtimeError(Value, frozen=True, kw_only=True):
    """The server, or something of ours, reports an error; the session goes on."""

    error: Any
    """A mapping with ``message``, and with ``code``, ``type``, ``param`` and ``event_id`` where known."""
    info: RealtimeEventInfo
    type: Literal["error"] = "error"


class RealtimeRawModelEvent(Value, frozen=True, kw_only=True):
    """Every event of the model as it came; only when the run configuration asks for ``raw_events``."""

    data: RealtimeModelEvent
    info: RealtimeEventInfo
    type: Literal["raw_model_event"] = "raw_model_event"
