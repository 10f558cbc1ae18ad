"""Settings of a session as users write them, and which of them are in force for an agent.

Every field of the API's session object can be set; `payload` writes the object. Source: API reference,
"Realtime session object".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

from sipagent.realtime.agent import Prompt, RealtimeAgent
from sipagent.realtime.approvals import ToolErrorFormatter
from sipagent.realtime.guardrails import InputGuardrail, OutputGuardrail
from sipagent.realtime.handoffs import Handoff
from sipagent.realtime.hooks import RealtimeRunHooks
from sipagent.realtime.hosted_mcp import HostedMCPTool, RealtimeHostedMcpTool, hosted_tool_payloads

# Those with a second name belong to `payload` and can be had from here too.
from sipagent.realtime.payload import NEGOTIATED as NEGOTIATED
from sipagent.realtime.payload import audio_format_payload as audio_format_payload
from sipagent.realtime.payload import check_tool_names as check_tool_names
from sipagent.realtime.payload import session_payload as session_payload
from sipagent.realtime.payload import split_tools
from sipagent.realtime.payload import tool_payloads as tool_payloads
from sipagent.realtime.payload import turn_detection_payload as turn_detection_payload
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tools import FunctionTool

DEFAULT_REALTIME_MODEL = "gpt-realtime-2.1"

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
    """Settings of a session. What is left out has the default of `session_payload`, or else the server's.

    An explicit None for ``transcription``, ``turn_detection``, ``noise_reduction`` or ``prompt`` switches it
    off.
    """

    model_name: str
    """Named when a session is made; the model of a call that was accepted cannot be changed any more."""
    instructions: str
    prompt: Prompt | None
    modalities: list[Literal["text", "audio"]]
    output_modalities: list[Literal["text", "audio"]]
    audio: RealtimeAudioConfig
    voice: str | Mapping[str, Any]
    """A name, or ``{"id": …}`` for a voice of one's own. Fixed once the agent has spoken."""
    speed: float
    """From 0.25 to 1.5; 1 where left out."""
    max_output_tokens: int | Literal["inf"]
    """Of one response, its tool calls included."""
    input_audio_format: RealtimeAudioFormat | None
    output_audio_format: RealtimeAudioFormat | None
    input_audio_transcription: RealtimeInputAudioTranscriptionConfig | None
    input_audio_noise_reduction: RealtimeInputAudioNoiseReductionConfig | None
    turn_detection: RealtimeTurnDetectionConfig | Mapping[str, Any] | None
    tool_choice: str | Mapping[str, Any]
    """``auto``, ``none``, ``required``, or a mapping that names one function or MCP tool."""
    parallel_tool_calls: bool
    reasoning: RealtimeReasoningConfig
    tools: list[FunctionTool]
    handoffs: list[Handoff[Any, Any]]
    hosted_tools: list[HostedMCPTool | RealtimeHostedMcpTool]
    """Tools that the API itself calls, offered beside those of the agent."""
    tracing: Literal["auto"] | RealtimeModelTracingConfig | None
    """None is the server's default, no trace. Cannot be changed once a session is traced."""
    truncation: Literal["auto", "disabled"] | RealtimeTruncationConfig
    """What happens when a conversation outgrows the model."""
    include: list[str]
    """What server events hold besides, such as ``item.input_audio_transcription.logprobs``."""
    extra_session: Mapping[str, Any]
    """Fields of the session object that are not known here, as the API writes them. Put in last, mappings
    into mappings, so that they win over everything else."""


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
    settings_of_agent: Callable[
        [RealtimeAgent[Any], RunContextWrapper[Any], RealtimeSessionModelSettings],
        RealtimeSessionModelSettings,
    ]
    """Changes what is in force for an agent before it leads, or leads again. It stands above everything else,
    is pure, and raises nothing."""
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
    agent's prompt, instructions and tools, with ``initial_wins`` the initial settings again, and what
    ``settings_of_agent`` of the run configuration makes of them. Hosted tools of settings and agent are
    offered side by side.

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
    if run_config is not None and "settings_of_agent" in run_config:
        settings = run_config["settings_of_agent"](agent, context, settings)
    if run_config is not None and run_config.get("tracing_disabled"):
        settings["tracing"] = None
    # Only functions stay among the tools: they alone are looked up when the model calls one.
    settings["tools"], listed = split_tools(settings["tools"])
    hosted: list[Any] = [*settings.get("hosted_tools", []), *listed, *await agent.get_hosted_tools(context)]
    if hosted:
        settings["hosted_tools"] = hosted
    check_tool_names(settings["tools"], settings["handoffs"])
    hosted_tool_payloads(hosted)
    return settings
