"""What users of the OpenAI Agents SDK import by names that are not ours: other words for the same things."""

from __future__ import annotations

import inspect
from typing import Literal

from sipagent.identifiers import ResponseId
from sipagent.realtime.address import default_key
from sipagent.realtime.events import ConnectionStatus
from sipagent.realtime.inputs import (
    RealtimeModelInputImageContent,
    RealtimeModelInputTextContent,
    RealtimeModelRawClientMessage,
    RealtimeModelUserInput,
    RealtimeModelUserInputMessage,
)
from sipagent.realtime.items import RealtimeMessageItem
from sipagent.realtime.model import ApiKey
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.value import Value

RealtimeClientMessage = RealtimeModelRawClientMessage
"""Any client event of the API."""
RealtimeUserInput = RealtimeModelUserInput
"""What `RealtimeSession.send_message` takes."""
RealtimeUserInputMessage = RealtimeModelUserInputMessage
"""A user's message made of parts."""
RealtimeUserInputText = RealtimeModelInputTextContent
"""Text in a user's message."""
RealtimeUserInputImage = RealtimeModelInputImageContent
"""A picture in a user's message."""
RealtimeConnectionStatus = ConnectionStatus
"""The state of a connection."""

RealtimeModelName = Literal["gpt-realtime-2.1", "gpt-realtime-2.1-mini"] | str
"""A model of the Realtime API; any name is passed on."""
RealtimeReasoningEffort = Literal["minimal", "low", "medium", "high", "xhigh"] | str
"""How long a reasoning model thinks before it speaks; any word is passed on."""

DEFAULT_MODEL_SETTINGS: RealtimeSessionModelSettings = {
    "voice": "ash",
    "modalities": ["audio"],
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "input_audio_transcription": {"model": "gpt-transcribe"},
    "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
}
"""What a session over the socket has where its settings say nothing. Calls speak G.711 instead."""


class RealtimeResponse(Value, frozen=True, kw_only=True):
    """A response, and the messages that it wrote."""

    id: ResponseId
    output: tuple[RealtimeMessageItem, ...]


async def get_api_key(key: ApiKey | None) -> str | None:
    """The key that ``key`` is or gives; a function, sync or async, is called once. For None, the key that the
    `openai` package finds in ``OPENAI_API_KEY``, or None.

    Raises what the function raises. Cancel-safe as far as the function is.
    """
    if key is None:
        return await default_key()
    given = key() if callable(key) else key
    if inspect.isawaitable(given):
        return await given
    return given
