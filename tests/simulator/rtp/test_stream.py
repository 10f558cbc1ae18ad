"""Two streams over real sockets, and one against a raw socket that plays the peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sipagent.audio.g711 import pcmu_to_pcma
from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.dtmf import parse_telephone_event
from sipagent.simulator.rtp import Codec, Pacer, RtpPacket, RtpStream, parse_rtp
from sipagent.simulator.rtp.receiver import SILENT_FRAME
from sipagent.simulator.srtp import SrtpPair, new_master_key
from tests.support.eventually import eventually

LOUD = b"\x10" * 160
DEADLINE_S = 30


@pytest.fixture
async def pacer() -> AsyncIterator[Pacer]:
    async with Pacer() as running:
        yield running


@pytest.fixture
async def opened(pacer: Pacer) -> AsyncIterator[Callable[..., Awaitable[RtpStream]]]:
    """Opens streams that are closed behind the test."""
    streams: list[RtpStream] = []

    async def open_stream(
        *, codec: Codec = "PCMU", events: int | None = 101, srtp: SrtpPair | None = None, muted: bool = False
    ) -> RtpStream:
        stream = await RtpStream.open(
            "127.0.0.1",
            pacer=pacer,
            payload_type=0 if codec == "PCMU" else 8,
            codec=codec,
            telephone_event=events,
            srtp=srtp,
            muted=muted,
        )
        streams.append(stream)
        return stream

    yield open_stream
    for stream in streams:
        await stream.aclose()


Opened = Callable[..., Awaitable[RtpStream]]


class Peer(asyncio.DatagramProtocol):
    """A bare socket that speaks RTP by hand."""

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: object) -> None:
        packet = parse_rtp(data)
        assert packet is not None
        self.packets.append(packet)

    @property
    def port(self) -> int:
        assert self.transport is not None
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def send(self, data: bytes, port: int) -> None:
        assert self.transport is not None
        self.transport.sendto(data, ("127.0.0.1", port))


@asynccontextmanager
async def bare_peer() -> AsyncIterator[Peer]:
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(
        Peer, local_addr=("127.0.0.1", 0)
    )
    try:
        yield peer
    finally:
        transport.close()
        await asyncio.sleep(0)


def connect(one: RtpStream, two: RtpStream) -> None:
    one.set_remote("127.0.0.1", two.local_port)
    two.set_remote("127.0.0.1", one.local_port)
    one.start()
    two.start()


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
async def test_what_is_played_is_heard(opened: Opened, codec: Codec) -> None:
    one, two = await opened(codec=codec), await opened(codec=codec)
    heard = bytearray()
    two.on_audio = heard.extend
    happened: list[str] = []
    stopped = asyncio.Event()
    one.on_playback_started = lambda: happened.append("started")
    one.on_playback_stopped = stopped.set
    connect(one, two)
    one.play(LOUD * 10)
    one.finish()
    assert one.playing_ms == 200
    async with asyncio.timeout(DEADLINE_S):
        await stopped.wait()
        await eventually(lambda: heard.count(LOUD[0]) >= 1600)
    assert heard.count(LOUD[0]) == len(LOUD * 10)
    assert happened == ["started"]
    statistics = two.statistics()
    assert statistics.frames_lost == 0
    assert statistics.frames_received >= 10
    assert one.statistics().frames_sent >= 10


async def test_packets_are_those_of_the_standard(opened: Opened) -> None:
    stream = await opened(codec="PCMA")
    async with bare_peer() as peer:
        stream.set_remote("127.0.0.1", peer.port)
        stream.start()
        await eventually(lambda: len(peer.packets) >= 3)
        stream.play(LOUD * 3)
        stream.finish()
        await eventually(lambda: any(packet.payload == pcmu_to_pcma(LOUD) for packet in peer.packets))
        await eventually(lambda: peer.packets[-1].payload == pcmu_to_pcma(SILENT_FRAME))
    packets = peer.packets
    assert {packet.payload_type for packet in packets} == {8}
    assert len({packet.ssrc for packet in packets}) == 1
    for before, after in zip(packets, packets[1:], strict=False):
        assert (after.sequence - before.sequence) % 2**16 == 1
        assert (after.timestamp - before.timestamp) % 2**32 == 160
    marked = [packet.payload for packet in packets if packet.marker]
    assert marked == [pcmu_to_pcma(LOUD)], "the marker stands at the first frame of the burst"


async def test_clearing_stops_at_once_and_tells_what_was_sent(opened: Opened) -> None:
    one, two = await opened(), await opened()
    stopped = asyncio.Event()
    heard = bytearray()
    two.on_audio = heard.extend
    one.on_playback_stopped = stopped.set
    connect(one, two)
    one.play(LOUD * 500)
    one.finish()
    await eventually(lambda: LOUD in heard)
    sent_ms = one.clear()
    assert 0 < sent_ms < 10_000
    assert one.playing_ms == 0
    await eventually(lambda: bytes(heard[-160:]) == SILENT_FRAME)
    assert heard.count(LOUD[0]) == sent_ms * 8
    assert not stopped.is_set()


async def test_keys_arrive_once_each_and_audio_waits(opened: Opened) -> None:
    one, two = await opened(), await opened()
    digits: list[str] = []
    heard = bytearray()
    two.on_digit = digits.append
    two.on_audio = heard.extend
    connect(one, two)
    one.send_digit("115#")
    one.play(LOUD * 5)
    one.finish()
    assert one.sending_digits
    await eventually(lambda: not one.sending_digits)
    await eventually(lambda: heard.count(LOUD[0]) == len(LOUD * 5))
    assert digits == ["1", "1", "5", "#"]
    assert two.statistics().digits == "115#"


async def test_a_key_is_sent_as_evenly_spaced_packets(opened: Opened) -> None:
    stream = await opened(events=96)
    async with bare_peer() as peer:
        stream.set_remote("127.0.0.1", peer.port)
        stream.start()
        stream.send_digit("7")
        await eventually(lambda: len([p for p in peer.packets if p.payload_type == 96]) == 10)
        await eventually(lambda: not stream.sending_digits)
    events = [packet for packet in peer.packets if packet.payload_type == 96]
    reports = [parse_telephone_event(packet.payload) for packet in events]
    assert [report.duration for report in reports if report] == [*range(160, 1281, 160), 1280, 1280]
    assert [report.ended for report in reports if report] == [False] * 7 + [True] * 3
    assert {report.digit for report in reports if report} == {"7"}
    assert len({packet.timestamp for packet in events}) == 1
    assert [packet.marker for packet in events] == [True] + [False] * 9
    following = next(
        packet for packet in peer.packets if packet.sequence == (events[-1].sequence + 1) % 2**16
    )
    assert (following.timestamp - events[0].timestamp) % 2**32 == 160 * 10


async def test_keys_need_an_agreement(opened: Opened) -> None:
    stream = await opened(events=None)
    with pytest.raises(SimulatorError, match="did not agree"):
        stream.send_digit("1")


async def test_encrypted_audio_is_heard_and_strangers_are_not(opened: Opened) -> None:
    ours, theirs = new_master_key(), new_master_key()
    suite = "AES_CM_128_HMAC_SHA1_80"
    one = await opened(srtp=SrtpPair(suite=suite, send_key=ours, receive_key=theirs))
    two = await opened(srtp=SrtpPair(suite=suite, send_key=theirs, receive_key=ours))
    heard = bytearray()
    two.on_audio = heard.extend
    connect(one, two)
    one.play(LOUD * 3)
    one.finish()
    await eventually(lambda: heard.count(LOUD[0]) == len(LOUD * 3))
    async with bare_peer() as stranger:
        before = two.statistics().frames_received
        forged = RtpPacket(payload_type=0, sequence=1, timestamp=0, ssrc=1, payload=b"\x20" * 160)
        for _ in range(5):
            stranger.send(bytes(forged), two.local_port)
        await eventually(lambda: two.statistics().frames_received >= before + 10)
    assert 0x20 not in heard
    assert two.remote == ("127.0.0.1", one.local_port)


async def test_sending_follows_where_packets_come_from(opened: Opened) -> None:
    stream = await opened()
    async with bare_peer() as described, bare_peer() as real:
        stream.set_remote("127.0.0.1", described.port)
        stream.start()
        await eventually(lambda: described.packets)
        real.send(
            bytes(RtpPacket(payload_type=0, sequence=1, timestamp=0, ssrc=1, payload=LOUD)), stream.local_port
        )
        await eventually(lambda: real.packets)
        assert stream.remote == ("127.0.0.1", real.port)
        assert stream.last_packet_at is not None


async def test_time_goes_on_when_nothing_comes(opened: Opened) -> None:
    stream = await opened()
    frames: list[bytes] = []
    stream.on_audio = frames.append
    stream.start()
    await eventually(lambda: len(frames) >= 5)
    assert set(frames) == {SILENT_FRAME}
    assert stream.statistics().frames_received == 0
    assert stream.last_packet_at is None


async def test_hold_and_stall_send_nothing_while_playing_goes_on(opened: Opened) -> None:
    stream = await opened()
    sent: list[bytes] = []
    stream.on_frame_sent = sent.append
    stopped = asyncio.Event()
    stream.on_playback_stopped = stopped.set
    async with bare_peer() as peer:
        stream.set_remote("127.0.0.1", peer.port)
        stream.hold(True)
        stream.stall(True)
        stream.start()
        stream.play(LOUD * 3)
        stream.finish()
        async with asyncio.timeout(DEADLINE_S):
            await stopped.wait()
        stream.hold(False)
        await eventually(lambda: len(sent) > 6)
        assert not peer.packets, "still stalled"
        stream.stall(False)
        await eventually(lambda: peer.packets)
    assert sent.count(LOUD) == 3
    assert stream.statistics().frames_sent < len(sent)


async def test_a_muted_stream_sends_silence_and_keeps_its_times(opened: Opened) -> None:
    one, two = await opened(muted=True), await opened()
    heard = bytearray()
    two.on_audio = heard.extend
    stopped = asyncio.Event()
    one.on_playback_stopped = stopped.set
    connect(one, two)
    one.play(LOUD * 3)
    one.finish()
    async with asyncio.timeout(DEADLINE_S):
        await stopped.wait()
    await eventually(lambda: len(heard) > 1600)
    assert set(heard) == {0xFF}


async def test_a_renegotiated_codec_is_used_both_ways(opened: Opened) -> None:
    one, two = await opened(), await opened()
    for stream in (one, two):
        stream.renegotiate(payload_type=8, codec="PCMA", telephone_event=97)
    heard = bytearray()
    digits: list[str] = []
    two.on_audio = heard.extend
    two.on_digit = digits.append
    connect(one, two)
    one.send_digit("9")
    one.play(LOUD)
    one.finish()
    await eventually(lambda: LOUD in bytes(heard))
    assert digits == ["9"]
    assert two.media_format.codec == "PCMA"


async def test_nowhere_to_send_is_no_error(opened: Opened) -> None:
    stream = await opened()
    for host, port in (("0.0.0.0", 4000), ("127.0.0.1", 0)):
        stream.set_remote(host, port)
        assert stream.remote is None
    with pytest.raises(SdpError, match="no IP address"):
        stream.set_remote("media.example", 4000)


async def test_a_port_that_cannot_be_had_is_an_error(pacer: Pacer) -> None:
    with pytest.raises(SimulatorError, match="no UDP port on 192.0.2.1"):
        await RtpStream.open("192.0.2.1", pacer=pacer, payload_type=0, codec="PCMU", telephone_event=None)


async def test_strays_before_and_during_a_call_are_ignored(opened: Opened) -> None:
    stream = await opened()
    frames: list[bytes] = []
    stream.on_audio = frames.append
    packet = bytes(RtpPacket(payload_type=0, sequence=1, timestamp=0, ssrc=1, payload=LOUD))
    async with bare_peer() as peer:
        peer.send(packet, stream.local_port)
        await asyncio.sleep(0.05)
        stream.start()
        peer.send(b"OPTIONS sip:x SIP/2.0\r\n\r\n", stream.local_port)
        peer.send(bytes(4000), stream.local_port)
        peer.send(bytes.fromhex("80c80001000000020000000300000000"), stream.local_port)
        await eventually(lambda: len(frames) > 2)
    assert LOUD not in frames
    assert stream.statistics().frames_received == 0


async def test_closing_is_final_and_idempotent(opened: Opened) -> None:
    stream = await opened()
    sent: list[bytes] = []
    stream.on_frame_sent = sent.append
    stream.start()
    stream.start()
    await eventually(lambda: sent)
    await stream.aclose()
    count = len(sent)
    await stream.aclose()
    stream.start()
    await asyncio.sleep(0.05)
    assert len(sent) == count
