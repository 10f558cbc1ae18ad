"""What the room shows to the others, and what users of the OpenAI Agents SDK find in it."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from sipagent import realtime
from sipagent.realtime import ResponseUsage
from sipagent.realtime.events import RealtimeModelEvent
from sipagent.realtime.inputs import RealtimeModelSendEvent
from sipagent.realtime.sdk_names import get_api_key
from sipagent.realtime.session_events import RealtimeSessionEvent
from sipagent.realtime.settings import session_payload

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("agents") is None,
    reason="the OpenAI Agents SDK is not installed; it comes with the extra bench",
)
_REALTIME = """
    AssistantMessageItem AssistantText DEFAULT_MODEL_SETTINGS InputAudio InputText
    OpenAIRealtimeSIPModel OpenAIRealtimeWebSocketModel RealtimeAgent RealtimeAgentEndEvent
    RealtimeAgentHooks RealtimeAgentStartEvent RealtimeAudio RealtimeAudioEnd RealtimeAudioFormat
    RealtimeAudioInterrupted RealtimeClientMessage RealtimeConnectionStatus RealtimeError
    RealtimeEventInfo RealtimeGuardrailTripped RealtimeGuardrailsSettings RealtimeHandoffEvent
    RealtimeHistoryAdded RealtimeHistoryUpdated RealtimeInputAudioNoiseReductionConfig
    RealtimeInputAudioTranscriptionConfig RealtimeItem RealtimeMessageItem RealtimeModel
    RealtimeModelAudioDoneEvent RealtimeModelAudioEvent RealtimeModelAudioInterruptedEvent
    RealtimeModelCachedTokensDetails RealtimeModelConfig RealtimeModelConnectionStatusEvent
    RealtimeModelEndOfStreamEvent RealtimeModelErrorEvent RealtimeModelEvent RealtimeModelExceptionEvent
    RealtimeModelInputAudioTranscriptionCompletedEvent RealtimeModelInputTextContent
    RealtimeModelInputTokensDetails RealtimeModelItemDeletedEvent RealtimeModelItemUpdatedEvent
    RealtimeModelListener RealtimeModelName RealtimeModelOtherEvent RealtimeModelOutputTextDeltaEvent
    RealtimeModelOutputTokensDetails RealtimeModelRawClientMessage RealtimeModelSendAudio
    RealtimeModelSendEvent RealtimeModelSendInterrupt RealtimeModelSendRawMessage
    RealtimeModelSendSessionUpdate RealtimeModelSendToolOutput RealtimeModelSendUserInput
    RealtimeModelToolCallEvent RealtimeModelTracingConfig RealtimeModelTranscriptDeltaEvent
    RealtimeModelTurnEndedEvent RealtimeModelTurnStartedEvent RealtimeModelUsageEvent
    RealtimeModelUserInput RealtimeModelUserInputMessage RealtimePlaybackState RealtimePlaybackTracker
    RealtimeRawModelEvent RealtimeReasoningConfig RealtimeReasoningEffort RealtimeResponse
    RealtimeRunConfig RealtimeRunHooks RealtimeRunner RealtimeSession RealtimeSessionEvent
    RealtimeSessionModelSettings RealtimeToolApprovalRequired RealtimeToolCallItem RealtimeToolEnd
    RealtimeToolExecutionConfig RealtimeToolStart RealtimeTurnDetectionConfig RealtimeUserInput
    RealtimeUserInputMessage RealtimeUserInputText SystemMessageItem UserMessageItem get_api_key
    realtime_handoff
    """
NAMES_OF_THE_SDK = frozenset(_REALTIME.split())
"""``agents.realtime.__all__`` of version 0.24."""
_CORE = """
    FunctionTool GuardrailFunctionOutput Handoff HostedMCPTool InputGuardrail InputGuardrailResult
    MCPToolApprovalFunction MCPToolApprovalFunctionResult MCPToolApprovalRequest ModelBehaviorError
    OutputGuardrail OutputGuardrailResult Prompt RunContextWrapper ToolContext ToolErrorFormatter
    ToolErrorFormatterArgs ToolGuardrailFunctionOutput ToolInputGuardrail ToolInputGuardrailData
    ToolOutputGuardrail ToolOutputGuardrailData ToolTimeoutError Usage UserError
    default_tool_error_function function_tool input_guardrail output_guardrail tool_input_guardrail
    tool_output_guardrail
