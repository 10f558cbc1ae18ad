"""Turns an agent's model, voice and sound into the settings of its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sipagent.calls.tools.language import transcribed_in
from sipagent.config.effective import Effective
from sipagent.config.schema import CustomVoice, RetainedContext, ServerVad
from sipagent.config.schema.base import Entry
from sipagent.config.schema.session import Transcription
from sipagent.realtime import RealtimeSessionModelSettings


def session_settings(effective: Effective, languages: Sequence[str] = ()) -> RealtimeSessionModelSettings:
    """The settings, without tools and instructions, of an agent that speaks ``languages``."""
    voice = effective.keys("voice").voice
    audio_format = effective.keys("audio_format").audio_format
    transcription = effective.keys("transcription").transcription
    settings: RealtimeSessionModelSettings = {
        "model_name": effective.keys("model").model,
        "voice": {"id": voice.id} if isinstance(voice, CustomVoice) else voice,
        "input_audio_format": audio_format,
        "output_audio_format": audio_format,
        "input_audio_transcription": None
        if transcription is None
        else _transcription(transcription, languages),
        "turn_detection": _turn_detection(effective),
        "truncation": _truncation(effective),
    }
    if effective.written("speed"):
        settings["speed"] = effective.keys("speed").speed
    if effective.written("max_output_tokens"):
        settings["max_output_tokens"] = effective.keys("max_output_tokens").max_output_tokens
    if effective.written("noise_reduction"):
        reduction = effective.keys("noise_reduction").noise_reduction
        settings["input_audio_noise_reduction"] = None if reduction is None else _written(reduction)
    if (reasoning := effective.keys("reasoning").reasoning) is not None:
        settings["reasoning"] = {"effort": reasoning.effort}
    return settings


def _transcription(entry: Transcription, languages: Sequence[str]) -> Any:
    """What the transcription is told. The only language of an agent is a hint, where there is none yet."""
    written = _written(entry, "model")
    if len(set(languages)) != 1 or "language" in written or "languages" in written:
        return written
    return transcribed_in(written, languages[0])


def _written(entry: Entry, *always: str) -> Any:
    """What the file says of ``entry``, and the keys named ``always`` even when it is silent about them."""
    written: Mapping[str, Any] = entry.model_dump(exclude_unset=True, exclude_none=True)
    return {**{name: getattr(entry, name) for name in always}, **written}


def _turn_detection(effective: Effective) -> Any:
    detection = effective.keys("turn_detection").turn_detection
    # The guide and the API disagree on the default silence, so ours is always said.
    always = ("type", "threshold", "silence_duration_ms") if isinstance(detection, ServerVad) else ("type",)
    return _written(detection, *always)


def _truncation(effective: Effective) -> Any:
    truncation = effective.keys("truncation").truncation
    if not isinstance(truncation, RetainedContext):
        return truncation
    kept: dict[str, Any] = {"type": "retention_ratio", "retention_ratio": truncation.retention_ratio}
    if truncation.token_limit is not None:
        kept["token_limits"] = {"post_instructions": truncation.token_limit}
    return kept
