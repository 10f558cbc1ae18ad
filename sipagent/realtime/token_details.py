"""The tokens of one response by modality, in the shape that users of the OpenAI Agents SDK know.

`ResponseUsage` holds the same counts side by side. What the server left out is 0 there, and so here.
"""

from __future__ import annotations

from sipagent.realtime.usage import ResponseUsage
from sipagent.realtime.value import Value


class RealtimeModelCachedTokensDetails(Value, frozen=True, kw_only=True):
    """Tokens that were read from the cache."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class RealtimeModelInputTokensDetails(Value, frozen=True, kw_only=True):
    """Tokens that the model read."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    """How many of all came from the cache."""
    cached_tokens_details: RealtimeModelCachedTokensDetails | None = None

    @classmethod
    def of(cls, usage: ResponseUsage) -> RealtimeModelInputTokensDetails:
        """Those of ``usage``."""
        return cls(
            text_tokens=usage.input_text_tokens,
            audio_tokens=usage.input_audio_tokens,
            image_tokens=usage.input_image_tokens,
            cached_tokens=usage.cached_tokens,
            cached_tokens_details=RealtimeModelCachedTokensDetails(
                text_tokens=usage.cached_text_tokens,
                audio_tokens=usage.cached_audio_tokens,
                image_tokens=usage.cached_image_tokens,
            ),
        )


class RealtimeModelOutputTokensDetails(Value, frozen=True, kw_only=True):
    """Tokens that the model made."""

    text_tokens: int | None = None
    audio_tokens: int | None = None

    @classmethod
    def of(cls, usage: ResponseUsage) -> RealtimeModelOutputTokensDetails:
        """Those of ``usage``."""
        return cls(text_tokens=usage.output_text_tokens, audio_tokens=usage.output_audio_tokens)
