"""From received RTP packets to an even stream of 20 ms mu-law frames and keys.

Pure: arrival times are arguments. Packets that overtook each other are put in order again within a small
window; what is missing becomes silence. There is no playout clock: a frame is delivered the moment it is in
order. When packets stop altogether the owner calls `RtpReceiver.conceal` at frame pace, so that time goes on
for whoever listens; the silence given then is taken off the gap that the next packet's timestamp reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sipagent.audio.g711 import FRAME_BYTES, PCMU_SILENCE, SAMPLE_RATE_HZ, pcma_to_pcmu
from sipagent.simulator.dtmf import DigitReader
from sipagent.simulator.rtp.packet import RtpPacket

Codec: TypeAlias = Literal["PCMU", "PCMA"]

SILENT_FRAME = bytes([PCMU_SILENCE]) * FRAME_BYTES

_REORDER_PACKETS = 4
"""Packets held back while an earlier one is missing: 80 ms."""
_MAX_GAP_FRAMES = 50
"""A hole longer than a second is not filled: nobody waits for it."""
_RESTART_STEP = 1000
"""A jump of the sequence number by more than this is a sender that began again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFormat:
    """How the negotiated media travel."""

    codec: Codec
    payload_type: int
    telephone_event: int | None
    """Payload type of RFC 4733 events, None when not negotiated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFrame:
    """20 ms of mu-law."""

    ulaw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitPressed:
    """A key, at its place in the audio."""

    digit: str


Received: TypeAlias = AudioFrame | DigitPressed


class RtpReceiver:
    """One direction of one call, across changes of the sender's SSRC."""

    def __init__(self, media_format: MediaFormat) -> None:
        self.media_format = media_format
        self.frames_received = 0
        self.digits = ""
        self._digit_reader = DigitReader()
        self._source = _Source(-1)
        self._held: dict[int, RtpPacket] = {}
        self._audio = bytearray()
        self._concealed = 0
        self._past_expected = 0
        self._past_received = 0

    @property
    def frames_lost(self) -> int:
        """Packets that should have come and did not (RFC 3550 appendix A.3)."""
        lost = self._past_expected - self._past_received + self._source.expected - self._source.received
        return max(0, lost)

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter of the present source (RFC 3550 section 6.4.1)."""
        return self._source.jitter * 1000 / SAMPLE_RATE_HZ

    def receive(self, packet: RtpPacket, now_s: float) -> Iterator[Received]:
        """Everything that ``packet`` completes, in order; consume it before the next call."""
        if packet.ssrc != self._source.ssrc or self._source.is_restart(packet.sequence):
            yield from self._drain()
            self._past_expected += self._source.expected
            self._past_received += self._source.received
            self._source = _Source(packet.ssrc)
        self.frames_received += 1
        is_audio = packet.payload_type == self.media_format.payload_type
        sequence = self._source.count(packet, now_s, is_audio=is_audio)
        if sequence < self._source.next_sequence or sequence in self._held:
            return
        self._held[sequence] = packet
        while self._held:
            if self._source.next_sequence not in self._held:
                if len(self._held) <= _REORDER_PACKETS:
                    return
                self._source.next_sequence = min(self._held)
            ready = self._held.pop(self._source.next_sequence)
            self._source.next_sequence += 1
            yield from self._deliver(ready)

    def conceal(self) -> Iterator[Received]:
        """What to hear in place of a frame that did not come in time: held back packets, or silence."""
        if self._held:
            self._source.next_sequence = max(self._held) + 1
            yield from self._drain()
            return
        self._concealed += 1
        yield AudioFrame(ulaw=SILENT_FRAME)

    def _drain(self) -> Iterator[Received]:
        for sequence in sorted(self._held):
            yield from self._deliver(self._held.pop(sequence))

    def _deliver(self, packet: RtpPacket) -> Iterator[Received]:
        if packet.payload_type == self.media_format.telephone_event:
            digit = self._digit_reader.read(packet.payload, packet.timestamp)
            if digit is not None:
                self.digits += digit
                yield DigitPressed(digit=digit)
            return
        if packet.payload_type != self.media_format.payload_type:
            # Comfort noise (RFC 3389) and codecs nobody agreed on: their time passes as silence.
            return
        missing = self._source.samples_missing(packet) // FRAME_BYTES - self._concealed
        self._concealed = 0
        for _ in range(min(missing, _MAX_GAP_FRAMES)):
            yield AudioFrame(ulaw=SILENT_FRAME)
        is_alaw = self.media_format.codec == "PCMA"
        self._audio += pcma_to_pcmu(packet.payload) if is_alaw else packet.payload
        while len(self._audio) >= FRAME_BYTES:
            frame = bytes(self._audio[:FRAME_BYTES])
            del self._audio[:FRAME_BYTES]
            yield AudioFrame(ulaw=frame)


class _Source:
    """The numbers of one synchronization source."""

    __slots__ = (
        "_base",
        "_highest",
        "_next_timestamp",
        "_transit",
        "jitter",
        "next_sequence",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self.received = 0
        self.jitter = 0.0
        self.next_sequence = -1
        self._base = 0
        self._highest = -1
        self._transit: float | None = None
        self._next_timestamp: int | None = None

    @property
    def expected(self) -> int:
        return self._highest - self._base + 1 if self.received else 0

    def is_restart(self, sequence: int) -> bool:
        return self.received > 0 and abs(self._extended(sequence) - self._highest) > _RESTART_STEP

    def count(self, packet: RtpPacket, now_s: float, *, is_audio: bool) -> int:
        """Enter a packet into the books; returns its sequence number with the wrap-arounds counted in."""
        if self.received == 0:
            self._base = self._highest = self.next_sequence = packet.sequence
        sequence = self._extended(packet.sequence)
        self._highest = max(self._highest, sequence)
        self.received += 1
        if is_audio:
            # Telephone events repeat one timestamp and would look like jitter.
            transit = now_s * SAMPLE_RATE_HZ - packet.timestamp
            if self._transit is not None:
                difference = (transit - self._transit + 2**31) % 2**32 - 2**31
                self.jitter += (abs(difference) - self.jitter) / 16
            self._transit = transit
        return sequence

    def samples_missing(self, packet: RtpPacket) -> int:
        """Samples between the end of the last audio packet and this one; 0 if they overlap."""
        expected = packet.timestamp if self._next_timestamp is None else self._next_timestamp
        self._next_timestamp = (packet.timestamp + len(packet.payload)) % 2**32
        missing = (packet.timestamp - expected) % 2**32
        return missing if missing < 2**31 else 0

    def _extended(self, sequence: int) -> int:
        return self._highest + (sequence - self._highest + 2**15) % 2**16 - 2**15
