"""A leg against a telephone made of text and raw RTP packets."""

from __future__ import annotations

import asyncio
import base64
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pylibsrtp
import pytest

from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.leg import CallLeg, LegEnd
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.leg import LegSettings, SipLeg
from sipagent.simulator.sip.transaction import Timers
from tests.simulator.sip.peer import WAIT_S, Peer, header, tag_of
from tests.simulator.sip.rig import QUICK, STEADY, endpoint

LOUD = b"\x10\x90" * 80
"""20 ms of a tone, far from silence."""
SILENCE = b"\xff" * 160


class Media(asyncio.DatagramProtocol):
    """The telephone's RTP port."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.arrived = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._sequence = 0

    @classmethod
    async def open(cls) -> Media:
        _, media = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        return media

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.packets.append(data)
        self.arrived.set()

    @property
    def transport(self) -> asyncio.DatagramTransport:
        assert self._transport is not None
        return self._transport

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def packet(self, payload: bytes, *, payload_type: int = 0, timestamp: int | None = None) -> bytes:
        self._sequence += 1
        stamp = self._sequence * 160 if timestamp is None else timestamp
        return struct.pack("!BBHII", 0x80, payload_type, self._sequence, stamp, 77) + payload

    def send(self, packet: bytes, port: int) -> None:
        self.transport.sendto(packet, ("127.0.0.1", port))

    async def until(self, condition: Callable[[bytes], bool]) -> bytes:
        """The first packet, past or to come, that fulfils the condition."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for packet in self.packets:
                    if condition(packet):
                        return packet
                self.arrived.clear()
                await self.arrived.wait()


@dataclass
class Notes:
    """A `LegListener` that writes down."""

    audio: list[bytes] = field(default_factory=list)
    log: list[object] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def caller_audio(self, ulaw: bytes) -> None:
        self.audio.append(ulaw)
        self.changed.set()

    def caller_speech_started(self) -> None:
        raise AssertionError("real callers are judged by their audio")

    def caller_speech_stopped(self, transcript: str) -> None:
        raise AssertionError("real callers are judged by their audio")

    def _note(self, what: object) -> None:
        self.log.append(what)
        self.changed.set()

    def caller_digit(self, digit: str) -> None:
        self._note(("digit", digit))

    def caller_ended(self, end: LegEnd) -> None:
        self._note(end)

    def playback_started(self) -> None:
        self._note("started")

    def playback_stopped(self) -> None:
        self._note("stopped")

    def refer_progress(self, status: int) -> None:
        self._note(("refer", status))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Telephone:
    """Everything at the caller's side of one call."""

    peer: Peer
    media: Media
    leg: SipLeg
    notes: Notes
    tag: str = ""
    answer: str = ""

    def offer(self, *attributes: str, protocol: str = "RTP/AVP", codec: int = 0) -> str:
        return offer_of(self.media.port, *attributes, protocol=protocol, codec=codec)

    @property
    def leg_port(self) -> int:
        found = re.search(r"m=audio (\d+)", self.answer)
        assert found is not None
        return int(found[1])

    async def accept(self) -> None:
        """Have the leg answer, and acknowledge it."""
        self.leg.answer()
        ok = await self.peer.expect("SIP/2.0 200")
        self.tag, self.answer = tag_of(ok), ok.partition("\r\n\r\n")[2]
        self.peer.send(self.peer.request("ACK", branch="z9hG4bK-ack", to_tag=self.tag))

    async def reinvite(self, cseq: int, body: str) -> str:
        branch = f"z9hG4bK-re{cseq}"
        self.peer.send(self.peer.request("INVITE", branch=branch, cseq=cseq, to_tag=self.tag, body=body))
        await self.peer.expect("SIP/2.0 100")
        response = await self.peer.receive()
        self.peer.send(self.peer.request("ACK", branch=branch + "a", cseq=cseq, to_tag=self.tag))
        return response


