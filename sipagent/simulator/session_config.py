"""The session object: defaults, what the client changed, and what of it the rest asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sipagent.audio.formats import AudioFormat, audio_format
from sipagent.simulator.parameters import ParameterProblem, check_session
from sipagent.simulator.server_events import Json

DEFAULT_INSTRUCTIONS: Final = "You are a helpful, witty and friendly AI. Act like a human on the telephone."
_SERVER_VAD: Final[Mapping[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD: Final[Mapping[str, Any]] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_EAGERNESS_SILENCE_MS: Final[Mapping[str, int]] = {"low": 1200, "medium": 700, "auto": 700, "high": 400}
"""The pause that ends a turn under semantic VAD: without semantics, only how patient it is can be played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDetection:
    """When the server takes the caller to have begun and ended a turn, and what it does then."""

    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    idle_timeout_ms: int | None
    create_response: bool
    interrupt_response: bool


class SessionConfig:
    """The effective session of one conversation.

    ``sent`` is the body of accept or the query's model; ``on_the_phone`` says whether audio goes over SIP,
    where the codec was negotiated and formats are not the client's to choose. ``vad`` holds the script's
    defaults for ``server_vad``.
    """

    def __init__(
        self,
        sent: Mapping[str, Any],
        *,
        session_id: str,
        expires_at: int,
        on_the_phone: bool,
        vad: Mapping[str, float] | None = None,
    ) -> None:
        self._vad_defaults = {**_SERVER_VAD, **(vad or {})}
        wire_format: Json = {"type": "audio/pcmu"} if on_the_phone else {"type": "audio/pcm", "rate": 24000}
        self._session: Json = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": "gpt-realtime-2.1",
            "output_modalities": ["audio"],
            "instructions": DEFAULT_INSTRUCTIONS,
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": wire_format,
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(self._vad_defaults),
                },
                "output": {"format": dict(wire_format), "voice": "marin", "speed": 1.0},
            },
        }
        self._merge(sent)

    @property
    def body(self) -> Mapping[str, Any]:
        """The full effective session, as ``session.created`` and ``session.updated`` carry it. Read only."""
        return self._session

    def check_update(self, sent: object, *, audio_was_output: bool) -> ParameterProblem | None:
        """Why ``sent`` cannot be applied, or None. Nothing is applied unless all of it can be."""
        problem = check_session(sent)
        if problem is not None:
            return problem
        assert isinstance(sent, Mapping), "a checked session is an object"
        if sent.get("model", self._session["model"]) != self._session["model"]:
            return ParameterProblem(
                code="invalid_value",
                message="The model of a session cannot be changed once it has begun.",
                param="session.model",
            )
        voice = ((sent.get("audio") or {}).get("output") or {}).get("voice", self.voice)
        if audio_was_output and voice != self.voice:
            return ParameterProblem(
                code="cannot_update_voice",
                message="Cannot update a conversation's voice if assistant audio is present.",
                param="session.audio.output.voice",
            )
        tracing = self._session["tracing"]
        if tracing is not None and sent.get("tracing", tracing) != tracing:
            return ParameterProblem(
                code="invalid_value",
                message="Tracing cannot be changed once it is enabled.",
                param="session.tracing",
            )
        return None

    def update(self, sent: Mapping[str, Any]) -> None:
        """Apply a session that `check_update` found nothing wrong with; only the keys present change."""
        self._merge(sent)

    # What the rest of the conversation asks for ------------------------------------------------------

    @property
    def turn_detection(self) -> TurnDetection | None:
        """How turns are found; None when the client ends them by hand."""
        settings = self._session["audio"]["input"]["turn_detection"]
        if settings is None:
            return None
        silence_ms = settings.get("silence_duration_ms") or _EAGERNESS_SILENCE_MS.get(
            settings.get("eagerness") or "auto", 700
        )
        return TurnDetection(
            threshold=_or(settings.get("threshold"), 0.5),
            prefix_padding_ms=_or(settings.get("prefix_padding_ms"), 300),
            silence_duration_ms=silence_ms,
            idle_timeout_ms=settings.get("idle_timeout_ms"),
            create_response=_or(settings.get("create_response"), True),
            interrupt_response=_or(settings.get("interrupt_response"), True),
        )

    @property
    def transcription_model(self) -> str | None:
        """The model that writes down the caller's words; None when nobody asked for that."""
        settings = self._session["audio"]["input"]["transcription"]
        return None if settings is None else settings.get("model") or "whisper-1"

    @property
    def voice(self) -> Any:
        """The voice's name, or an object with its id."""
        return self._session["audio"]["output"]["voice"]

    @property
    def input_format(self) -> AudioFormat:
        """What the client appends, when audio goes over the socket."""
        return audio_format(self._session["audio"]["input"]["format"])

    @property
    def output_format(self) -> AudioFormat:
        """What the client is sent, when audio goes over the socket."""
        return audio_format(self._session["audio"]["output"]["format"])

    @property
    def output_modality(self) -> Literal["audio", "text"]:
        """Whether the agent speaks or writes."""
        return "text" if self._session["output_modalities"] == ["text"] else "audio"

    def value(self, name: str) -> Any:
        """A top-level field: ``tools``, ``tool_choice``, ``instructions`` or ``max_output_tokens``."""
        return self._session[name]

    # Merging -----------------------------------------------------------------------------------------

    def _merge(self, sent: Mapping[str, Any]) -> None:
        # What came in is never written to, so its inner objects may be shared.
        change = dict(sent)
        for name in ("id", "object", "expires_at", "type"):
            change.pop(name, None)
        audio = change.pop("audio", None) or {}
        self._session.update(change)
        if self._session["max_output_tokens"] is None:
            self._session["max_output_tokens"] = "inf"
        for side in ("input", "output"):
            mine: Json = self._session["audio"][side]
            for name, value in (audio.get(side) or {}).items():
                mine[name] = self._merged(name, mine.get(name), value)

    def _merged(self, name: str, old: Any, new: Any) -> Any:
        """``new`` over ``old``: objects are merged, so that what an update leaves out keeps its value."""
        if name in ("format", "voice", "speed"):
            return old if new is None else new
        if not isinstance(new, Mapping):
            return new
        if name == "turn_detection" and (old is None or new.get("type") != old["type"]):
            old = _SEMANTIC_VAD if new.get("type") == "semantic_vad" else self._vad_defaults
        return {**(old or {}), **new}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
