from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.simulator.rtp.packet import RtpPacket, parse_rtp

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 63),
    sequence=st.integers(0, 2**16 - 1),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=400),
    marker=st.booleans(),
)


@given(packets)
def test_what_was_written_is_read(packet: RtpPacket) -> None:
    assert parse_rtp(bytes(packet)) == packet


def test_the_bytes_are_those_of_the_standard() -> None:
    packet = RtpPacket(
        payload_type=101, sequence=0x1234, timestamp=0x89ABCDEF, ssrc=0x01020304, payload=b"xy", marker=True
    )
    assert bytes(packet) == bytes.fromhex("80e51234 89abcdef 01020304 7879")


def test_padding_sources_and_extension_are_taken_off() -> None:
    header = bytes.fromhex("b2000001 00000002 00000003")
    sources = bytes(8)
    extension = bytes.fromhex("beef0001 00000000")
    packet = parse_rtp(header + sources + extension + b"sound" + b"\x00\x00\x03")
    assert packet is not None
    assert packet.payload == b"sound"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80" * 11,
        b"\x00" * 20,
        bytes.fromhex("80c8000100000002000000030000"),
        bytes.fromhex("90000001 00000002 00000003"),
        bytes.fromhex("90000001 00000002 00000003 beefffff"),
        bytes.fromhex("8f000001 00000002 00000003"),
        bytes.fromhex("a0000001 00000002 00000003 00"),
        bytes.fromhex("a0000001 00000002 00000003 ff"),
        b"OPTIONS sip:x SIP/2.0\r\n\r\n",
    ],
    ids=[
        "nothing", "short", "version", "rtcp", "no extension", "long extension", "sources", "padding 0",
        "padding 255", "sip",
    ],
)  # fmt: skip
def test_what_is_no_rtp_is_nothing(data: bytes) -> None:
    assert parse_rtp(data) is None


@given(st.binary(max_size=80))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    packet = parse_rtp(data)
    assert packet is None or len(packet.payload) <= len(data) - 12
