"""Settings of a session, and the one builder that turns them into the API's session object.

The accept request of a call and every ``session.update`` are built here, so that they cannot disagree:
a format named in one and left out of the other turns a phone call into noise.
Source: API reference, "Realtime session object".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from sipagent.errors import UserError
from sipagent.realtime.agent import Prompt, RealtimeAgent
from sipagent.realtime.approvals import ToolErrorFormatter
from sipagent.realtime.guardrails import InputGuardrail, OutputGuardrail
from sipagent.realtime.handoffs import Handoff
from sipagent.realtime.hooks import RealtimeRunHooks
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tools import FunctionTool

DEFAULT_REALTIME_MODEL = "gpt-realtime-2.1"
NEGOTIATED = "negotiated"
"""As an audio format: leave the format out, and let the codec of the SIP call decide."""

# Settings as users write them -----------------------------------------------------------------------

RealtimeAudioFormatName = Literal[
    "pcm16",
    "pcm",
    "audio/pcm",
    "g711_ulaw",
    "pcmu",
    "audio/pcmu",
    "g711_alaw",
    "pcma",
    "audio/pcma",
    "negotiated",
]
RealtimeAudioFormat = RealtimeAudioFormatName | str | Mapping[str, Any]
"""A spelling of `RealtimeAudioFormatName`, or a mapping with ``type`` as the API writes it."""


class RealtimeInputAudioTranscriptionConfig(TypedDict, total=False):
    """How the caller's speech is written down; billed separately."""

    model: str
    language: str
    languages: list[str]
    prompt: str
    keywords: list[str]
    delay: str


class RealtimeInputAudioNoiseReductionConfig(TypedDict, total=False):
    """Noise reduction before turn detection and model."""

    type: Literal["near_field", "far_field"]
    strength: float


class RealtimeTurnDetectionConfig(TypedDict, total=False):
    """When the caller's turn starts and ends. camelCase spellings of these keys are understood too."""

    type: Literal["server_vad", "semantic_vad"]
    create_response: bool
    interrupt_response: bool
    eagerness: Literal["auto", "low", "medium", "high"]
    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    idle_timeout_ms: int | None
    model_version: str


class RealtimeAudioInputConfig(TypedDict, total=False):
    """What comes from the caller."""

    format: RealtimeAudioFormat | None
    noise_reduction: RealtimeInputAudioNoiseReductionConfig | None
    transcription: RealtimeInputAudioTranscriptionConfig | None
    turn_detection: RealtimeTurnDetectionConfig | Mapping[str, Any] | None


class RealtimeAudioOutputConfig(TypedDict, total=False):
    """What goes to the caller."""

    format: RealtimeAudioFormat | None
    voice: str | Mapping[str, Any]
    speed: float


class RealtimeAudioConfig(TypedDict, total=False):
    """Both directions; wins over the flat keys of the settings."""

    input: RealtimeAudioInputConfig | None
    output: RealtimeAudioOutputConfig | None


class RealtimeTokenLimits(TypedDict, total=False):
    """Limits of a retention ratio."""

    post_instructions: int


class RealtimeTruncationConfig(TypedDict):
    """Drop the oldest items down to a share of the limit once it is passed."""

    retention_ratio: float
    type: NotRequired[Literal["retention_ratio"]]
    token_limits: NotRequired[RealtimeTokenLimits]
    token_limit: NotRequired[int]
    """Short for ``token_limits.post_instructions``."""


class RealtimeReasoningConfig(TypedDict, total=False):
    """For reasoning models: more effort is more silence before the agent speaks."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"]


class RealtimeModelTracingConfig(TypedDict, total=False):
    """How the session appears in OpenAI's traces."""

    workflow_name: str
    group_id: str
    metadata: dict[str, Any]


