"""A caller from another project, which shares no code with ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosipua
import pytest
from aiortp import RTPSession

from sipagent.simulator.leg import LegEnd
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.leg import LegSettings, SipLeg
from tests.simulator.sip.peer import WAIT_S
from tests.simulator.sip.rig import Rig, endpoint
from tests.simulator.sip.test_leg import LOUD, Notes
from tests.support.eventually import eventually


class Stranger:
    """A telephone of the other project: its signalling, and one RTP session."""

    def __init__(self, remote: tuple[str, int], rtp: RTPSession, rtp_port: int) -> None:
        self._remote = remote
        self._rtp_port = rtp_port
        self._transport = aiosipua.UdpSipTransport(local_addr=("127.0.0.1", 0))
        self.rtp = rtp
        self.uac = aiosipua.SipUAC(self._transport)
        self.uas = aiosipua.SipUAS(self._transport, uac=self.uac)
        self.hung_up = asyncio.Event()
        self.heard = asyncio.Event()
        self.referred: asyncio.Queue[str] = asyncio.Queue()
        self.uas.on_bye = lambda call, request: self.hung_up.set()
        self.uas.on_refer = self._refer
        rtp.on_audio = self._audio

    async def start(self) -> None:
        await self.uas.start()
        bound = self._transport._udp_transport
        assert bound is not None
        # It names this address in Via and Contact, and does not ask the system which port it got.
        self._transport.local_addr = bound.get_extra_info("sockname")

    async def stop(self) -> None:
        await self.rtp.close()
        await self.uas.stop()

    def dial(self, **headers: str) -> aiosipua.OutgoingCall:
        return self.uac.send_invite(
            "sip:+15550100001@carrier.test",
            f"sip:proj_demo@{self._remote[0]}:{self._remote[1]}",
            self._remote,
            aiosipua.build_sdp("127.0.0.1", self._rtp_port, 0, "PCMU", dtmf_payload_type=101),
            extra_headers=headers,
        )

    def talk_to(self, call: aiosipua.OutgoingCall) -> None:
        """Send our audio where the answer says."""
        assert call.sdp_answer is not None
        found = re.search(r"m=audio (\d+) RTP/AVP 0 101", aiosipua.serialize_sdp(call.sdp_answer))
        assert found is not None
        self.rtp.update_remote(("127.0.0.1", int(found[1])))

    def _audio(self, pcm: bytes, timestamp: int) -> None:
        if any(pcm):
            self.heard.set()

    def _refer(self, call: aiosipua.IncomingCall, target: str) -> None:
        self.referred.put_nowait(target)
        aiosipua.notify_refer(call, 200, "OK")


@asynccontextmanager
async def strangers_call() -> AsyncIterator[tuple[Rig, Pacer, Stranger]]:
    # Its datagram protocols assert on the class of their transport, in vain on CPython 3.11: not our news.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with Pacer() as pacer, endpoint() as rig:
        rtp = await RTPSession.create(("127.0.0.1", 0), rig.remote, payload_type=0)
        bound = rtp._rtp_transport
        assert bound is not None
        assert bound._transport is not None
        port = bound._transport.get_extra_info("sockname")[1]
        stranger = Stranger(rig.remote, rtp, port)
        await stranger.start()
        try:
            async with asyncio.timeout(3 * WAIT_S):
                yield rig, pacer, stranger
        finally:
            await stranger.stop()


async def answered(rig: Rig, pacer: Pacer) -> tuple[SipLeg, Notes]:
    leg = await SipLeg.open(await rig.arrived.get(), pacer=pacer, settings=LegSettings())
    notes = Notes()
    leg.listen(notes)
    leg.ring()
    leg.answer()
    return leg, notes


async def test_a_stranger_talks_presses_a_key_and_hangs_up() -> None:
    async with strangers_call() as (rig, pacer, stranger):
        call = stranger.dial(**{"X-Room": "blue"})
        leg, notes = await answered(rig, pacer)
        await call.wait_answered()
        assert ("X-Room", "blue") in leg.sip_headers
        stranger.talk_to(call)
        for _ in range(10):
            stranger.rtp.send_audio_auto(LOUD)
        await notes.until(lambda: notes.audio.count(LOUD) == 10)
        stranger.rtp.send_dtmf("7", timestamp=160_000)
        await notes.until(lambda: notes.log == [("digit", "7")])
        leg.play(LOUD * 20)
        leg.finish_playing()
        await stranger.heard.wait()
        call.hangup(stranger.uac)
        await notes.until(lambda: LegEnd.HUNG_UP in notes.log)
        await leg.aclose()


async def test_a_stranger_is_put_on_hold_by_itself() -> None:
    async with strangers_call() as (rig, pacer, stranger):
        call = stranger.dial()
        leg, notes = await answered(rig, pacer)
        await call.wait_answered()
        offer = call.sdp_offer
        assert offer is not None
        offer.media[0].attributes.pop("sendrecv")
        offer.media[0].attributes["sendonly"] = []
        stranger.uac.send_reinvite(call.dialog, offer, stranger._remote)
        await eventually(lambda: b"a=sendonly" in leg.call.remote_sdp)
        sent = leg.statistics().frames_sent
        await asyncio.sleep(0.1)
        assert leg.statistics().frames_sent == sent
        assert notes.log == []
        await leg.aclose()


async def test_a_stranger_hears_our_goodbye() -> None:
    async with strangers_call() as (rig, pacer, stranger):
        call = stranger.dial()
        leg, notes = await answered(rig, pacer)
        await call.wait_answered()
        leg.hang_up()
        await stranger.hung_up.wait()
        assert notes.log == []
        await leg.aclose()


async def test_a_stranger_is_transferred() -> None:
    async with strangers_call() as (rig, pacer, stranger):
        call = stranger.dial()
        leg, notes = await answered(rig, pacer)
        await call.wait_answered()
        assert await leg.refer("sip:human@human.test") == 202
        assert await stranger.referred.get() == "sip:human@human.test"
        await notes.until(lambda: notes.log == [("refer", 100), ("refer", 200)])
        await leg.aclose()


async def test_a_stranger_is_refused() -> None:
    async with strangers_call() as (rig, _, stranger):
        call = stranger.dial()
        incoming = await rig.arrived.get()
        incoming.reject(603)
        with pytest.raises(RuntimeError, match="603 Decline"):
            await call.wait_answered()


async def test_a_stranger_gives_up() -> None:
    async with strangers_call() as (rig, pacer, stranger):
        call = stranger.dial()
        leg = await SipLeg.open(await rig.arrived.get(), pacer=pacer, settings=LegSettings())
        notes = Notes()
        leg.listen(notes)
        leg.ring()
        ringing = asyncio.Event()
        call.on_ringing = lambda call: ringing.set()
        await ringing.wait()
        call.cancel(stranger.uac)
        await notes.until(lambda: notes.log == [LegEnd.CANCELLED])
        await leg.aclose()


async def test_many_strangers_at_once_are_many_calls() -> None:
    async with strangers_call() as (rig, pacer, stranger):
        calls = [stranger.dial() for _ in range(20)]
        legs = [await answered(rig, pacer) for _ in calls]
        for call in calls:
            await call.wait_answered()
        assert len({leg.call.headers for leg, _ in legs}) == 20
        for call in calls:
            call.hangup(stranger.uac)
        for leg, notes in legs:
            await notes.until(lambda notes=notes: notes.log == [LegEnd.HUNG_UP])  # type: ignore[misc]
            await leg.aclose()
