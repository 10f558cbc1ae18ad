"""What a conversation consumed, in tokens and seconds. Counts, never prices.

Fields follow the Realtime API's ``response.usage`` (API reference, "response.done"). Every count the
server leaves out is 0, and events in flight at hang-up are lost: a total is a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass

from sipagent.realtime.value import Value


class ResponseUsage(Value, frozen=True, kw_only=True):
    """Tokens of one response."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cached_tokens: int = 0
    """Part of ``input_tokens``; each modality's cached count is part of that modality."""
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    cached_image_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    reasoning_tokens: int = 0


class TranscriptionUsage(Value, frozen=True, kw_only=True):
    """What the transcription of one item of caller speech was billed by: tokens, or seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    duration_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Usage:
    """Running totals of a session: every response added up. Transcriptions are not in it."""

    requests: int = 0
    """Responses that reported usage."""
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cached_tokens: int = 0
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    cached_image_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, usage: ResponseUsage) -> None:
        """Count one more response."""
        self.requests += 1
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.total_tokens += usage.total_tokens
        self.input_text_tokens += usage.input_text_tokens
        self.input_audio_tokens += usage.input_audio_tokens
        self.input_image_tokens += usage.input_image_tokens
        self.cached_tokens += usage.cached_tokens
        self.cached_text_tokens += usage.cached_text_tokens
        self.cached_audio_tokens += usage.cached_audio_tokens
        self.cached_image_tokens += usage.cached_image_tokens
        self.output_text_tokens += usage.output_text_tokens
        self.output_audio_tokens += usage.output_audio_tokens
        self.reasoning_tokens += usage.reasoning_tokens