class RealtimeSessionModelSettings(TypedDict, total=False):
    """Settings of a session. What is left out has the default of `session_payload`.

    An explicit None for ``transcription``, ``turn_detection``, ``noise_reduction`` or ``prompt`` switches it
    off.
    """

    model_name: str
    instructions: str
    prompt: Prompt | None
    modalities: list[Literal["text", "audio"]]
    output_modalities: list[Literal["text", "audio"]]
    audio: RealtimeAudioConfig
    voice: str | Mapping[str, Any]
    speed: float
    max_output_tokens: int | Literal["inf"]
    input_audio_format: RealtimeAudioFormat | None
    output_audio_format: RealtimeAudioFormat | None
    input_audio_transcription: RealtimeInputAudioTranscriptionConfig | None
    input_audio_noise_reduction: RealtimeInputAudioNoiseReductionConfig | None
    turn_detection: RealtimeTurnDetectionConfig | Mapping[str, Any] | None
    tool_choice: str | Mapping[str, Any]
    parallel_tool_calls: bool
    reasoning: RealtimeReasoningConfig
    tools: list[FunctionTool]
    handoffs: list[Handoff[Any, Any]]
    tracing: Literal["auto"] | RealtimeModelTracingConfig | None
    truncation: Literal["auto", "disabled"] | RealtimeTruncationConfig
    include: list[str]


class RealtimeGuardrailsSettings(TypedDict, total=False):
    """When output guardrails look."""

    debounce_text_length: int
    """Look again each time the text of an item has grown by so many characters; 100. The end of a turn is
    always looked at."""


class RealtimeToolExecutionConfig(TypedDict, total=False):
    """How tools are run."""

    pre_approval_tool_input_guardrails: bool
    """True: input guardrails of a tool look before anybody is asked for approval, and again after."""


class RealtimeRunConfig(TypedDict, total=False):
    """Settings of every session of a runner."""

    model_settings: RealtimeSessionModelSettings
    async_tool_calls: bool
    """False: tools run one after another, in the order of the calls. Never does a tool hold up the socket."""
    output_guardrails: list[OutputGuardrail[Any]]
    """For every agent, beside its own."""
    input_guardrails: list[InputGuardrail[Any]]
    """For every agent, beside its own."""
    guardrails_settings: RealtimeGuardrailsSettings
    tool_execution: RealtimeToolExecutionConfig
    tool_error_formatter: ToolErrorFormatter
    """Writes what the model hears of a tool call that was not approved."""
    tracing_disabled: bool
    hooks: RealtimeRunHooks[Any]
    """Called for what happens in every session."""
    raw_events: bool
    """Emit `RealtimeRawModelEvent` for everything the model reports. Off unless asked for: it costs."""


async def agent_settings(
    agent: RealtimeAgent[Any],
    context: RunContextWrapper[Any],
    *,
    run_config: RealtimeRunConfig | None = None,
    initial: RealtimeSessionModelSettings | None = None,
    initial_wins: bool = True,
) -> RealtimeSessionModelSettings:
    """The settings in force for ``agent``, from weak to strong: run configuration, initial settings, the
    agent's prompt, instructions and tools, and, with ``initial_wins``, the initial settings again.

    Raises `UserError` for two tools or handoffs of one name, and what the agent's own callables raise.
    """
    settings: RealtimeSessionModelSettings = {}
    if run_config is not None:
        settings.update(run_config.get("model_settings", {}))
    if initial is not None:
        settings.update(initial)
    if agent.prompt is not None:
        settings["prompt"] = agent.prompt
    settings["instructions"] = await agent.get_system_prompt(context) or ""
    settings["tools"] = await agent.get_all_tools(context)
    settings["handoffs"] = await agent.get_all_handoffs(context)
    if initial is not None and initial_wins:
        settings.update(initial)
    if run_config is not None and run_config.get("tracing_disabled"):
        settings["tracing"] = None
    check_tool_names(settings["tools"], settings["handoffs"])
    return settings


def check_tool_names(tools: Sequence[FunctionTool], handoffs: Sequence[Handoff[Any, Any]] = ()) -> None:
    """Raises `UserError` when something is no tool or handoff, or when two of them have one name."""
    seen: set[str] = set()
    for tool in tools:
        if not isinstance(tool, FunctionTool):
            raise UserError(f"{tool!r} is no function tool; make one of it with function_tool")
        if tool.name in seen:
            raise UserError(f"two tools are named {tool.name!r}; give one of them another name")
        seen.add(tool.name)
    for handoff in handoffs:
        if not isinstance(handoff, Handoff):
            raise UserError(f"{handoff!r} is no handoff; make one of it with realtime_handoff")
        if handoff.tool_name in seen:
            raise UserError(
                f"two tools or handoffs are named {handoff.tool_name!r}; "
                "give one of them another name (tool_name_override)"
            )
        seen.add(handoff.tool_name)


