"""The messages of the carriers' audio sockets, as their public references show them. Pure.

Twilio, "Media Streams: WebSocket messages". Telnyx, "Stream call media over WebSocket".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sipagent.audio.g711 import pcma_to_pcmu, pcmu_to_pcma
from sipagent.simulator.carrier.leg import LegFacts

MAX_MARK_NAME = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayAudio:
    """Audio for the caller, as mu-law."""

    ulaw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceMark:
    """Say when what came before was played."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearBuffer:
    """Forget what waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadMessage:
    """Something the carrier does not understand."""

    reason: str


StreamCommand: TypeAlias = PlayAudio | PlaceMark | ClearBuffer | BadMessage


class StreamFrames(Protocol):
    """Writes what the carrier sends over one socket, and reads what it gets. Numbers messages by itself."""

    stream_id: str

    def connected(self) -> str:
        """The first message."""

    def start(self, parameters: Mapping[str, str]) -> str:
        """What the stream is about."""

    def media(self, ulaw: bytes, timestamp_ms: int) -> str:
        """20 ms of the caller."""

    def digit(self, digit: str) -> str:
        """A key of the caller's."""

    def mark(self, name: str) -> str:
        """What came before a mark was played, or cleared."""

    def stop(self) -> str:
        """The stream ends."""

    def read(self, text: str) -> StreamCommand:
        """A message of the service."""


class TwilioFrames:
    """Twilio's."""

    def __init__(self, facts: LegFacts, *, stream_id: str, account: str) -> None:
        self.stream_id = stream_id
        self._facts = facts
        self._account = account
        self._sequence = 0
        self._chunk = 0

    def connected(self) -> str:
        """The first message."""
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self, parameters: Mapping[str, str]) -> str:
        """What the stream is about."""
        return self._numbered(
            "start",
            start={
                "accountSid": self._account,
                "streamSid": self.stream_id,
                "callSid": self._facts.sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(parameters),
            },
        )

    def media(self, ulaw: bytes, timestamp_ms: int) -> str:
        """20 ms of the caller."""
        self._chunk += 1
        return self._numbered(
            "media",
            media={
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(timestamp_ms),
                "payload": base64.b64encode(ulaw).decode(),
            },
        )

    def digit(self, digit: str) -> str:
        """A key of the caller's."""
        return self._numbered("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """What came before a mark was played, or cleared."""
        return self._numbered("mark", mark={"name": name})

    def stop(self) -> str:
        """The stream ends."""
        return self._numbered("stop", stop={"accountSid": self._account, "callSid": self._facts.sid})

    def read(self, text: str) -> StreamCommand:
        """A message of the service; each must name the stream."""
        message = _object(text)
        if message is None:
            return BadMessage(reason="it is no JSON object")
        if message.get("streamSid") != self.stream_id:
            return BadMessage(reason=f"streamSid is {str(message.get('streamSid'))[:40]!r}")
        return _command(message, _plain)

    def _numbered(self, event: str, **fields: object) -> str:
        self._sequence += 1
        return json.dumps(
            {"event": event, "sequenceNumber": str(self._sequence), **fields, "streamSid": self.stream_id}
        )


class TelnyxFrames:
    """Telnyx'. ``codec`` is that of what is sent, ``return_codec`` that of what comes back."""

    def __init__(
        self,
        facts: LegFacts,
        *,
        stream_id: str,
        user_id: str,
        client_state: str,
        codec: str = "PCMU",
        return_codec: str = "PCMU",
        plays: bool = True,
    ) -> None:
        """``plays``: whether audio that comes back is played (``rtp`` as bidirectional mode)."""
        self.stream_id = stream_id
        self._facts = facts
        self._user_id = user_id
        self._client_state = client_state
        self._codec = codec
        self._decode = pcma_to_pcmu if return_codec == "PCMA" else _plain
        self._plays = plays
        self._sequence = 0
        self._chunk = 0

    def connected(self) -> str:
        """The first message."""
        return json.dumps({"event": "connected", "version": "1.0.0"})

    def start(self, parameters: Mapping[str, str]) -> str:
        """What the stream is about."""
        facts = self._facts
        return self._numbered(
            "start",
            start={
                "user_id": self._user_id,
                "call_control_id": facts.sid,
                "call_session_id": facts.session,
                "from": facts.caller,
                "to": facts.called,
                "client_state": self._client_state,
                "custom_parameters": dict(parameters),
                "media_format": {"encoding": self._codec, "sample_rate": 8000, "channels": 1},
            },
        )

    def media(self, ulaw: bytes, timestamp_ms: int) -> str:
        """20 ms of the caller."""
        self._chunk += 1
        sound = pcmu_to_pcma(ulaw) if self._codec == "PCMA" else ulaw
        return self._numbered(
            "media",
            media={
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(timestamp_ms),
                "payload": base64.b64encode(sound).decode(),
            },
        )

    def digit(self, digit: str) -> str:
        """A key of the caller's."""
        return self._numbered("dtmf", dtmf={"digit": digit})

    def mark(self, name: str) -> str:
        """What came before a mark was played, or cleared."""
        return self._numbered("mark", mark={"name": name})

    def stop(self) -> str:
        """The stream ends."""
        return self._numbered("stop", stop={"user_id": self._user_id, "call_control_id": self._facts.sid})

    def read(self, text: str) -> StreamCommand:
        """A message of the service. Audio comes in pieces of 20 ms to 30 s."""
        message = _object(text)
        if message is None:
            return BadMessage(reason="it is no JSON object")
        command = _command(message, self._decode)
        if isinstance(command, PlayAudio):
            if not self._plays:
                return BadMessage(reason="audio comes back on a stream that is not bidirectional as rtp")
            if not 160 <= len(command.ulaw) <= 240_000:
                return BadMessage(reason=f"{len(command.ulaw)} bytes of audio: 20 ms to 30 s are taken")
        return command

    def _numbered(self, event: str, **fields: object) -> str:
        self._sequence += 1
        return json.dumps(
            {"event": event, "sequence_number": str(self._sequence), **fields, "stream_id": self.stream_id}
        )


def _plain(ulaw: bytes) -> bytes:
    return ulaw


def _object(text: str) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _command(message: dict[str, Any], decode: Any) -> StreamCommand:
    match message.get("event"):
        case "media":
            payload = _inner(message, "media").get("payload")
            try:
                ulaw = base64.b64decode(payload, validate=True) if isinstance(payload, str) else b""
            except ValueError:
                ulaw = b""
            return PlayAudio(ulaw=decode(ulaw)) if ulaw else BadMessage(reason="there is no audio in it")
        case "mark":
            name = _inner(message, "mark").get("name")
            if not isinstance(name, str) or not 0 < len(name) <= MAX_MARK_NAME:
                return BadMessage(reason="the mark has no name")
            return PlaceMark(name=name)
        case "clear":
            return ClearBuffer()
        case other:
            return BadMessage(reason=f"there is no event {str(other)[:40]!r}")


def _inner(message: dict[str, Any], key: str) -> dict[str, Any]:
    found = message.get(key)
    return found if isinstance(found, dict) else {}
