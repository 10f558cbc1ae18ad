"""Telephone audio over the network: packets, both directions of a call, and the beat of all calls."""

from __future__ import annotations

from sipagent.simulator.rtp.pacer import Pacer
from sipagent.simulator.rtp.packet import RtpPacket, parse_rtp
from sipagent.simulator.rtp.playout import Playout, PlayoutFrame
from sipagent.simulator.rtp.receiver import Codec, MediaFormat, RtpReceiver
from sipagent.simulator.rtp.stream import RtpStream

__all__ = [
    "Codec",
    "MediaFormat",
    "Pacer",
    "Playout",
    "PlayoutFrame",
    "RtpPacket",
    "RtpReceiver",
    "RtpStream",
    "parse_rtp",
]