# The session object ---------------------------------------------------------------------------------

_FORMATS: dict[str, dict[str, Any]] = {
    "audio/pcm": {"type": "audio/pcm", "rate": 24000},
    "audio/pcmu": {"type": "audio/pcmu"},
    "audio/pcma": {"type": "audio/pcma"},
}
_SPELLINGS = {
    "pcm16": "audio/pcm",
    "pcm": "audio/pcm",
    "g711_ulaw": "audio/pcmu",
    "pcmu": "audio/pcmu",
    "g711_alaw": "audio/pcma",
    "pcma": "audio/pcma",
}
_DEFAULT_VOICE = "ash"
_DEFAULT_TRANSCRIPTION = {"model": "gpt-transcribe"}
_DEFAULT_TURN_DETECTION = {"type": "semantic_vad", "interrupt_response": True}
_CAMEL_CASE = {
    "createResponse": "create_response",
    "interruptResponse": "interrupt_response",
    "prefixPaddingMs": "prefix_padding_ms",
    "silenceDurationMs": "silence_duration_ms",
    "idleTimeoutMs": "idle_timeout_ms",
    "modelVersion": "model_version",
}
_AS_GIVEN = ("max_output_tokens", "tool_choice", "parallel_tool_calls", "reasoning", "include")


def session_payload(
    settings: RealtimeSessionModelSettings,
    *,
    default_format: str,
    model: str | None,
    keep_voice: bool = False,
) -> dict[str, Any]:
    """The API's session object, as JSON-able values.

    ``default_format`` is a spelling of a format, used in both directions where the settings name none;
    ``model`` None leaves the model out, ``keep_voice`` the voice. No value is null, except where null means
    *off* to the API.

    Raises `UserError` for a format, a truncation or tools that cannot be used.
    """
    payload: dict[str, Any] = {"type": "realtime"}
    if model is not None:
        payload["model"] = model
    if "instructions" in settings:
        payload["instructions"] = settings["instructions"]
    payload["output_modalities"] = list(
        settings.get("output_modalities") or settings.get("modalities") or ["audio"]
    )
    payload["audio"] = {
        "input": _audio_input(settings, default_format),
        "output": _audio_output(settings, default_format),
    }
    if keep_voice:
        del payload["audio"]["output"]["voice"]
    payload["tools"] = tool_payloads(settings.get("tools", []), settings.get("handoffs", []))
    for key in _AS_GIVEN:
        if (value := settings.get(key)) is not None:
            payload[key] = value
    if prompt := settings.get("prompt"):
        payload["prompt"] = {key: value for key, value in prompt.items() if value is not None}
    elif "prompt" in settings:
        payload["prompt"] = None
    if tracing := settings.get("tracing"):
        payload["tracing"] = tracing
    if (truncation := settings.get("truncation")) is not None:
        payload["truncation"] = _truncation(truncation)
    return payload


def tool_payloads(
    tools: Sequence[FunctionTool], handoffs: Sequence[Handoff[Any, Any]] = ()
) -> list[dict[str, Any]]:
    """Function tools, and handoffs behind them, as the API writes them; raises `UserError` as
    `check_tool_names` does."""
    check_tool_names(tools, handoffs)
    offered = [
        (tool.name, tool.description, tool.params_json_schema)
        for tool in tools
        if tool.is_enabled is not False
    ]
    offered += [
        (each.tool_name, each.tool_description, each.input_json_schema)
        for each in handoffs
        if each.is_enabled is not False
    ]
    return [
        {"type": "function", "name": name, "description": description, "parameters": schema}
        for name, description, schema in offered
    ]


