"""The caller's half of a conversation: from sound to committed turns with their words.

Nobody recognises speech here. What a caller says is known beforehand: from the INVITE, or from the script.
The VAD finds out when something was said; the n-th turn then has the n-th line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol, assert_never
from urllib.parse import unquote

from sipagent.identifiers import ItemId
from sipagent.simulator import server_events
from sipagent.simulator.input_audio import SHORTEST_COMMIT_MS, InputAudio, Utterance
from sipagent.simulator.items import ItemList, user_audio
from sipagent.simulator.server_events import EventSender, IdSource
from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.transcription import Transcriber
from sipagent.simulator.vad import SpeechStarted, SpeechStopped

CALLER_SAYS_HEADER: Final = "X-Sipagent-Caller-Says"
"""An INVITE header with a line of the caller, percent-encoded UTF-8; repeated, in order."""
UNKNOWN_WORDS: Final = "(speech)"
"""What a caller said whose words nobody told us."""


def lines_of_caller(headers: Sequence[tuple[str, str]], default: Sequence[str]) -> tuple[str, ...]:
    """The lines the INVITE announces, or else ``default``."""
    wanted = CALLER_SAYS_HEADER.lower()
    lines = tuple(unquote(value.strip()) for name, value in headers if name.lower() == wanted)
    return lines or tuple(default)


class TurnListener(Protocol):
    """Hears of the caller's turns, after the events about them were sent."""

    def caller_began(self) -> None:
        """The caller has begun to speak."""

    def caller_turn(self, heard: str) -> None:
        """The caller has ended a turn, found by turn detection, and said ``heard``."""


class CallerSide:
    """Turns a caller's audio, or a virtual caller's reports, into events and items."""

    def __init__(
        self,
        *,
        config: SessionConfig,
        items: ItemList,
        sender: EventSender,
        ids: IdSource,
        transcriber: Transcriber,
        lines: Sequence[str],
        listener: TurnListener,
    ) -> None:
        self._config = config
        self._items = items
        self._sender = sender
        self._ids = ids
        self._transcriber = transcriber
        self._lines = lines
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._opened_at_s = self._loop.time()
        self._input = InputAudio(config.turn_detection)
        self._turns = 0
        self._speech_item_id: ItemId | None = None
        self._virtual_since_s: float | None = None
        self._virtual_words: list[str] = []

    @property
    def is_speaking(self) -> bool:
        """Whether a turn of the caller is under way."""
        return self._speech_item_id is not None

    @property
    def position_ms(self) -> int:
        """Where the session is in the caller's audio; by the clock, when no audio comes."""
        if self._input.position_ms:
            return round(self._input.position_ms)
        return round((self._loop.time() - self._opened_at_s) * 1000)

    def reconfigure(self) -> None:
        """The session's turn detection may have changed."""
        self._input.configure(self._config.turn_detection)
        if self._config.turn_detection is None:
            self._speech_item_id = None

    # Sound -------------------------------------------------------------------------------------------

    def audio(self, ulaw: bytes) -> None:
        """The caller's next audio, of any length."""
        for change in self._input.feed(ulaw):
            match change:
                case SpeechStarted(audio_start_ms=position_ms):
                    self._began(position_ms)
                case SpeechStopped(audio_end_ms=position_ms):
                    self._ended(position_ms, self._next_line())
                case never:
                    assert_never(never)

    def virtual_speech_started(self) -> None:
        """A caller without sound begins to speak."""
        self._virtual_since_s = self._loop.time()
        if self._config.turn_detection is not None:
            self._began(self.position_ms)

    def virtual_speech_stopped(self, words: str) -> None:
        """A caller without sound has said ``words``."""
        since_s, self._virtual_since_s = self._virtual_since_s, None
        if since_s is not None:
            self._input.feed_soundless((self._loop.time() - since_s) * 1000)
        if self._config.turn_detection is None:
            self._virtual_words.append(words)
        else:
            self._ended(self.position_ms, words)

    def _began(self, position_ms: int) -> None:
        self._speech_item_id = self._new_item_id()
        self._sender.emit(server_events.speech_started(self._speech_item_id, position_ms))
        self._listener.caller_began()

    def _ended(self, position_ms: int, words: str) -> None:
        # Without an id the turn was committed by hand, or begun under other settings: the rest is an item.
        item_id, self._speech_item_id = self._speech_item_id or self._new_item_id(), None
        self._sender.emit(server_events.speech_stopped(item_id, position_ms))
        self._commit(item_id, words)
        self._listener.caller_turn(words)

    # Turns -------------------------------------------------------------------------------------------

    @property
    def can_commit(self) -> bool:
        """Whether the buffer holds enough to be committed by hand."""
        return self._input.buffered_ms >= SHORTEST_COMMIT_MS

    @property
    def buffered_ms(self) -> float:
        """How much audio the buffer holds."""
        return self._input.buffered_ms

    def commit(self) -> str:
        """Make an item of the buffer, by hand; returns what was said in it."""
        words = " ".join(self._virtual_words) or self._next_line()
        self._virtual_words.clear()
        item_id, self._speech_item_id = self._speech_item_id or self._new_item_id(), None
        self._commit(item_id, words)
        return words

    def clear(self) -> None:
        """Forget what the buffer holds."""
        self._input.clear()
        self._virtual_words.clear()
        self._sender.emit(server_events.input_cleared())

    def time_out(self, *, since_ms: int) -> None:
        """Commit the silence since ``since_ms``, because nobody has said anything for too long."""
        item_id = self._new_item_id()
        until_ms = max(self.position_ms, since_ms)
        self._sender.emit(server_events.timeout_triggered(item_id, since_ms, until_ms))
        self._input.clear()
        self._add_item(item_id, Utterance(audio=b"", audio_ms=until_ms - since_ms), words="")

    def _commit(self, item_id: ItemId, words: str) -> None:
        self._add_item(item_id, self._input.take(), words=words)

    def _add_item(self, item_id: ItemId, utterance: Utterance, *, words: str) -> None:
        item = user_audio(item_id, audio=utterance.audio, audio_ms=utterance.audio_ms, spoken=words)
        self._sender.emit(server_events.input_committed(item_id, self._items.last_id))
        previous_id = self._items.add(item)
        self._sender.emit(server_events.item_added(item.body, previous_id))
        self._sender.emit(server_events.item_done(item.body, previous_id))
        model = self._config.transcription_model
        if model is not None and words:
            self._transcriber.transcribe(item, model=model)

    def _next_line(self) -> str:
        self._turns += 1
        return self._lines[self._turns - 1] if self._turns <= len(self._lines) else UNKNOWN_WORDS

    def _new_item_id(self) -> ItemId:
        return ItemId(self._ids.new("item"))