def offer_of(port: int, *attributes: str, protocol: str = "RTP/AVP", codec: int = 0) -> str:
    lines = [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
        f"m=audio {port} {protocol} {codec} 96", "a=rtpmap:96 telephone-event/8000",
        *(f"a={attribute}" for attribute in attributes),
    ]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


@asynccontextmanager
async def calling(
    *attributes: str,
    protocol: str = "RTP/AVP",
    codec: int = 0,
    settings: LegSettings | None = None,
    timers: Timers = STEADY,
    body: str | None = None,
) -> AsyncIterator[Telephone]:
    """A call that has come in and was negotiated, but not answered."""
    async with Pacer() as pacer, endpoint(timers=timers) as rig:
        peer, media = await Peer.open(rig.remote), await Media.open()
        offer = offer_of(media.port, *attributes, protocol=protocol, codec=codec) if body is None else body
        peer.send(
            peer.request("INVITE", body=offer, extra="X-Bytes: caf\udce9\r\n").encode(
                "utf-8", "surrogateescape"
            )
        )
        async with asyncio.timeout(WAIT_S):
            call = await rig.arrived.get()
        try:
            leg = await SipLeg.open(call, pacer=pacer, settings=settings or LegSettings())
            notes = Notes()
            leg.listen(notes)
            await peer.expect("SIP/2.0 100")
            yield Telephone(peer=peer, media=media, leg=leg, notes=notes)
            await leg.aclose()
        finally:
            peer.close()
            media.transport.close()


def payload_type(packet: bytes) -> int:
    return packet[1] & 0x7F


async def test_a_leg_is_a_call_leg() -> None:
    async with calling() as phone:
        leg: CallLeg = phone.leg
        assert leg.media_security == "rtp"
        assert ("X-Bytes", "caf\ufffd") in leg.sip_headers, "bytes that are no UTF-8 can still become JSON"


async def test_sound_in_both_directions() -> None:
    async with calling() as phone:
        phone.leg.ring()
        await phone.peer.expect("SIP/2.0 180")
        await phone.accept()
        assert "telephone-event/8000" in phone.answer
        for _ in range(6):
            phone.media.send(phone.media.packet(LOUD), phone.leg_port)
        await phone.notes.until(lambda: phone.notes.audio.count(LOUD) == 6)
        phone.leg.play(LOUD * 3)
        phone.leg.finish_playing()
        await phone.media.until(lambda packet: packet[12:] == LOUD)
        await phone.notes.until(lambda: phone.notes.log == ["started", "stopped"])
        statistics = phone.leg.statistics()
        assert statistics.frames_received == 6
        assert statistics.frames_sent >= 3


async def test_clearing_reports_what_was_sent_and_nothing_more() -> None:
    async with calling() as phone:
        await phone.accept()
        assert phone.leg.clear_playback() == 0
        phone.leg.play(LOUD * 500)
        phone.leg.finish_playing()
        await phone.media.until(lambda packet: packet[12:] == LOUD)
        assert 20 <= phone.leg.clear_playback() < 10_000
        phone.leg.play(LOUD)
        phone.leg.finish_playing()
        await phone.notes.until(lambda: phone.notes.log == ["started", "started", "stopped"])


async def test_a_law_is_spoken_on_the_wire_only() -> None:
    async with calling(codec=8) as phone:
        await phone.accept()
        assert "a=rtpmap:8 PCMA/8000" in phone.answer
        phone.leg.play(LOUD)
        phone.leg.finish_playing()
        packet = await phone.media.until(lambda packet: packet[12:] not in {LOUD, b"\xd5" * 160})
        assert payload_type(packet) == 8
        phone.media.send(phone.media.packet(packet[12:], payload_type=8), phone.leg_port)
        await phone.notes.until(lambda: any(frame != SILENCE for frame in phone.notes.audio))
        frame = next(frame for frame in phone.notes.audio if frame != SILENCE)
        # mu-law to A-law and back is not exact, but close.
        assert sum(abs(a - b) for a, b in zip(frame, LOUD, strict=True)) < 4 * 160


