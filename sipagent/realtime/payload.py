"""The one builder that turns settings into the API's session object.

The accept request of a call and every ``session.update`` are built here, so that they cannot disagree:
a format named in one and left out of the other turns a phone call into noise.
Source: API reference, "Realtime session object".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sipagent.errors import UserError
from sipagent.realtime.handoffs import Handoff
from sipagent.realtime.hosted_mcp import HostedMCPTool, hosted_tool_payloads
from sipagent.realtime.tools import FunctionTool

if TYPE_CHECKING:  # settings offers what is made here too
    from sipagent.realtime.settings import RealtimeAudioFormat, RealtimeSessionModelSettings

NEGOTIATED = "negotiated"
"""As an audio format: leave the format out, and let the codec of the SIP call decide."""

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
_AS_GIVEN = ("max_output_tokens", "tool_choice", "parallel_tool_calls", "reasoning", "include", "tracing")


def session_payload(
    settings: RealtimeSessionModelSettings,
    *,
    default_format: str,
    model: str | None,
    keep_voice: bool = False,
) -> dict[str, Any]:
    """The API's session object, as JSON-able values.

    ``default_format`` is a spelling of a format, used in both directions where the settings name none;
    ``model`` None leaves the model out, ``keep_voice`` the voice, even where ``extra_session`` names them. No
    value is null that was not given as None.

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
    functions, hosted = split_tools(settings.get("tools", []))
    payload["tools"] = [
        *tool_payloads(functions, settings.get("handoffs", [])),
        *hosted_tool_payloads([*hosted, *settings.get("hosted_tools", [])]),
    ]
    for key in _AS_GIVEN:
        if (value := settings.get(key)) is not None:
            payload[key] = value
    if "prompt" in settings:
        payload["prompt"] = settings["prompt"]
    if (truncation := settings.get("truncation")) is not None:
        payload["truncation"] = _truncation(truncation)
    payload = _merged(payload, settings.get("extra_session") or {})
    if model is None:
        payload.pop("model", None)
    audio = payload["audio"]
    if keep_voice and isinstance(audio, dict) and isinstance(audio.get("output"), dict):
        audio["output"].pop("voice", None)
    return payload


def split_tools(tools: Sequence[Any]) -> tuple[list[FunctionTool], list[HostedMCPTool | Mapping[str, Any]]]:
    """What is called here, and what the API calls itself; whatever is neither is among the former, where
    `check_tool_names` finds it."""
    functions: list[FunctionTool] = []
    hosted: list[HostedMCPTool | Mapping[str, Any]] = []
    for tool in tools:
        if isinstance(tool, HostedMCPTool | Mapping):
            hosted.append(tool)
        else:
            functions.append(tool)
    return functions, hosted


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
    if (limits := given.get("token_limits")) is not None:
        result["token_limits"] = dict(limits)
    if (limit := given.get("token_limit")) is not None:
        result["token_limits"] = {**result.get("token_limits", {}), "post_instructions": limit}
    return result


def _merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    """``weak`` with everything of ``strong`` in it; where both hold a mapping, mapping into mapping."""
    merged = dict(weak)
    for key, value in strong.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
