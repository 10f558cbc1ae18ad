"""From the model to the caller: what the agent says, sent in time, followed, and cut off at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from sipagent.audio.g711 import PCMA_SILENCE, PCMU_SILENCE
from sipagent.carrier.converting import from_session, session_format
from sipagent.carrier.heard import BYTES_PER_S, MOST_ROUND_TRIP_S, Heard
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.playout import Playout
from sipagent.carrier.stream import MediaStream
from sipagent.identifiers import ItemId
from sipagent.realtime import CallPlayer, EndCause, RealtimePlaybackState

MARK_EVERY_MS = 200
FIRST_PROBES = 8
FIRST_PROBES_EVERY_S = 0.06
"""A session takes longer to speak than all of them."""
PROBE_EVERY_S = 5.0


class Tap(Protocol):
    """Hears what a call hears. Times are on the loop's clock, and those of one moment where the caller is are
    the same; nothing here waits or raises."""

    def caller_said(self, audio: bytes, at_s: float) -> None:
        """Audio of the caller in the session's format, whose first sample was said at ``at_s``."""
        ...

    def agent_said(self, audio: bytes, at_s: float) -> None:
        """Audio of the agent in the session's format, whose first sample is heard at ``at_s``."""
        ...

    def agent_cut(self, at_s: float) -> None:
        """Nothing that was to be heard from ``at_s`` on is heard."""
        ...


