"""RTP packets as values (RFC 3550 section 5.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("!BBHII")
_VERSION_2 = 0x80
_RTCP_TYPES = range(192, 224)
"""Second bytes that mark RTCP on a shared port (RFC 5761 section 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpPacket:
    """One packet; padding, contributing sources and header extensions are gone after parsing."""

    payload_type: int
    sequence: int
    """16 bits, wraps around."""
    timestamp: int
    """32 bits, wraps around; counts samples."""
    ssrc: int
    payload: bytes
    marker: bool = False
    """First packet after a silence, or of a telephone event."""

    def __bytes__(self) -> bytes:
        second = self.payload_type | (0x80 if self.marker else 0)
        return _HEADER.pack(_VERSION_2, second, self.sequence, self.timestamp, self.ssrc) + self.payload


def parse_rtp(data: bytes) -> RtpPacket | None:
    """The packet in one datagram, or None for RTCP and whatever else strays to a media port."""
    if len(data) < _HEADER.size:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2 or second in _RTCP_TYPES:
        return None
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data)
    if first & 0x20:
        end -= data[-1]
        if data[-1] == 0:
            return None
    if start > end:
        return None
    return RtpPacket(
        payload_type=second & 0x7F,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=data[start:end],
        marker=bool(second & 0x80),
    )
