"""The telephone side of a simulated call, made of a SIP call and an RTP stream."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Literal, assert_never

from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.leg import LegEnd, LegListener, LegStatistics
from sipagent.simulator.rtp import Pacer, RtpStream
from sipagent.simulator.sip.call import IncomingSipCall, SipCallListener, SipEnd
from sipagent.simulator.sip.message import HeaderList
from sipagent.simulator.sip.sdp import (
    AudioChoice,
    Codec,
    LocalMedia,
    SrtpPolicy,
    choose_audio,
    parse_sdp,
    write_answer,
    write_offer,
)
from sipagent.simulator.srtp import SrtpPair, new_master_key, srtp_available

OUR_TELEPHONE_EVENT = 101
"""Payload type for digits when the offer is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSettings:
    """What every leg of a simulator negotiates."""

    media: Literal["rtp", "sink"] = "rtp"
    """``sink`` counts what comes and sends nothing but silence."""
    codecs: tuple[Codec, ...] = ("PCMU", "PCMA")
    srtp: SrtpPolicy = "optional"
    """``optional`` is ``off`` where the package for SRTP is not installed."""
    media_timeout_s: float = 60.0
    """How long an answered caller who should send may send nothing; then the call is ended."""


class SipLeg(SipCallListener):
    """A `CallLeg` with a real telephone at the other end."""

    def __init__(self, call: IncomingSipCall, settings: LegSettings) -> None:
        self.call = call
        self._settings = settings
        self._stream: RtpStream | None = None
        self._choice: AudioChoice | None = None
        self._listener: LegListener | None = None
        self._end: LegEnd | None = None
        self._key: bytes | None = None
        self._session_id = secrets.randbits(62)
        self._version = 1
        self._described: bytes | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._quiet_since = 0.0
        self._hung_up = False

    @classmethod
    async def open(cls, call: IncomingSipCall, *, pacer: Pacer, settings: LegSettings) -> SipLeg:
        """Negotiate and open the media port; the call is then still unanswered.

        Raises `SdpError` after refusing the call with 488, `SimulatorError` after refusing it with 500 when
        there is no port. When cancelled, nothing is left open but the call. The caller may have given up
        when this returns; the listener will hear of it.
        """
        leg = cls(call, settings)
        call.listen(leg)
        try:
            srtp = leg._negotiate()
            choice = leg._choice
            stream = await RtpStream.open(
                call.bind_host,
                pacer=pacer,
                payload_type=choice.payload_type if choice else 0,
                codec=choice.codec if choice else "PCMU",
                telephone_event=choice.telephone_event if choice else OUR_TELEPHONE_EVENT,
                srtp=srtp,
                muted=settings.media == "sink",
            )
            leg._stream = stream
            if choice is not None:
                stream.set_remote(choice.remote_host, choice.remote_port)
                stream.hold(choice.on_hold)
        except SimulatorError as error:
            call.reject(488 if isinstance(error, SdpError) else 500)
            await leg.aclose()
            raise
        stream.on_audio = leg._heard_audio
        stream.on_digit = leg._heard_digit
        stream.on_playback_started = leg._playback_started
        stream.on_playback_stopped = leg._playback_stopped
        return leg

    # CallLeg

    @property
    def sip_headers(self) -> HeaderList:
        """All headers of the INVITE, in order, repeats kept; bytes that are no UTF-8 are replaced."""
        return tuple((name, _printable(value)) for name, value in self.call.headers)

    @property
    def media_security(self) -> str:
        """``rtp`` or ``srtp``, as negotiated."""
        return "rtp" if self._choice is None else self._choice.media_security

    def listen(self, listener: LegListener) -> None:
        """Set the one listener; it hears at once of an end that happened before."""
        self._listener = listener
        if self._end is not None:
            listener.caller_ended(self._end)

    def ring(self) -> None:
        """Send 180 Ringing."""
        self.call.ring()

    def answer(self) -> None:
        """Send 200 with our session description; media flows from now on."""
        if self.call.is_over or self._stream is None:
            return
        self.call.answer(self._description(self.call.remote_sdp))
        self._stream.start()
        self._quiet_since = asyncio.get_running_loop().time()
        self._keep_watch()

    def reject(self, status: int) -> None:
        """Refuse the call with a final SIP status (300-699)."""
        self.call.reject(status)
        self._release()

    def hang_up(self) -> None:
        """End the call, with BYE once it was answered; nothing when it is over."""
        self._hung_up = True
        self.call.bye()
        self._release()

    async def refer(self, target_uri: str) -> int:
        """Send REFER; returns the status of the answer, 408 when none came.

        Raises `SimulatorError` for a target that is no URI. Safe to cancel.
        """
        return await self.call.refer(target_uri)

    def play(self, ulaw: bytes) -> None:
        """Queue audio for the caller behind what is queued already."""
        if self._stream is not None and not self.call.is_over:
            self._stream.play(ulaw)

    def finish_playing(self) -> None:
        """No more audio comes for this burst."""
        if self._stream is not None:
            self._stream.finish()

    def clear_playback(self) -> float:
        """Drop everything queued; returns how many milliseconds of this burst had been sent."""
        return self._stream.clear() if self._stream is not None else 0.0

    def set_send_faults(self, *, stalled: bool) -> None:
        """Stop (or resume) sending RTP."""
        if self._stream is not None:
            self._stream.stall(stalled)

    # For reports and the end

    def statistics(self) -> LegStatistics:
        """What came in and went out so far; stays readable after the end."""
        assert self._stream is not None, "a leg is opened before it is asked"
        return self._stream.statistics()

    async def aclose(self) -> None:
        """Hang up if need be and free the media port; idempotent, safe to cancel."""
        self.hang_up()
        if self._stream is not None:
            await self._stream.aclose()

    # SipCallListener

    def acknowledged(self, sdp: bytes) -> None:
        """The ACK carries the answer when the offer was ours."""
        if not sdp:
            return
        try:
            self._apply(choose_audio(parse_sdp(sdp), codecs=self._settings.codecs))
        except SdpError:
            self.call.bye()
            self._ended(LegEnd.FAILED)

    def reinvited(self, offer: bytes) -> bytes:
        """Hold, resume, another address or codec; encryption stays as it was negotiated first."""
        if not offer:
            return self._description(b"")
        description = parse_sdp(offer)
        policy: SrtpPolicy = "off" if self._key is None else "required"
        present = self._choice.codec if self._choice is not None else "PCMU"
        try:
            choice = choose_audio(description, codecs=(present,), srtp=policy)
        except SdpError:
            choice = choose_audio(description, codecs=self._settings.codecs, srtp=policy)
        self._apply(choice)
        return self._description(offer)

    def refer_progress(self, status: int, *, final: bool) -> None:
        """A NOTIFY came."""
        if self._listener is not None and self._end is None:
            self._listener.refer_progress(status)

    def ended(self, end: SipEnd) -> None:
        """The caller's side is over."""
        match end:
            case SipEnd.CANCELLED:
                self._ended(LegEnd.CANCELLED)
            case SipEnd.BYE:
                self._ended(LegEnd.HUNG_UP)
            case SipEnd.ACK_TIMEOUT:
                self._ended(LegEnd.ACK_TIMEOUT)
            case SipEnd.FAILED | SipEnd.REJECTED | SipEnd.LOCAL:
                self._ended(LegEnd.FAILED)
            case _:
                assert_never(end)

    # Negotiation

    def _negotiate(self) -> SrtpPair | None:
        """Read the offer, if the INVITE has one; returns the keys when the media will be encrypted."""
        if not self.call.remote_sdp:
            return None
        policy = self._settings.srtp
        if policy == "optional" and not srtp_available():
            policy = "off"
        offer = parse_sdp(self.call.remote_sdp)
        self._choice = choose_audio(offer, codecs=self._settings.codecs, srtp=policy)
        return self._new_keys(self._choice)

    def _new_keys(self, choice: AudioChoice) -> SrtpPair | None:
        if choice.crypto is None:
            return None
        self._key = new_master_key()
        return SrtpPair(suite=choice.crypto.suite, send_key=self._key, receive_key=choice.crypto.key_and_salt)

    def _apply(self, choice: AudioChoice) -> None:
        """Follow a changed session; `SdpError`, and no change, when its address is a name."""
        assert self._stream is not None, "sessions change after they were opened"
        self._stream.set_remote(choice.remote_host, choice.remote_port)
        # A new key of the peer's gets a new one of ours: the old contexts know too much about sequences.
        rekeyed = self._choice is not None and choice.crypto != self._choice.crypto
        self._stream.renegotiate(
            payload_type=choice.payload_type,
            codec=choice.codec,
            telephone_event=choice.telephone_event,
            srtp=self._new_keys(choice) if rekeyed else None,
        )
        self._stream.hold(choice.on_hold)
        self._choice = choice
        self._quiet_since = asyncio.get_running_loop().time()

    def _description(self, offer: bytes) -> bytes:
        """Our answer to ``offer``, or an offer of ours when there is none."""
        text = self._written(offer)
        if self._described is not None and text != self._described:
            self._version += 1
            text = self._written(offer)
        self._described = text
        return text

    def _written(self, offer: bytes) -> bytes:
        assert self._stream is not None, "there is no description without a port"
        local = LocalMedia(
            host=self.call.local_host,
            port=self._stream.local_port,
            session_id=self._session_id,
            version=self._version,
            key_and_salt=self._key,
        )
        if offer and self._choice is not None:
            return write_answer(parse_sdp(offer), self._choice, local)
        return write_offer(local, codecs=self._settings.codecs, telephone_event=OUR_TELEPHONE_EVENT)

    # Media

    def _heard_audio(self, ulaw: bytes) -> None:
        if self._listener is not None and self._end is None:
            self._listener.caller_audio(ulaw)

    def _heard_digit(self, digit: str) -> None:
        if self._listener is not None and self._end is None:
            self._listener.caller_digit(digit)

    def _playback_started(self) -> None:
        if self._listener is not None and self._end is None:
            self._listener.playback_started()

    def _playback_stopped(self) -> None:
        if self._listener is not None and self._end is None:
            self._listener.playback_stopped()

    def _keep_watch(self) -> None:
        """Look at intervals whether the caller still sends; callers vanish without a BYE."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        assert self._stream is not None, "only an open stream is watched"
        silent_s = now - max(self._quiet_since, self._stream.last_packet_at or 0.0)
        expected = self._choice is None or self._choice.expects_audio
        if not expected:
            self._quiet_since, silent_s = now, 0.0
        if silent_s >= self._settings.media_timeout_s:
            self.call.bye()
            self._ended(LegEnd.MEDIA_TIMEOUT)
            return
        self._watch = loop.call_later(self._settings.media_timeout_s - silent_s, self._keep_watch)

    # The end

    def _ended(self, end: LegEnd) -> None:
        self._release()
        if self._end is None and not self._hung_up:
            self._end = end
            if self._listener is not None:
                self._listener.caller_ended(end)

    def _release(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._stream is not None:
            self._stream.close()


def _printable(value: str) -> str:
    """Text that JSON can carry: bytes that are no UTF-8 were kept as surrogates until here."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