class AgentVoice(CallPlayer):
    """The agent's side of one bridge; a player for the model of the session. Needs a running loop."""

    def __init__(self, stream: MediaStream, pacer: Pacer) -> None:
        super().__init__()
        plays = stream.start.plays
        self.session_format = session_format(plays)
        self._stream = stream
        self._pacer = pacer
        self._now = asyncio.get_running_loop().time
        self._convert = from_session(plays)
        silence = PCMA_SILENCE if self.session_format == "g711_alaw" else PCMU_SILENCE
        self.heard = Heard(confirms=stream.confirms)
        self._playout = Playout(
            self.heard, lead_ms=stream.lead_ms, mark_every_ms=MARK_EVERY_MS, silence=silence
        )
        self._clean_at = 0
        """How much had been sent when the carrier had nothing to play."""
        self._ended = False
        self._heard_until = 0.0
        """When the last frame that was told of has been heard."""
        self._awaited: tuple[int, float, Callable[[], None]] | None = None
        """Who wants to know when the carrier is past a position, and until when."""
        self.tap: Tap | None = None
        self.on_connected: Callable[[], None] | None = None
        self.on_disconnected: Callable[[EndCause | None], None] | None = None

    def probe(self) -> None:
        """Measure the way to the carrier, if nothing is said."""
        if self._stream.confirms and self.heard.is_quiet and not self._ended:
            self._stream.send_mark(self._playout.mark(self._now()))

    async def keep_probing(self) -> None:
        """Measure the way to the carrier again and again, until cancelled: one measurement may have waited in
        a queue, and only the shortest of several is the way itself."""
        if not self._stream.confirms:
            return
        for _ in range(FIRST_PROBES):
            self.probe()
            await asyncio.sleep(FIRST_PROBES_EVERY_S)
        while True:
            self.probe()
            await asyncio.sleep(PROBE_EVERY_S)

    def confirmed(self, mark: str) -> None:
        """The carrier is past a mark."""
        now = self._now()
        self.heard.confirms(mark, now)
        if self._awaited is not None and self.heard.confirmed >= self._awaited[0]:
            (_, until, then), self._awaited = self._awaited, None
            if now <= until:
                then()

    def end(self) -> None:
        """Nothing can be said any more."""
        self._ended = True
        self._awaited = None
        self._pacer.remove(self._beat)

    def when_heard(self, then: Callable[[], None]) -> None:
        """Call ``then`` when it is certain that the caller has heard what they have by now: when the carrier
        says so, or at once where it never does. Where the agent is interrupted before, it must say so soon:
        what it says later may be of what was thrown away. Only the last one asked for is remembered."""
        position = self.heard.position(self._now())
        if self._stream.confirms and self.heard.confirmed < position:
            self._awaited = (position, math.inf, then)
        elif self._stream.can_send:
            then()

    @property
    def dropped_frames(self) -> int:
        """What of the agent's speech found no room."""
        return self._playout.dropped_frames

    # CallPlayer --------------------------------------------------------------------------------------

    def play(self, item_id: ItemId, content_index: int, audio: bytes) -> None:
        """See `CallPlayer.play`."""
        if self._ended:
            return
        self._playout.add((item_id, content_index), audio)
        self._beat()
        if self._playout.waiting_ms:
            self._pacer.add(self._beat)

    def finish(self, item_id: ItemId, content_index: int) -> None:
        """See `CallPlayer.finish`."""
        self._playout.finish((item_id, content_index))
        self._beat()

    def withdraw(self, item_id: ItemId, content_index: int) -> None:
        """See `CallPlayer.withdraw`. What was sent ahead of it already is heard."""
        self._playout.withdraw((item_id, content_index))

    def on_interrupted(self) -> None:
        """See `CallPlayer.on_interrupted`."""
        now = self._now()
        if self._awaited is not None:
            self._awaited = (0, now + MOST_ROUND_TRIP_S, self._awaited[2])
        unplayed = self.heard.sent != self._clean_at
        self._playout.interrupt(now)
        self._clean_at = self.heard.sent
        self._pacer.remove(self._beat)
        if unplayed and not self._ended:
            # In this very turn of the loop: the caller speaks, and hears the agent until this gets there.
            self._stream.clear()
            if self.tap is not None:
                self.tap.agent_cut(now + self.heard.round_trip_s)

    def get_state(self) -> RealtimePlaybackState:
        """See `CallPlayer.get_state`."""
        playing = self._playout.playing(self._now())
        if playing is None:
            return {"current_item_id": None, "current_item_content_index": None, "elapsed_ms": None}
        (item_id, content_index), elapsed_ms = playing
        return {
            "current_item_id": item_id,
            "current_item_content_index": content_index,
            "elapsed_ms": elapsed_ms,
        }

    def connected(self) -> None:
        """See `CallPlayer.connected`."""
        if self.on_connected is not None:
            self.on_connected()

    def disconnected(self, cause: EndCause | None) -> None:
        """See `CallPlayer.disconnected`."""
        if self.on_disconnected is not None:
            self.on_disconnected(cause)

    # Inside ------------------------------------------------------------------------------------------

    def _heard_at(self, frame: bytes, now: float) -> float:
        """When ``frame``, just sent, begins to be heard: when what is said at that moment gets here, so that
        question and answer stand as far apart as they were where the caller is."""
        begins_at = self.heard.played_at(self.heard.sent - len(frame)) + self.heard.round_trip_s
        if self.heard.unplayed(now) > len(frame):
            # Right behind the one before, whatever a mark has taught since then of when that was.
            begins_at = self._heard_until
        self._heard_until = begins_at + len(frame) / BYTES_PER_S
        return begins_at

    def _beat(self) -> None:
        """Send what may be sent now."""
        stream, playout = self._stream, self._playout
        now = self._now()
        while stream.can_send and (frame := playout.next_frame(now)) is not None:
            stream.send_audio(frame if self._convert is None else self._convert(frame))
            if self.tap is not None:
                self.tap.agent_said(frame, self._heard_at(frame, now))
            if stream.confirms and (mark := playout.next_mark(now)) is not None:
                stream.send_mark(mark)
        if stream.confirms and (mark := playout.next_mark(now)) is not None:
            stream.send_mark(mark)  # the end of a part came behind its last frame
        if not playout.waiting_ms:
            self._pacer.remove(self._beat)
