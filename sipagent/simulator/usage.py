"""Counts tokens the way the service bills them, as closely as a length of text and audio allows. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sipagent.simulator.items import Item
from sipagent.simulator.server_events import Json

USER_MS_PER_TOKEN: Final = 100
ASSISTANT_MS_PER_TOKEN: Final = 50
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """Text and audio, counted apart because they are billed apart."""

    text: int = 0
    audio: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.text + self.audio

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.text + other.text, self.audio + other.audio)


def text_tokens(text: str) -> int:
    """About how many tokens ``text`` is."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def audio_tokens(length_ms: float) -> int:
    """How many tokens the model generates for ``length_ms`` of its own voice."""
    return math.ceil(length_ms / ASSISTANT_MS_PER_TOKEN)


def item_tokens(item: Item) -> Tokens:
    """What an item costs as input."""
    body = item.body
    match body["type"]:
        case "message":
            if item.audio_ms and body["role"] == "user":
                return Tokens(audio=math.ceil(item.audio_ms / USER_MS_PER_TOKEN))
            if item.is_assistant_audio:
                # A truncated item has lost its words, and the audio nobody heard.
                text = 0 if item.truncated else text_tokens(item.spoken)
                return Tokens(text=text, audio=audio_tokens(item.audio_ms))
            return Tokens(text=text_tokens(item.spoken))
        case "function_call":
            return Tokens(text=text_tokens(body["name"] + body["arguments"]))
        case "mcp_call":
            told = body.get("output") or (body.get("error") or {}).get("message") or ""
            return Tokens(text=text_tokens(body["name"] + body["arguments"] + told))
        case "function_call_output":
            return Tokens(text=text_tokens(body["output"]))
        case _:
            return Tokens()


class UsageMeter:
    """Sums up one conversation, response by response."""

    def __init__(self) -> None:
        self._cached = Tokens()
        self.last_total = 0
        """Tokens of the last response, in and out."""

    def measure(
        self, *, instructions: str, tools: object, context: Iterable[Item], outputs: Iterable[Item]
    ) -> Json:
        """The ``usage`` of a response: the whole conversation went in, ``outputs`` came out.

        What went in last time counts as cached: it is the same prefix, unless something was cut out of it.
        """
        written = list(outputs)
        output = sum((item_tokens(item) for item in written), Tokens())
        given = Tokens(text=text_tokens(instructions) + text_tokens(json.dumps(tools)))
        given = sum((item_tokens(item) for item in context if item not in written), given)
        cached = Tokens(min(self._cached.text, given.text), min(self._cached.audio, given.audio))
        self._cached = given
        self.last_total = given.total + output.total
        return {
            "total_tokens": self.last_total,
            "input_tokens": given.total,
            "output_tokens": output.total,
            "input_token_details": {
                "text_tokens": given.text,
                "audio_tokens": given.audio,
                "image_tokens": 0,
                "cached_tokens": cached.total,
                "cached_tokens_details": {
                    "text_tokens": cached.text,
                    "audio_tokens": cached.audio,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": output.text, "audio_tokens": output.audio},
        }