async def test_keys_are_heard_with_the_payload_type_of_the_offer() -> None:
    async with calling() as phone:
        await phone.accept()
        for ended in (0, 0, 0x80, 0x80, 0x80):
            event = struct.pack("!BBH", 11, ended | 10, 160)
            phone.media.send(phone.media.packet(event, payload_type=96, timestamp=800), phone.leg_port)
        await phone.notes.until(lambda: phone.notes.log == [("digit", "#")])
        assert phone.leg.statistics().digits == "#"


async def test_hold_and_resume() -> None:
    async with calling() as phone:
        await phone.accept()
        await phone.media.until(lambda packet: True)
        response = await phone.reinvite(2, phone.offer("sendonly"))
        assert "a=recvonly" in response
        phone.media.packets.clear()
        phone.media.send(phone.media.packet(LOUD), phone.leg_port)
        await phone.notes.until(lambda: LOUD in phone.notes.audio)
        sent = phone.leg.statistics().frames_sent
        await asyncio.sleep(0.1)
        assert phone.leg.statistics().frames_sent == sent
        response = await phone.reinvite(3, phone.offer())
        assert "a=sendrecv" in response
        await phone.media.until(lambda packet: True)
        again = await phone.reinvite(4, phone.offer())
        versions = [
            int(found[1])
            for text in (phone.answer, response, again)
            if (found := re.search(r"o=- \d+ (\d+) ", text))
        ]
        assert versions == [1, 3, 3], "only a description that differs has a new version"


async def test_media_follow_a_new_address_and_codec() -> None:
    async with calling() as phone:
        await phone.accept()
        elsewhere = await Media.open()
        response = await phone.reinvite(2, offer_of(elsewhere.port, codec=8))
        assert "a=rtpmap:8 PCMA/8000" in response
        assert payload_type(await elsewhere.until(lambda packet: True)) == 8
        elsewhere.transport.close()


async def test_a_change_we_cannot_follow_is_refused_and_the_call_goes_on() -> None:
    async with calling() as phone:
        await phone.accept()
        for cseq, body in (
            (2, phone.offer(codec=9)),
            (3, phone.offer().replace("IP4 127.0.0.1\r\nt=", "IP4 phone.example.test\r\nt=")),
            (4, "nonsense"),
        ):
            assert (await phone.reinvite(cseq, body)).startswith("SIP/2.0 488")
        phone.media.packets.clear()
        await phone.media.until(lambda packet: True)
        assert phone.notes.log == []


async def test_an_invite_without_offer_gets_ours() -> None:
    async with calling(body="") as phone:
        phone.leg.answer()
        ok = await phone.peer.expect("SIP/2.0 200")
        assert "a=rtpmap:0 PCMU/8000" in ok
        assert "a=rtpmap:8 PCMA/8000" in ok
        phone.peer.send(
            phone.peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok), body=phone.offer(codec=8))
        )
        assert payload_type(await phone.media.until(lambda packet: True)) == 8


async def test_an_answer_we_cannot_use_ends_the_call() -> None:
    async with calling(body="") as phone:
        phone.leg.answer()
        ok = await phone.peer.expect("SIP/2.0 200")
        body = phone.offer(codec=9)
        phone.peer.send(phone.peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok), body=body))
        await phone.notes.until(lambda: phone.notes.log == [LegEnd.FAILED])
        await phone.peer.expect("BYE")


async def test_an_offer_may_be_asked_for_later() -> None:
    async with calling() as phone:
        await phone.accept()
        response = await phone.reinvite(2, "")
        assert f"m=audio {phone.leg_port} RTP/AVP 0 8 101" in response


# Encryption

KEY = bytes(range(30))


def inline(key: bytes) -> str:
    return base64.b64encode(key).decode()


