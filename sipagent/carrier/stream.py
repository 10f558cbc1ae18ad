"""The audio socket of one call at a carrier, whichever carrier it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sipagent.realtime.value import Value

AudioEncoding = Literal["g711_ulaw", "g711_alaw", "pcm16"]
"""How samples are written: one byte of G.711, or 16 bits, signed and little-endian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFormat:
    """How audio is written in one direction of a stream; always mono."""

    encoding: AudioEncoding = "g711_ulaw"
    rate_hz: int = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    """What the carrier says of a stream before its first audio."""

    stream_id: str
    carrier_call_id: str
    """As the carrier names the caller's leg."""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the instruction that opened the stream gave it to take along, the token among it."""
    hears: StreamFormat = StreamFormat()
    """What the caller's audio is written in."""
    plays: StreamFormat = StreamFormat()
    """What the agent's audio has to be written in: not the same at a carrier that hands the caller's audio on
    as their network brought it."""


class CallerAudio(Value, frozen=True, kw_only=True):
    """A piece of the caller's voice, in the format that the start named."""

    audio: bytes
    sequence: int | None = None
    """Counts the pieces, where the carrier counts them."""
    timestamp_ms: int | None = None
    """Since the stream began, where the carrier says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerDigit:
    """The caller pressed a key."""

    digit: str
    """One of ``0123456789*#ABCD``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkPlayed:
    """All audio that was sent before the mark was played, or thrown away by a clear."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFault:
    """The carrier complains, and goes on."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStopped:
    """Nothing follows."""

    reason: Literal["stopped", "closed", "lost", "protocol"]
    """The carrier said so; the socket was closed in order, by whomever; it broke; or what came over it was
    not its protocol."""
    detail: str = ""


StreamEvent = CallerAudio | CallerDigit | MarkPlayed | StreamFault | StreamStopped
"""What comes of a stream behind its start."""

DIGITS = frozenset("0123456789*#ABCD")


class MediaStream(Protocol):
    """One stream that has started. Everything happens on the event loop; only `close` waits."""

    @property
    def start(self) -> StreamStart:
        """What the carrier said of it."""
        ...

    @property
    def confirms(self) -> bool:
        """Whether marks come back: `MarkPlayed`. Without, `send_mark` does nothing."""
        ...

    @property
    def lead_ms(self) -> int:
        """How much audio the carrier may be sent before it is played; it keeps what it cannot play yet."""
        ...

    @property
    def can_send(self) -> bool:
        """Whether audio that is sent now is on its way at once. What is sent all the same waits in memory."""
        ...

    def listen(self, hear: Callable[[StreamEvent], None]) -> None:
        """Call ``hear`` for every event from now on, in order, the moment it comes; `StreamStopped` is the
        last. Called once; what came before is lost but for the end, which is heard at once."""
        ...

    def send_audio(self, audio: bytes) -> None:
        """Play ``audio`` behind what was sent before, in the format that the start named. Sent to a stream
        that has ended, it is lost; so with all that is sent."""
        ...

    def send_mark(self, name: str) -> None:
        """Have the carrier say when it has played what was sent before."""
        ...

    def clear(self) -> None:
        """Throw away what was sent and is not played yet, here and at the carrier."""
        ...

    async def close(self) -> None:
        """End the stream. Idempotent. Cancelling leaves the end to the owner of the socket."""
        ...
