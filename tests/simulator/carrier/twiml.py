"""Twilio's own library, which has no types: the one place that imports it."""

from __future__ import annotations

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.twiml.voice_response import (  # type: ignore[import-untyped]
    Connect,
    Dial,
    Gather,
    VoiceResponse,
)

__all__ = ["Connect", "Dial", "Gather", "RequestValidator", "VoiceResponse"]