def opened(packet: bytes, key_line: str) -> bytes:
    session = pylibsrtp.Session(
        policy=pylibsrtp.Policy(
            key=base64.b64decode(key_line),
            ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND,
            srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        )
    )
    return bytes(session.unprotect(packet))


async def test_encrypted_sound_in_both_directions() -> None:
    crypto = f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{inline(KEY)}"
    async with calling(crypto, protocol="RTP/SAVP") as phone:
        assert phone.leg.media_security == "srtp"
        await phone.accept()
        found = re.search(r"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:(\S+)", phone.answer)
        assert found is not None
        assert inline(KEY) not in phone.answer
        packet = await phone.media.until(lambda packet: True)
        assert len(packet) == 12 + 160 + 10
        assert opened(packet, found[1])[12:] == SILENCE
        sender = pylibsrtp.Session(
            policy=pylibsrtp.Policy(
                key=KEY,
                ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
                srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
            )
        )
        phone.media.send(phone.media.packet(LOUD), phone.leg_port)
        phone.media.send(sender.protect(phone.media.packet(LOUD)), phone.leg_port)
        await phone.notes.until(lambda: phone.notes.audio.count(LOUD) == 1)
        assert phone.leg.statistics().frames_received == 1, "the packet in the clear was not believed"

        again = await phone.reinvite(2, phone.offer(crypto, "sendonly", protocol="RTP/SAVP"))
        assert found[1] in again, "the same key of theirs keeps ours"
        other = crypto.replace(inline(KEY), inline(bytes(30)))
        rekeyed = await phone.reinvite(3, phone.offer(other, protocol="RTP/SAVP"))
        assert "a=crypto:1" in rekeyed
        assert found[1] not in rekeyed
        assert (await phone.reinvite(4, phone.offer())).startswith("SIP/2.0 488"), (
            "no way back into the clear"
        )


# What is refused


@pytest.mark.parametrize(
    ("body", "settings"),
    [
        (offer_of(4000, codec=9), LegSettings()),
        (offer_of(4000), LegSettings(srtp="required")),
        (offer_of(4000, protocol="RTP/SAVP"), LegSettings()),
        (offer_of(4000), LegSettings(codecs=("PCMA",))),
        (offer_of(4000).replace("c=IN IP4 127.0.0.1", "c=IN IP4 phone.example.test"), LegSettings()),
        ("nonsense", LegSettings()),
    ],
)
async def test_an_offer_we_cannot_answer_is_a_488(body: str, settings: LegSettings) -> None:
    async with Pacer() as pacer, endpoint() as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=body))
        async with asyncio.timeout(WAIT_S):
            call = await rig.arrived.get()
        with pytest.raises(SdpError):
            await SipLeg.open(call, pacer=pacer, settings=settings)
        await peer.expect("SIP/2.0 488")
        assert call.is_over
        peer.close()


async def test_without_a_port_the_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Pacer() as pacer, endpoint() as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=offer_of(4000)))
        async with asyncio.timeout(WAIT_S):
            call = await rig.arrived.get()
        monkeypatch.setattr(type(call), "bind_host", "192.0.2.1")
        with pytest.raises(SimulatorError):
            await SipLeg.open(call, pacer=pacer, settings=LegSettings())
        await peer.expect("SIP/2.0 500")
        peer.close()


async def test_rejecting() -> None:
    async with calling() as phone:
        phone.leg.reject(603)
        await phone.peer.expect("SIP/2.0 603 Decline")
        phone.leg.answer()
        phone.leg.play(LOUD)
        assert phone.notes.log == []


# The end


async def test_hanging_up_is_silent() -> None:
    async with calling() as phone:
        await phone.accept()
        phone.leg.hang_up()
        phone.leg.hang_up()
        bye = await phone.peer.expect("BYE")
        phone.peer.send(phone.peer.ok_to(bye))
        assert phone.notes.log == []
        assert phone.leg.statistics().frames_lost == 0, "statistics can be read after the end"