def turn_detection_payload(settings: RealtimeSessionModelSettings) -> dict[str, Any] | None:
    """The turn detection of ``settings`` as the API writes it; None when it is switched off."""
    nested: Mapping[str, Any] = (settings.get("audio") or {}).get("input") or {}
    wanted = _first(nested, "turn_detection", settings, "turn_detection", _DEFAULT_TURN_DETECTION)
    return None if wanted is None else _turn_detection(wanted)


def audio_format_payload(spelling: RealtimeAudioFormat | None) -> dict[str, Any] | None:
    """A format as the API writes it; None for None and ``negotiated``: leave it out.

    PCM is always 24 kHz, the only rate the API knows. Raises `UserError` for an unknown spelling.
    """
    name = spelling.get("type") if isinstance(spelling, Mapping) else spelling
    if name is None or name == NEGOTIATED:
        return None
    normal = name.strip().lower() if isinstance(name, str) else ""
    found = _FORMATS.get(_SPELLINGS.get(normal, normal))
    if found is None:
        allowed = ", ".join([*_SPELLINGS, *_FORMATS, NEGOTIATED])
        raise UserError(f"{name!r} is no audio format; use one of {allowed}")
    return dict(found)


def _audio_input(settings: RealtimeSessionModelSettings, default_format: str) -> dict[str, Any]:
    nested: Mapping[str, Any] = (settings.get("audio") or {}).get("input") or {}
    flat: Mapping[str, Any] = settings
    result: dict[str, Any] = {}
    _set_format(result, nested, flat, "input_audio_format", default_format)
    noise_reduction = _first(nested, "noise_reduction", flat, "input_audio_noise_reduction", _ABSENT)
    if noise_reduction is not _ABSENT:
        result["noise_reduction"] = noise_reduction
    result["transcription"] = _first(
        nested, "transcription", flat, "input_audio_transcription", _DEFAULT_TRANSCRIPTION
    )
    result["turn_detection"] = turn_detection_payload(settings)
    return result


def _audio_output(settings: RealtimeSessionModelSettings, default_format: str) -> dict[str, Any]:
    nested: Mapping[str, Any] = (settings.get("audio") or {}).get("output") or {}
    flat: Mapping[str, Any] = settings
    result: dict[str, Any] = {}
    _set_format(result, nested, flat, "output_audio_format", default_format)
    result["voice"] = nested.get("voice") or flat.get("voice") or _DEFAULT_VOICE
    speed = nested.get("speed", flat.get("speed"))
    if speed is not None:
        result["speed"] = speed
    return result


_ABSENT: Any = object()


def _first(nested: Mapping[str, Any], key: str, flat: Mapping[str, Any], flat_key: str, default: Any) -> Any:
    """The nested value when the key is there at all, None included; else the flat one; else the default."""
    if key in nested:
        return nested[key]
    return flat.get(flat_key, default)


def _set_format(
    result: dict[str, Any], nested: Mapping[str, Any], flat: Mapping[str, Any], flat_key: str, default: str
) -> None:
    # A null format makes the API refuse the whole update, so None counts as not set.
    wanted = nested.get("format") or flat.get(flat_key) or default
    if (chosen := audio_format_payload(wanted)) is not None:
        result["format"] = chosen


def _turn_detection(given: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {_CAMEL_CASE[key]: value for key, value in given.items() if key in _CAMEL_CASE}
    return renamed | {key: value for key, value in given.items() if key not in _CAMEL_CASE}


def _truncation(given: str | Mapping[str, Any]) -> str | dict[str, Any]:
    if isinstance(given, str):
        if given not in ("auto", "disabled"):
            raise UserError(f"truncation {given!r} is unknown; use auto, disabled or a retention_ratio")
        return given
    ratio = given.get("retention_ratio")
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 <= ratio <= 1:
        raise UserError(f"truncation needs a retention_ratio from 0 to 1, not {ratio!r}")
    result: dict[str, Any] = {"type": "retention_ratio", "retention_ratio": ratio}
    limits = dict(given.get("token_limits") or {})
    if given.get("token_limit") is not None:
        limits["post_instructions"] = given["token_limit"]
    if limits:
        result["token_limits"] = limits
    return result
