"""What a server sends during a call, made once and replayed to every contender alike.

No tool is called: what answering one costs is the answer, not the reading of an event.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_SENTENCE = (
    "Of course, I can help you with that. We have a free appointment on Thursday at ten in the morning, "
    "or on Friday at a quarter past three. Which of the two suits you better?"
)
ANSWER = tuple(_SENTENCE.split(" "))
QUESTION = ("I would like", " to move my", " appointment to", " another day", " please")
AUDIO = base64.b64encode(bytes(range(256)) * 12).decode()
"""64 ms of PCM16, what one delta of the server carries."""
DELTA = "response.output_audio_transcript.delta"
AUDIO_DELTA = "response.output_audio.delta"
END = "response.done"
COUNTED = (DELTA, AUDIO_DELTA, END)
"""What a contender must report one by one, whatever it makes of the rest."""
STAMP = " 00000000"
"""In a stamped recording, every word of the agent: room for the moment at which it is sent."""
USAGE: Json = {
    "total_tokens": 512,
    "input_tokens": 400,
    "output_tokens": 112,
    "input_token_details": {
        "text_tokens": 300,
        "audio_tokens": 100,
        "image_tokens": 0,
        "cached_tokens": 256,
        "cached_tokens_details": {"text_tokens": 256, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 32, "audio_tokens": 80},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A stream of messages, and how many of each counted kind it holds."""

    name: str
    messages: tuple[str, ...]
    kinds: tuple[str, ...]
    """The type of each."""
    counts: dict[str, int]


def recording(name: str, *, turns: int, audio_deltas_per_word: int = 0, stamped: bool = False) -> Recording:
    """A call of so many turns; with audio, each word brings deltas of sound too; ``stamped`` makes each word
    of the agent a `STAMP`."""
    numbers = itertools.count()
    messages: list[str] = []
    kinds: list[str] = []
    counts = dict.fromkeys(COUNTED, 0)
    for message in _call(turns, audio_deltas_per_word):
        message["event_id"] = f"event_{next(numbers):08x}"
        if stamped and message["type"] == DELTA:
            message["delta"] = STAMP
        kinds.append(message["type"])
        messages.append(json.dumps(message, separators=(",", ":")))
        if message["type"] in counts:
            counts[message["type"]] += 1
    return Recording(name=name, messages=tuple(messages), kinds=tuple(kinds), counts=counts)


def _call(turns: int, audio_deltas_per_word: int) -> Iterator[Json]:
    yield {"type": "session.created", "session": _session()}
    yield {"type": "session.updated", "session": _session()}
    before: str | None = None
    for turn in range(turns):
        caller, agent = f"item_c{turn:06d}", f"item_a{turn:06d}"
        yield from _caller(caller, before)
        yield from _agent(agent, caller, f"resp_{turn:06d}", audio_deltas_per_word)
        before = agent


def _caller(item_id: str, before: str | None) -> Iterator[Json]:
    heard = "conversation.item.input_audio_transcription"
    yield {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": 1000}
    yield {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": 3000}
    yield {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": before}
    item = _item(item_id, "user", "completed", [{"type": "input_audio", "transcript": None}])
    yield {"type": "conversation.item.added", "previous_item_id": before, "item": item}
    yield {"type": "conversation.item.done", "previous_item_id": before, "item": item}
    for delta in QUESTION:
        yield {"type": f"{heard}.delta", "item_id": item_id, "content_index": 0, "delta": delta}
    usage = {"type": "duration", "seconds": 2}
    words = "".join(QUESTION)
    whole = {"item_id": item_id, "content_index": 0, "transcript": words, "usage": usage}
    yield {"type": f"{heard}.completed", **whole}


def _agent(item_id: str, before: str, response_id: str, audio_deltas_per_word: int) -> Iterator[Json]:
    words = _SENTENCE
    in_response = {"response_id": response_id, "output_index": 0}
    in_part = {**in_response, "item_id": item_id, "content_index": 0}
    empty = _item(item_id, "assistant", "in_progress", [])
    full = _item(item_id, "assistant", "completed", [{"type": "output_audio", "transcript": words}])
    yield {"type": "response.created", "response": _response(response_id, "in_progress", [], None)}
    yield {"type": "response.output_item.added", **in_response, "item": empty}
    yield {"type": "conversation.item.added", "previous_item_id": before, "item": empty}
    yield {"type": "response.content_part.added", **in_part, "part": {"type": "audio", "transcript": ""}}
    for number, word in enumerate(ANSWER):
        yield {"type": DELTA, **in_part, "delta": word if number == 0 else f" {word}"}
        for _ in range(audio_deltas_per_word):
            yield {"type": AUDIO_DELTA, **in_part, "delta": AUDIO}
        if number == 0:
            yield {"type": "output_audio_buffer.started", "response_id": response_id}
    if audio_deltas_per_word:
        yield {"type": "response.output_audio.done", **in_part}
    yield {"type": "response.output_audio_transcript.done", **in_part, "transcript": words}
    yield {"type": "response.content_part.done", **in_part, "part": {"type": "audio", "transcript": words}}
    yield {"type": "response.output_item.done", **in_response, "item": full}
    yield {"type": "conversation.item.done", "previous_item_id": before, "item": full}
    limits = [{"name": "tokens", "limit": 40_000, "remaining": 39_000, "reset_seconds": 1.5}]
    yield {"type": "rate_limits.updated", "rate_limits": limits}
    yield {"type": "output_audio_buffer.stopped", "response_id": response_id}
    yield {"type": END, "response": _response(response_id, "completed", [full], USAGE)}


def _item(item_id: str, role: str, status: str, content: list[Json]) -> Json:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def _response(response_id: str, status: str, output: list[Json], usage: Json | None) -> Json:
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": status,
        "status_details": None,
        "output": output,
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}},
        "usage": usage,
        "metadata": None,
    }


def _session() -> Json:
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "instructions": "You answer the phone of a dental practice. Be brief and kind.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "expires_at": 1_900_000_000,
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {
                    "type": "semantic_vad",
                    "create_response": True,
                    "interrupt_response": True,
                    "eagerness": "auto",
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.0},
        },
    }


RECORDINGS = (
    recording("a call, 25 turns", turns=25),
    recording("a call, 150 turns", turns=150),
    recording("80 % audio, 25 turns", turns=25, audio_deltas_per_word=6),
)
