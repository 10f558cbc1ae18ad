"""What the agent says, on its way to the caller: cut into frames, handed out in time, and followed. Pure.

The server makes speech faster than it is heard. A carrier would take it all; but then a caller who interrupts
would go on hearing what is on its way. So only a little is sent ahead (`lead_ms`), and the rest waits here.
All audio is G.711: a byte is an eighth of a millisecond.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sipagent.audio.g711 import FRAME_BYTES
from sipagent.carrier.heard import BYTES_PER_S, Heard

Part = tuple[str, int]
"""An item of the conversation, and which of its contents."""
MOST_WAITING_BYTES = BYTES_PER_S * 600
"""Ten minutes of speech that nobody has heard yet: more than a response can hold."""
EARLY_MARK_EVERY_S = 1.0
"""How often a sound that begins gets a mark behind its first frame."""
_BYTES_PER_MS = BYTES_PER_S // 1000


@dataclass(slots=True)
class _Piece:
    """Audio of one part without a gap."""

    part: Part
    start: int
    """Where it stands in all that is or will be sent."""
    length: int
    offset: int
    """How much of the part came before it."""
    done: bool = False
    """Nothing of the part follows."""

    @property
    def end(self) -> int:
        return self.start + self.length


class Playout:
    """The agent's voice in one call."""

    def __init__(self, heard: Heard, *, lead_ms: int, mark_every_ms: int = 200, silence: int = 0xFF) -> None:
        """``silence`` is the byte that fills a frame up."""
        self._heard = heard
        self._lead = lead_ms * _BYTES_PER_MS
        self._mark_every = mark_every_ms * _BYTES_PER_MS
        self._silence = bytes((silence,))
        self._waiting = bytearray()
        self._pieces: deque[_Piece] = deque()
        self._lengths: dict[Part, int] = {}
        """How much came of each part that is not forgotten."""
        self._marked = 0
        self._early_again_at = 0.0
        self._mark_at = 0
        """How much is to be sent before the next mark."""
        self._marks = 0
        self.dropped_frames = 0
        """What did not fit."""

    @property
    def waiting_ms(self) -> float:
        """What is not sent yet."""
        return len(self._waiting) / _BYTES_PER_MS

    # What is said -----------------------------------------------------------------------------------

    def add(self, part: Part, audio: bytes) -> None:
        """More of a part, behind all that waits. What does not fit is dropped and counted."""
        if len(self._waiting) + len(audio) > MOST_WAITING_BYTES:
            self.dropped_frames += -(-len(audio) // FRAME_BYTES)
            return
        if not audio:
            return
        before = self._lengths.get(part, 0)
        end = self._heard.sent + len(self._waiting)
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.part == part and last.end == end:
            last.length += len(audio)
        else:
            self._pieces.append(_Piece(part=part, start=end, length=len(audio), offset=before))
        self._lengths[part] = before + len(audio)
        self._waiting += audio

    def finish(self, part: Part) -> None:
        """Nothing of a part follows: its end need not wait for a whole frame."""
        for piece in self._pieces:
            if piece.part == part:
                piece.done = True

    def next_frame(self, now: float) -> bytes | None:
        """The next 20 ms, if the carrier may have them now; ask until None. Whoever gets them sends them."""
        waiting = self._waiting
        if not waiting:
            return None
        unplayed = self._heard.unplayed(now)
        # Half a frame of tolerance: whoever asks every 20 ms is early or late by a little.
        if unplayed + FRAME_BYTES // 2 > self._lead and unplayed > 0:
            return None
        if len(waiting) >= FRAME_BYTES:
            frame = bytes(waiting[:FRAME_BYTES])
            del waiting[:FRAME_BYTES]
        elif self._pieces[-1].done or unplayed < FRAME_BYTES:
            # The rest of a part; or of what came of it so far, when silence would be heard before more comes.
            frame = bytes(waiting).ljust(FRAME_BYTES, self._silence)
            waiting.clear()
        else:
            return None
        if not unplayed and now >= self._early_again_at:
            # How late a carrier begins to play is known when its first mark comes back.
            self._early_again_at = now + EARLY_MARK_EVERY_S
            self._mark_at = self._heard.sent + FRAME_BYTES
        self._heard.sends(FRAME_BYTES, now)
        self._forget(now)
        return frame

    def next_mark(self, now: float) -> str | None:
        """The name of a mark to be sent behind all that was handed out: now and then, and where a part ends;
        mostly none."""
        sent = self._heard.sent
        if sent == self._marked or (sent < self._mark_at and not self._ends_at(sent)):
            return None
        return self.mark(now)

    def mark(self, now: float) -> str:
        """The name of a mark to be sent now."""
        self._marked = self._heard.sent
        self._mark_at = self._marked + self._mark_every
        self._marks += 1
        name = f"m{self._marks}"
        self._heard.marks(name, now)
        return name

    # What is not to be heard ------------------------------------------------------------------------

    def interrupt(self, now: float) -> None:
        """Nothing of what waits, or is at the carrier, is to be heard."""
        self._waiting.clear()
        self._pieces.clear()
        self._lengths.clear()
        self._heard.cleared(now)
        self._marked = self._heard.sent
        self._mark_at = self._marked + self._mark_every

    def withdraw(self, part: Part) -> None:
        """Nothing more of this part is to be sent; what was sent of it before is heard."""
        sent = self._heard.sent
        kept: deque[_Piece] = deque()
        waiting = bytearray()
        for piece in self._pieces:
            rest = self._waiting[max(piece.start - sent, 0) : max(piece.end - sent, 0)]
            if piece.part == part:
                piece.length -= len(rest)
                piece.done = True
            else:
                if piece.start >= sent:
                    piece.start = sent + len(waiting)
                waiting += rest
            if piece.length:
                kept.append(piece)
        self._pieces, self._waiting = kept, waiting

    # What was heard ---------------------------------------------------------------------------------

    def playing(self, now: float) -> tuple[Part, float] | None:
        """Which part the caller hears, and how many milliseconds of it they have heard when a word that is
        sent now gets there; the last one that was heard while nothing plays, None before the first."""
        position = self._heard.position(now)
        found: _Piece | None = None
        for piece in self._pieces:
            if piece.start > position or piece.start >= self._heard.sent:
                break
            found = piece
        if found is None:
            return None
        return found.part, (found.offset + min(position - found.start, found.length)) / _BYTES_PER_MS

    # Inside ----------------------------------------------------------------------------------------

    def _ends_at(self, sent: int) -> bool:
        return any(piece.done and sent - FRAME_BYTES < piece.end <= sent for piece in self._pieces)

    def _forget(self, now: float) -> None:
        position = self._heard.position(now)
        while len(self._pieces) > 1 and self._pieces[1].start <= position:
            gone = self._pieces.popleft()
            if all(piece.part != gone.part for piece in self._pieces):
                self._lengths.pop(gone.part, None)
