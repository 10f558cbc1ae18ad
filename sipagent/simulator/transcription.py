"""Reports what the caller said: beside the model, later, and without touching its turn."""

from __future__ import annotations

import math
import re

from sipagent.simulator import server_events
from sipagent.simulator.items import Item
from sipagent.simulator.script import TranscriptionPlan
from sipagent.simulator.server_events import EventSender, Json
from sipagent.simulator.timers import Timers

_BILLED_BY_TIME = frozenset({"whisper-1", "gpt-realtime-whisper", "gpt-transcribe"})


class Transcriber:
    """Sends the transcription events of one conversation, each turn after the delay its plan has for it.

    Turns may overtake each other; that is what clients have to live with.
    """

    def __init__(self, plan: TranscriptionPlan, *, sender: EventSender, timers: Timers) -> None:
        self._plan = plan
        self._sender = sender
        self._timers = timers
        self._turns = 0

    def transcribe(self, item: Item, *, model: str) -> None:
        """Report the words of ``item`` when they are due."""
        delays_ms = self._plan.delays_ms
        delay_ms = delays_ms[min(self._turns, len(delays_ms) - 1)]
        self._turns += 1
        self._timers.later(delay_ms / 1000, lambda: self._report(item, model))

    def _report(self, item: Item, model: str) -> None:
        if self._plan.fails:
            message = f"Input transcription failed for item '{item.item_id}': the model {model} refused."
            event = server_events.transcription_failed(
                item.item_id, code="audio_unintelligible", message=message
            )
            self._sender.emit(event)
            return
        for delta in _deltas(item.spoken):
            self._sender.emit(server_events.transcription_delta(item.item_id, delta))
        item.set_transcript(item.spoken)
        usage = _usage(item, model)
        self._sender.emit(server_events.transcription_completed(item.item_id, item.spoken, usage))


def _deltas(text: str) -> list[str]:
    """``text`` in pieces of up to four words, which together are ``text`` again."""
    return re.findall(r"(?:\S+\s*){1,4}", text)


def _usage(item: Item, model: str) -> Json:
    if model in _BILLED_BY_TIME:
        return {"type": "duration", "seconds": math.ceil(item.audio_ms / 1000)}
    audio_tokens = math.ceil(item.audio_ms / 100)
    output_tokens = math.ceil(len(item.spoken) / 4)
    return {
        "type": "tokens",
        "input_tokens": audio_tokens,
        "output_tokens": output_tokens,
        "total_tokens": audio_tokens + output_tokens,
        "input_token_details": {"audio_tokens": audio_tokens, "text_tokens": 0},
    }
