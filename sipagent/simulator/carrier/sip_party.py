"""A far end that is reached over real SIP and RTP: the Realtime API's address, a telephone, a PBX."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.carrier.party import PartyListener
from sipagent.simulator.carrier.record import Tape
from sipagent.simulator.phone.changes import Changes, end_task
from sipagent.simulator.phone.media import PhoneMedia
from sipagent.simulator.phone.settings import PhoneSettings
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.call import IncomingSipCall, OutgoingSipCall, SipCallListener, SipEnd
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.message import Response

MEDIA_TIMEOUT_S = 60.0
"""How long somebody who is connected may send no audio at all; then the leg is ended."""


class SipParty(SipCallListener):
    """One SIP dialog with its media, as a `Party` of a leg.

    `SipParty.dialling` makes one that will be called, `SipParty.calling` one that calls the carrier.
    """

    def __init__(self, media: PhoneMedia) -> None:
        self.tape = Tape()
        self.said = Tape()
        self.media = media
        self.sip_call_id: str | None = None
        self.final_status: int | None = None
        """Of the INVITE, once it is answered or refused."""
        self._sip: OutgoingSipCall | IncomingSipCall | None = None
        self._dial: _Dial | None = None
        self._listener: PartyListener
        self._over = False
        self._life: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        media.stream.on_audio = self._said_frame
        media.stream.on_digit = self._pressed
        media.stream.on_playback_stopped = _nothing

    @classmethod
    async def dialling(
        cls,
        endpoint: SipEndpoint,
        target_uri: str,
        *,
        from_uri: str,
        headers: Sequence[tuple[str, str]],
        pacer: Pacer,
        settings: PhoneSettings,
    ) -> SipParty:
        """One that `call` will dial from ``endpoint``. Raises `SimulatorError` without a port for audio."""
        party = cls(await PhoneMedia.open(pacer=pacer, settings=settings, changes=Changes()))
        party._dial = _Dial(endpoint, target_uri, from_uri, tuple(headers))
        return party

    @classmethod
    async def calling(cls, sip: IncomingSipCall, *, pacer: Pacer, settings: PhoneSettings) -> SipParty:
        """One that called us. Raises `SimulatorError` without a port for audio."""
        party = cls(await PhoneMedia.open(pacer=pacer, settings=settings, changes=Changes()))
        party._sip = sip
        party.sip_call_id = next((value for name, value in sip.headers if name.lower() == "call-id"), None)
        return party

    # Party

    def listen(self, listener: PartyListener) -> None:
        """As in `Party`."""
        self._listener = listener
        if isinstance(self._sip, IncomingSipCall):
            self._sip.listen(self)
            self._sip.ring()

    def call(self) -> None:
        """As in `Party`."""
        self._life = asyncio.create_task(self._connect(), name="sip party")

    def accept(self) -> None:
        """As in `Party`."""
        assert isinstance(self._sip, IncomingSipCall), "only who called us can be answered"
        if self._over or self._sip.is_over:
            return
        try:
            self._sip.answer(self.media.answer(self._sip.remote_sdp))
            self._flow()
        except SdpError:
            self._sip.reject(488)
            self._gone(488)

    def hear(self, ulaw: bytes) -> None:
        """As in `Party`."""
        if self._over:
            return
        self.tape.record(ulaw, asyncio.get_running_loop().time())
        self.media.stream.play(ulaw)

    def press(self, digits: str) -> None:
        """As in `Party`; without effect where keys were not agreed on."""
        try:
            self.media.press(digits)
        except SimulatorError:
            return

    def report_refer(self, sip_status: int) -> None:
        """As in `Party`."""
        if self._sip is not None:
            self._sip.notify_refer(sip_status)

    def release(self, sip_status: int = 200) -> None:
        """As in `Party`."""
        if self._over:
            return
        self._over = True
        self._hang_up(sip_status)

    async def aclose(self) -> None:
        """As in `Party`."""
        self.release()
        await end_task(self._life)
        await self.media.aclose()

    # SipCallListener

    def progressed(self, response: Response) -> None:
        """The INVITE was answered provisionally."""
        if response.status >= 180:
            self._listener.party_ringing()

    def reinvited(self, offer: bytes) -> bytes:
        """The peer changes the session."""
        return self.media.answer(offer) if offer else self.media.offer()

    def acknowledged(self, sdp: bytes) -> None:
        """The ACK came, perhaps with the answer to our offer."""
        if not sdp:
            return
        try:
            self.media.accept(sdp)
        except SdpError:
            self._hang_up(200)
            self._gone(488)

    def refer_requested(self, target_uri: str) -> int:
        """The peer wants to be replaced."""
        return self._listener.party_refers(target_uri)

    def ended(self, end: SipEnd) -> None:
        """The dialog is over."""
        if end is SipEnd.CANCELLED:
            self._gone(487)
        elif end is not SipEnd.REJECTED:
            # A refusal comes together with its status, in the task that waits for both.
            self._gone(200)

    # Inside

    async def _connect(self) -> None:
        dial = self._dial
        assert dial is not None, "only a party made by `dialling` can be called"
        try:
            sip = await dial.endpoint.dial(
                dial.target_uri,
                offer=self.media.offer(),
                from_uri=dial.from_uri,
                headers=dial.headers,
                listener=self,
            )
        except SimulatorError:
            self.final_status = 503
            self._gone(503)
            return
        self._sip = sip
        self.sip_call_id = next((value for name, value in sip.headers if name.lower() == "call-id"), None)
        if self._over:
            sip.bye()
            return
        response = await sip.final_response()
        self.final_status = response.status
        if response.status >= 300:
            self._gone(response.status)
            return
        try:
            self.media.accept(response.body)
        except SdpError:
            self.final_status = 488
            sip.bye()
            self._gone(488)
            return
        if not self._over:
            self._flow()
            self._listener.party_answered()

    def _keep_watch(self, since_s: float) -> None:
        """Look at intervals whether anything still comes: telephones vanish without a word."""
        loop = asyncio.get_running_loop()
        silent_s = loop.time() - max(since_s, self.media.stream.last_packet_at or 0.0)
        if silent_s >= MEDIA_TIMEOUT_S:
            self._hang_up(200)
            self._gone(200)
        elif not self._over:
            self._watch = loop.call_later(MEDIA_TIMEOUT_S - silent_s, self._keep_watch, since_s)

    def _flow(self) -> None:
        """Audio flows from now on."""
        self._keep_watch(asyncio.get_running_loop().time())

    def _close_media(self) -> None:
        self.media.stream.close()
        if self._watch is not None:
            self._watch.cancel()

    def _hang_up(self, sip_status: int) -> None:
        self._close_media()
        if isinstance(self._sip, IncomingSipCall) and not self._sip.is_over and sip_status >= 300:
            self._sip.reject(sip_status)
        if self._sip is not None:
            self._sip.bye()

    def _gone(self, sip_status: int) -> None:
        if not self._over:
            self._over = True
            self._close_media()
            self._listener.party_gone(sip_status)

    def _said_frame(self, ulaw: bytes) -> None:
        if not self._over:
            self.said.record(ulaw, asyncio.get_running_loop().time())
            self._listener.party_audio(ulaw)

    def _pressed(self, digit: str) -> None:
        if not self._over:
            self._listener.party_digit(digit)


class _Dial:
    """Whom to call, and how."""

    __slots__ = ("endpoint", "from_uri", "headers", "target_uri")

    def __init__(
        self, endpoint: SipEndpoint, target_uri: str, from_uri: str, headers: tuple[tuple[str, str], ...]
    ) -> None:
        self.endpoint = endpoint
        self.target_uri = target_uri
        self.from_uri = from_uri
        self.headers = headers


def _nothing() -> None:
    pass