async def test_the_caller_hangs_up() -> None:
    async with calling() as phone:
        await phone.accept()
        phone.peer.send(phone.peer.request("BYE", branch="z9hG4bK-2", cseq=2, to_tag=phone.tag))
        await phone.notes.until(lambda: phone.notes.log == [LegEnd.HUNG_UP])
        assert await phone.leg.refer("sip:a@b.test") == 481


async def test_the_caller_gives_up_before_anyone_listens() -> None:
    async with Pacer() as pacer, endpoint() as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=offer_of(4000)))
        async with asyncio.timeout(WAIT_S):
            call = await rig.arrived.get()
        leg = await SipLeg.open(call, pacer=pacer, settings=LegSettings())
        peer.send(peer.request("CANCEL"))
        await peer.expect("SIP/2.0 487")
        notes = Notes()
        leg.listen(notes)
        assert notes.log == [LegEnd.CANCELLED]
        await leg.aclose()
        peer.close()


async def test_an_answer_never_acknowledged() -> None:
    async with calling(timers=QUICK) as phone:
        phone.leg.answer()
        await phone.notes.until(lambda: phone.notes.log == [LegEnd.ACK_TIMEOUT])


async def test_a_caller_who_sends_nothing_is_hung_up() -> None:
    async with calling(settings=LegSettings(media_timeout_s=0.2)) as phone:
        await phone.accept()
        await phone.notes.until(lambda: phone.notes.log == [LegEnd.MEDIA_TIMEOUT])
        await phone.peer.expect("BYE")


async def test_a_caller_on_hold_may_be_silent() -> None:
    async with calling("inactive", settings=LegSettings(media_timeout_s=0.1)) as phone:
        await phone.accept()
        await asyncio.sleep(0.4)
        assert phone.notes.log == []
        await phone.reinvite(2, phone.offer())
        await phone.notes.until(lambda: phone.notes.log == [LegEnd.MEDIA_TIMEOUT])


# Modes, faults, transfers


async def test_a_sink_counts_and_stays_silent() -> None:
    async with calling(settings=LegSettings(media="sink")) as phone:
        await phone.accept()
        phone.leg.play(LOUD * 3)
        phone.leg.finish_playing()
        phone.media.send(phone.media.packet(LOUD), phone.leg_port)
        await phone.notes.until(lambda: phone.notes.log == ["started", "stopped"])
        await phone.notes.until(lambda: LOUD in phone.notes.audio)
        await phone.media.until(lambda packet: True)
        assert {packet[12:] for packet in phone.media.packets} == {SILENCE}


async def test_stalled_sending() -> None:
    async with calling() as phone:
        await phone.accept()
        await phone.media.until(lambda packet: True)
        phone.leg.set_send_faults(stalled=True)
        sent = phone.leg.statistics().frames_sent
        await asyncio.sleep(0.1)
        assert phone.leg.statistics().frames_sent == sent
        phone.media.packets.clear()
        phone.leg.set_send_faults(stalled=False)
        await phone.media.until(lambda packet: True)


async def test_a_transfer_and_its_progress() -> None:
    async with calling() as phone:
        await phone.accept()
        referring = asyncio.ensure_future(phone.leg.refer("tel:+15550100001"))
        refer = await phone.peer.expect("REFER")
        assert header(refer, "Refer-To") == "<tel:+15550100001>"
        phone.peer.send(phone.peer.ok_to(refer, "202 Accepted"))
        assert await referring == 202
        extra = (
            "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
            "Content-Type: message/sipfrag\r\n"
        )
        notify = phone.peer.request(
            "NOTIFY", branch="z9hG4bK-n", cseq=2, to_tag=phone.tag, extra=extra, body="SIP/2.0 486 Busy Here"
        )
        phone.peer.send(notify)
        await phone.notes.until(lambda: phone.notes.log == [("refer", 486)])
