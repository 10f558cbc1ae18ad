"""Telephone keys as RTP events (RFC 4733). Pure.

A key press is a run of packets with one RTP timestamp and a growing duration. The last packet carries the end
bit and is sent three times, so that a lost one does not swallow the key.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from sipagent.audio.g711 import FRAME_BYTES, FRAME_MS
from sipagent.errors import SimulatorError

DIGITS = "0123456789*#ABCD"
"""The sixteen keys, in the order of their event codes (RFC 4733 section 3.2)."""

_PAYLOAD = struct.Struct("!BBH")
_END_BIT = 0x80
_VOLUME_DBM0 = 10
_PRESS_MS = 160
_END_REPEATS = 3
_PAUSE_MS = 100
"""Quiet between two keys, so that equal keys stay two."""
_MAX_QUEUED_DIGITS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TelephoneEvent:
    """One packet's report about a key."""

    digit: str
    ended: bool
    duration: int
    """Samples since the key went down."""

    def __bytes__(self) -> bytes:
        flags = _VOLUME_DBM0 | (_END_BIT if self.ended else 0)
        return _PAYLOAD.pack(DIGITS.index(self.digit), flags, self.duration)


def parse_telephone_event(payload: bytes) -> TelephoneEvent | None:
    """The report in a payload, or None when it is too short or no key (tones, flash)."""
    if len(payload) < _PAYLOAD.size:
        return None
    code, flags, duration = _PAYLOAD.unpack_from(payload)
    if code >= len(DIGITS):
        return None
    return TelephoneEvent(digit=DIGITS[code], ended=bool(flags & _END_BIT), duration=duration)


def check_digits(digits: str) -> str:
    """``digits`` in capitals.

    Raises `SimulatorError` when one of them is no telephone key.
    """
    for digit in digits:
        if digit.upper() not in DIGITS:
            raise SimulatorError(f"{digit!r} is no telephone key: use {DIGITS}")
    return digits.upper()


class DigitReader:
    """Turns packets into keys: one key per RTP timestamp, reported at its first packet.

    The first packet rather than the end bit, so that a key whose end was lost altogether still counts.
    """

    def __init__(self) -> None:
        self._last_timestamp: int | None = None

    def read(self, payload: bytes, timestamp: int) -> str | None:
        """The key that this packet is the first to report, if any."""
        event = parse_telephone_event(payload)
        if event is None or timestamp == self._last_timestamp:
            return None
        self._last_timestamp = timestamp
        return event.digit


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPacket:
    """What to send in place of an audio frame."""

    payload: bytes
    timestamp: int
    """Of the key's first packet, repeated in all of them."""
    marker: bool


class DigitSender:
    """Keys waiting to be sent, one packet per 20 ms frame, with a pause behind each key."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._digit: str | None = None
        self._started_at = 0
        self._step = 0
        self._pause_ms = 0

    @property
    def busy(self) -> bool:
        """Whether a key is going out, waiting, or its pause is running."""
        return bool(self._digit or self._waiting or self._pause_ms)

    def press(self, digits: str) -> None:
        """Queue keys.

        Raises `SimulatorError` for something that is no key, or when 256 keys wait already.
        """
        wanted = check_digits(digits)
        if len(self._waiting) + len(wanted) > _MAX_QUEUED_DIGITS:
            raise SimulatorError(f"{len(self._waiting)} keys wait already: at most {_MAX_QUEUED_DIGITS} can")
        self._waiting.extend(wanted)

    def next_packet(self, timestamp: int) -> EventPacket | None:
        """The packet for the frame at ``timestamp``, or None when audio may have that frame."""
        if self._pause_ms:
            self._pause_ms -= FRAME_MS
            return None
        if self._digit is None:
            if not self._waiting:
                return None
            self._digit = self._waiting.popleft()
            self._started_at = timestamp
            self._step = 0
        self._step += 1
        steps = _PRESS_MS // FRAME_MS
        event = TelephoneEvent(
            digit=self._digit, ended=self._step >= steps, duration=min(self._step, steps) * FRAME_BYTES
        )
        if self._step == steps + _END_REPEATS - 1:
            self._digit = None
            self._pause_ms = _PAUSE_MS
        return EventPacket(payload=bytes(event), timestamp=self._started_at, marker=self._step == 1)