"""
NAMES_OF_ITS_CORE = frozenset(_CORE.split())
"""What users of ``agents.realtime`` import from ``agents`` itself, and from modules below it."""
SUBMODULES = {
    "agent": "RealtimeAgent RealtimeAgentHooks",
    "config": (
        "RealtimeAudioConfig RealtimeClientMessage RealtimeModelName RealtimeRunConfig "
        "RealtimeSessionModelSettings RealtimeUserInput RealtimeUserInputImage RealtimeUserInputMessage "
        "RealtimeUserInputText"
    ),
    "handoffs": "realtime_handoff",
    "items": (
        "AssistantAudio AssistantMessageItem AssistantText InputAudio InputImage InputText RealtimeItem "
        "RealtimeMessageItem RealtimeToolCallItem SystemMessageItem UserMessageItem"
    ),
    "model": "RealtimeModel RealtimeModelConfig RealtimeModelListener",
    "model_events": (
        "RealtimeConnectionStatus RealtimeModelAudioEvent RealtimeModelErrorEvent RealtimeModelEvent "
        "RealtimeModelInputTokensDetails RealtimeModelRawServerEvent RealtimeModelToolCallEvent"
    ),
    "model_inputs": (
        "RealtimeModelRawClientMessage RealtimeModelSendAudio RealtimeModelSendEvent "
        "RealtimeModelSendRawMessage RealtimeModelSendUserInput RealtimeModelUserInput"
    ),
    "openai_realtime": (
        "DEFAULT_MODEL_SETTINGS DEFAULT_REALTIME_MODEL OpenAIRealtimeSIPModel OpenAIRealtimeWebSocketModel "
        "TransportConfig get_api_key"
    ),
    "runner": "RealtimeRunner",
    "session": "RealtimeSession",
    "testing": "ScriptedRealtimeModel",
}
"""Modules of ``agents.realtime`` that its guide and its examples import from, and what."""


def test_all_names_exist_and_are_sorted() -> None:
    assert realtime.__all__ == sorted(realtime.__all__)
    assert len(set(realtime.__all__)) == len(realtime.__all__)
    for name in realtime.__all__:
        assert getattr(realtime, name) is not None


def test_every_event_and_every_input_can_be_imported_from_the_door() -> None:
    wanted = {
        each.__name__
        for union in (RealtimeModelEvent, RealtimeModelSendEvent, RealtimeSessionEvent)
        for each in get_args(union)
    }
    assert wanted <= set(realtime.__all__)


def test_the_door_holds_no_logic() -> None:
    assert realtime.__file__ is not None
    tree = ast.parse(Path(realtime.__file__).read_text(encoding="utf-8"))
    for statement in tree.body:
        assert isinstance(statement, ast.Expr | ast.ImportFrom | ast.Assign), f"line {statement.lineno}"


# Names of the SDK -----------------------------------------------------------------------------------


def test_every_name_that_users_of_the_sdk_import_is_here() -> None:
    assert len(NAMES_OF_THE_SDK) == 90
    assert NAMES_OF_THE_SDK - set(realtime.__all__) == set()
    assert NAMES_OF_ITS_CORE - set(realtime.__all__) == set()


@pytest.mark.parametrize("module", SUBMODULES)
def test_modules_of_the_sdk_are_found_under_their_names(module: str) -> None:
    found = importlib.import_module(f"sipagent.realtime.{module}")
    for name in SUBMODULES[module].split():
        assert getattr(found, name) is getattr(realtime, name, getattr(found, name))
    exported = getattr(found, "__all__", None)
    if exported is not None:
        assert exported == sorted(exported)
        assert set(SUBMODULES[module].split()) <= set(exported)
        assert all(getattr(found, name) is not None for name in exported)


@needs_sdk
def test_the_lists_of_names_are_those_of_the_sdk() -> None:
    sdk = importlib.import_module("agents.realtime")
    assert set(sdk.__all__) == NAMES_OF_THE_SDK
    for module, names in SUBMODULES.items():
        theirs = importlib.import_module(f"agents.realtime.{module}")
        assert [name for name in names.split() if not hasattr(theirs, name)] == []


@needs_sdk
@pytest.mark.parametrize("module", ["config", "model_events", "model_inputs", "openai_realtime"])
def test_a_module_that_only_passes_on_says_nothing_that_the_sdk_does_not(module: str) -> None:
    ours = importlib.import_module(f"sipagent.realtime.{module}")
    theirs = importlib.import_module(f"agents.realtime.{module}")
    extra = [name for name in ours.__all__ if not hasattr(theirs, name)]
    allowed = {
        "model_inputs": {
            "RealtimeModelRequestResponse",
            "RealtimeModelSendInterruptible",
            "RealtimeModelSendSystemMessage",
        }
    }
    assert set(extra) <= allowed.get(module, set())


def test_the_default_settings_are_those_in_force() -> None:
    written_out = session_payload(realtime.DEFAULT_MODEL_SETTINGS, default_format="negotiated", model=None)
    assert session_payload({}, default_format="pcm16", model=None) == written_out


async def test_a_key_is_given_or_fetched_or_looked_up_where_programs_expect_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fetch() -> str:
        return "sk-fetched"

    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    assert await get_api_key("sk-given") == "sk-given"
    assert await get_api_key(lambda: "sk-made") == "sk-made"
    assert await get_api_key(fetch) == "sk-fetched"
    assert await get_api_key(None) == "sk-environment"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert await get_api_key(None) is None


def test_token_details_are_the_counts_of_the_usage() -> None:
    usage = ResponseUsage(
        input_text_tokens=1,
        input_audio_tokens=2,
        input_image_tokens=3,
        cached_tokens=4,
        cached_text_tokens=5,
        cached_audio_tokens=6,
        cached_image_tokens=7,
        output_text_tokens=8,
        output_audio_tokens=9,
    )
    read = realtime.RealtimeModelInputTokensDetails.of(usage)
    assert (read.text_tokens, read.audio_tokens, read.image_tokens, read.cached_tokens) == (1, 2, 3, 4)
    assert read.cached_tokens_details == realtime.RealtimeModelCachedTokensDetails(
        text_tokens=5, audio_tokens=6, image_tokens=7
    )
    made = realtime.RealtimeModelOutputTokensDetails.of(usage)
    assert (made.text_tokens, made.audio_tokens) == (8, 9)


# Parameters -----------------------------------------------------------------------------------------

LOCAL_MCP = "The model's server calls hosted MCP servers; none is started beside a telephone call."
MESSAGE = "Exceptions are made here; their text is str() of them."
RESPONSES_API = "A setting of the Responses API, which the Realtime API does not have."
MISSING: dict[str, dict[str, str]] = {
    "FunctionTool": {
        "allowed_callers": RESPONSES_API,
        "custom_data_extractor": "What a tool gave is in `RealtimeToolEnd.output`.",
        "defer_loading": RESPONSES_API,
        "output_json_schema": RESPONSES_API,
        "timeout_behavior": "A tool never ends a call, so its failure is always a result.",
        "timeout_error_function": "`failure_error_function` is given the `ToolTimeoutError`.",
        "timeout_seconds": "Called timeout_s here, as all seconds are.",
    },
    "Handoff": {
        "input_filter": "The conversation is on the server and stays; the SDK ignores it in a session too.",
        "nest_handoff_history": "As input_filter.",
    },
    "InputAudio": {"audio": "Audio is heard, not kept: an hour of it would be in every history event."},
    "InputGuardrail": {"run_in_parallel": "Always in parallel: the server answers the caller by itself."},
    "ModelBehaviorError": {"message": MESSAGE},
    "RealtimeAgent": {"mcp_config": LOCAL_MCP, "mcp_servers": LOCAL_MCP},
    "RealtimeModelSendInterrupt": {
        "cancel_response_only": "The model knows what plays, and clears nothing when only text is made.",
        "playback_only": "The model knows what runs: a response that has ended is not cancelled.",
    },
    "RealtimeModelToolCallEvent": {"previous_item_id": "The item itself says it, in the event before."},
    "RunContextWrapper": {
        "tool_input": "Belongs to agents that are tools of text agents.",
        "turn_input": "Belongs to text agents: a conversation has no input of a turn.",
    },
    "ToolContext": {
        "agent": "The events of a tool name its agent.",
        "run_config": "Belongs to runs of text agents.",
        "tool_call": "Its parts are here: tool_name, tool_call_id, tool_arguments.",
        "tool_input": "As in RunContextWrapper.",
        "tool_namespace": RESPONSES_API,
        "turn_input": "As in RunContextWrapper.",
    },
    "ToolErrorFormatterArgs": {"error": "Belongs to a kind of error that a session does not have."},
    "ToolTimeoutError": {"timeout_seconds": "Called timeout_s here, as all seconds are."},
    "Usage": {
        "input_tokens_details": "The counts stand side by side: cached_tokens, input_audio_tokens, …",
        "output_tokens_details": "The counts stand side by side: reasoning_tokens, output_audio_tokens, …",
        "request_usage_entries": "Each response's usage comes with its own `RealtimeResponseEnded`.",
    },
    "UserError": {"message": MESSAGE},
    "default_tool_error_function": {"ctx": "Called context here; nobody names it when calling."},
    "function_tool": {
        "allowed_callers": RESPONSES_API,
        "custom_data_extractor": "As in FunctionTool.",
        "defer_loading": RESPONSES_API,
        "output_json_schema": RESPONSES_API,
        "output_type": RESPONSES_API,
    },
    "input_guardrail": {"run_in_parallel": "As in InputGuardrail."},
}
"""What the SDK's constructors and dictionaries have and ours have not, and why. A row that is no longer true
fails a test where the SDK is installed."""
MISSING_MEMBERS: dict[str, dict[str, str]] = {
    "FunctionTool": {
        "mcp_annotations": LOCAL_MCP,
        "qualified_name": "Tools have no namespaces in the Realtime API.",
    },
    "OpenAIRealtimeSIPModel": {"send_event_if": "As in RealtimeModel."},
    "OpenAIRealtimeWebSocketModel": {"send_event_if": "As in RealtimeModel."},
    "RealtimeAgent": {"get_mcp_tools": LOCAL_MCP},
    "RealtimeModel": {"send_event_if": "What it guarded is decided by the model's own gate."},
    "RunContextWrapper": dict.fromkeys(
        (
            "approve_tool",
            "get_approval_status",
            "get_rejection_message",
            "is_tool_approved",
            "reject_tool",
        ),
        "A session approves and rejects: `RealtimeSession.approve_tool_call`.",
    ),
    "ToolContext": {
        **dict.fromkeys(
            (
                "approve_tool",
                "get_approval_status",
                "get_rejection_message",
                "is_tool_approved",
                "reject_tool",
            ),
            "As in RunContextWrapper.",
        ),
        "from_agent_context": "Made by a session only.",
        "qualified_tool_name": "As in FunctionTool.",
    },
}
"""The same of methods and properties."""


def parameters(thing: Any) -> set[str]:
    """What can be given to make one of it, or to call it; empty where there is nothing to give."""
    if dataclasses.is_dataclass(thing):
        return {
            each.name for each in dataclasses.fields(thing) if each.init and not each.name.startswith("_")
        }
    if hasattr(thing, "__required_keys__"):
        return set(thing.__required_keys__ | thing.__optional_keys__)
    if hasattr(thing, "model_fields"):
        return set(thing.model_fields)
    if not callable(thing) or not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return set()
    try:
        given = inspect.signature(thing).parameters.values()
    except ValueError:
        return set()
    return {each.name for each in given if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}


def members(thing: Any) -> set[str]:
    """Public methods and properties of a class."""
    if not inspect.isclass(thing) or hasattr(thing, "__required_keys__") or hasattr(thing, "model_fields"):
        return set()
    fields = {each.name for each in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    return {name for name in dir(thing) if not name.startswith("_")} - fields


def of_the_sdk(name: str) -> Any:
    """What the SDK has under ``name``, wherever it keeps it."""
    for module in ("agents.realtime", "agents", "agents.tool_context", "agents.run_config", "agents.tool"):
        found = getattr(importlib.import_module(module), name, None)
        if found is not None:
            return found
    raise AssertionError(f"the SDK has no {name}")


def differences(look: Callable[[Any], set[str]]) -> dict[str, set[str]]:
    """By name, what the SDK's thing has and ours has not."""
    found = {}
    for name in sorted(NAMES_OF_THE_SDK | NAMES_OF_ITS_CORE):
        mine = getattr(realtime, name)
        # The type is a constant of the class, which nobody gives; another test compares it.
        missing = look(of_the_sdk(name)) - look(mine) - members(mine) - {"model_config", "type"}
        if missing:
            found[name] = missing
    return found


def constant(thing: Any, name: str) -> str | None:
    """The only value that a field of a class can have, where there is one."""
    if not inspect.isclass(thing):
        return None
    for each in thing.__mro__:
        only = re.fullmatch(
            r"(?:typing\.)?Literal\[[\"'](\w+)[\"']\]", str(inspect.get_annotations(each).get(name))
        )
        if only:
            return only[1]
    value = getattr(thing, name, None)
    return value if isinstance(value, str) else None


@needs_sdk
def test_events_and_items_are_called_what_the_sdk_calls_them() -> None:
    compared = 0
    for name in sorted(NAMES_OF_THE_SDK):
        for key in ("type", "role"):
            if (theirs := constant(of_the_sdk(name), key)) is not None:
                assert constant(getattr(realtime, name), key) == theirs, name
                compared += 1
    assert compared > 40


@needs_sdk
def test_whatever_can_be_given_to_the_sdk_can_be_given_here_but_for_a_reason() -> None:
    assert differences(parameters) == {name: set(missing) for name, missing in MISSING.items()}


@needs_sdk
def test_whatever_the_sdk_can_be_asked_can_be_asked_here_but_for_a_reason() -> None:
    assert differences(lambda thing: members(thing) | parameters(thing)) == {
        name: set(MISSING.get(name, {})) | set(MISSING_MEMBERS.get(name, {}))
        for name in MISSING.keys() | MISSING_MEMBERS.keys()
    }
