"""One call's media: a UDP socket that sends and receives PCMU or PCMA (RFC 3550, RFC 3551, RFC 4733)."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable

from sipagent.audio.g711 import FRAME_BYTES, pcmu_to_pcma
from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.dtmf import DigitSender
from sipagent.simulator.leg import LegStatistics
from sipagent.simulator.rtp.network import MediaRoute, MediaSocket
from sipagent.simulator.rtp.pacer import Pacer
from sipagent.simulator.rtp.packet import RtpPacket, parse_rtp
from sipagent.simulator.rtp.playout import Playout
from sipagent.simulator.rtp.receiver import (
    SILENT_FRAME,
    AudioFrame,
    Codec,
    DigitPressed,
    MediaFormat,
    RtpReceiver,
)
from sipagent.simulator.srtp import SrtpPair

_CONCEAL_AFTER_S = 0.2
"""Longer than any jitter worth the name, much shorter than the silence that ends a turn."""


class RtpStream:
    """Both directions of one call. All audio at this interface is mu-law, whatever the codec on the wire.

    Frames of 20 ms go out from `start` on: keys first, then what `play` queued, else silence. Received audio
    is ordered, and holes are filled with silence. Sending follows the address packets really come from
    (symmetric RTP, RFC 4961). The callbacks are called on the event loop, must return quickly and must not
    raise.
    """

    def __init__(
        self, *, pacer: Pacer, media_format: MediaFormat, srtp: SrtpPair | None, muted: bool
    ) -> None:
        self.on_audio: Callable[[bytes], None] = _ignore_audio
        """Receives 160 bytes of mu-law per 20 ms."""
        self.on_digit: Callable[[str], None] = _ignore_digit
        self.on_frame_sent: Callable[[bytes], None] = _ignore_audio
        """Receives each 20 ms frame that was due, as mu-law, whether or not the stream is held."""
        self.on_playback_started: Callable[[], None] = _ignore
        """The first frame of a burst goes out."""
        self.on_playback_stopped: Callable[[], None] = _ignore
        """The last frame of a finished burst went out; never called after `clear`."""
        self.last_packet_at: float | None = None
        """Loop time of the last packet from the peer; None before the first."""
        self._pacer = pacer
        self._srtp = srtp
        self._muted = muted
        self._playout = Playout()
        self._receiver = RtpReceiver(media_format)
        self._outgoing = _Outgoing()
        self._route = MediaRoute()
        self._socket = MediaSocket(self._receive)
        self._last_audio_at = 0.0

    @classmethod
    async def open(
        cls,
        host: str,
        *,
        pacer: Pacer,
        payload_type: int,
        codec: Codec,
        telephone_event: int | None,
        srtp: SrtpPair | None = None,
        muted: bool = False,
    ) -> RtpStream:
        """Bind a UDP port of the system's choice on ``host``; ``muted`` sends silence whatever is played.

        Raises `SimulatorError` when no port can be had. Safe to cancel.
        """
        media_format = MediaFormat(codec=codec, payload_type=payload_type, telephone_event=telephone_event)
        stream = cls(pacer=pacer, media_format=media_format, srtp=srtp, muted=muted)
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: stream._socket, local_addr=(host, 0)
            )
        except OSError as error:
            raise SimulatorError(f"no UDP port on {host} for audio: {error}") from error
        return stream

    @property
    def local_port(self) -> int:
        """The bound port."""
        return self._socket.local_port

    @property
    def media_format(self) -> MediaFormat:
        """The negotiated codec and payload types."""
        return self._receiver.media_format

    @property
    def remote(self) -> tuple[str, int] | None:
        """Where packets go now: the address they come from, else the one of the session description."""
        return self._route.destination

    @property
    def playing_ms(self) -> float:
        """Milliseconds of queued audio that still have to go out."""
        return self._playout.queued_ms

    def set_remote(self, host: str, port: int) -> None:
        """Send to the address of the peer's session description.

        An unspecified address or port 0 sends nothing. Raises `SdpError` when ``host`` is not a literal
        address, since a name would block the loop for every packet.
        """
        try:
            address = ipaddress.ip_address(host)
        except ValueError as error:
            raise SdpError(f"connection address {host!r} is no IP address") from error
        self._route.set(None if address.is_unspecified or port == 0 else (str(address), port))

    def renegotiate(
        self, *, payload_type: int, codec: Codec, telephone_event: int | None, srtp: SrtpPair | None = None
    ) -> None:
        """Use another format or other keys from now on; ``srtp`` None keeps the present keys."""
        self._receiver.media_format = MediaFormat(
            codec=codec, payload_type=payload_type, telephone_event=telephone_event
        )
        if srtp is not None:
            self._srtp = srtp

    def start(self) -> None:
        """Let media flow in both directions; does nothing the second time or after `close`."""
        if not self._socket.closed.done() and not self._outgoing.started:
            self._outgoing.started = True
            self._last_audio_at = asyncio.get_running_loop().time()
            self._pacer.add(self._beat)

    def hold(self, held: bool) -> None:
        """Send nothing while the peer asked for silence; what is played passes unheard."""
        self._outgoing.held = held

    def stall(self, stalled: bool) -> None:
        """Send nothing, as a fault; independent of `hold`."""
        self._outgoing.stalled = stalled

    def play(self, ulaw: bytes) -> None:
        """Queue audio behind what is queued; at most ten minutes wait, the surplus is dropped."""
        self._playout.play(ulaw)

    def finish(self) -> None:
        """The open burst is complete: `on_playback_stopped` is called once it was sent."""
        self._playout.finish()

    def clear(self) -> float:
        """Drop all queued audio; returns how many milliseconds of the playing burst had been sent."""
        return self._playout.clear()

    def send_digit(self, digits: str) -> None:
        """Press one key, or several in turn; audio waits meanwhile.

        Raises `SimulatorError` for something that is no key, or when the peer takes no telephone events.
        """
        if self.media_format.telephone_event is None:
            raise SimulatorError("the peer did not agree to telephone events, so no key can be sent")
        self._outgoing.digits.press(digits)

    @property
    def sending_digits(self) -> bool:
        """Whether keys are still going out."""
        return self._outgoing.digits.busy

    def statistics(self) -> LegStatistics:
        """What went out and came in so far."""
        return LegStatistics(
            frames_sent=self._outgoing.frames_sent,
            frames_received=self._receiver.frames_received,
            frames_lost=self._receiver.frames_lost,
            jitter_ms=self._receiver.jitter_ms,
            digits=self._receiver.digits,
        )

    def close(self) -> None:
        """Stop both directions at once; idempotent. `aclose` also waits for the socket."""
        self._pacer.remove(self._beat)
        self._socket.close()

    async def aclose(self) -> None:
        """Stop both directions and wait until the port is free; idempotent, safe to cancel."""
        self.close()
        await asyncio.shield(self._socket.closed)

    # Sending: once per 20 ms.

    def _beat(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._last_audio_at >= _CONCEAL_AFTER_S:
            for received in self._receiver.conceal():
                self._hand_over(received)
        out = self._outgoing
        out.timestamp = (out.timestamp + FRAME_BYTES) % 2**32
        event_type = self.media_format.telephone_event
        event = out.digits.next_packet(out.timestamp) if event_type is not None else None
        if event is not None and event_type is not None:
            self._send(event_type, event.payload, timestamp=event.timestamp, marker=event.marker)
            self.on_frame_sent(SILENT_FRAME)
            return
        if out.digits.busy:
            self._send_audio(SILENT_FRAME)
            return
        frame = self._playout.next_frame()
        if frame.started:
            self.on_playback_started()
        self._send_audio(frame.ulaw or SILENT_FRAME, marker=frame.started)
        if frame.stopped:
            self.on_playback_stopped()

    def _send_audio(self, ulaw: bytes, *, marker: bool = False) -> None:
        self.on_frame_sent(ulaw)
        heard = SILENT_FRAME if self._muted else ulaw
        payload = pcmu_to_pcma(heard) if self.media_format.codec == "PCMA" else heard
        self._send(self.media_format.payload_type, payload, timestamp=self._outgoing.timestamp, marker=marker)

    def _send(self, payload_type: int, payload: bytes, *, timestamp: int, marker: bool) -> None:
        out = self._outgoing
        destination = self._route.destination
        if out.held or out.stalled or destination is None:
            return
        packet = bytes(
            RtpPacket(
                payload_type=payload_type,
                sequence=out.sequence,
                timestamp=timestamp,
                ssrc=out.ssrc,
                payload=payload,
                marker=marker,
            )
        )
        out.sequence = (out.sequence + 1) % 2**16
        out.frames_sent += 1
        self._socket.send(self._srtp.protect(packet) if self._srtp is not None else packet, destination)

    # Receiving.

    def _receive(self, data: bytes, address: tuple[str, int]) -> None:
        if not self._outgoing.started:
            return
        if self._srtp is not None:
            clear = self._srtp.unprotect(data)
            if clear is None:
                return
            data = clear
        packet = parse_rtp(data)
        if packet is None:
            return
        now_s = asyncio.get_running_loop().time()
        quiet_s = float("inf") if self.last_packet_at is None else now_s - self.last_packet_at
        if not self._route.admit(address, quiet_s=quiet_s, authenticated=self._srtp is not None):
            return
        self.last_packet_at = now_s
        for received in self._receiver.receive(packet, now_s):
            if isinstance(received, AudioFrame):
                self._last_audio_at = now_s
            self._hand_over(received)

    def _hand_over(self, received: AudioFrame | DigitPressed) -> None:
        match received:
            case AudioFrame(ulaw=ulaw):
                self.on_audio(ulaw)
            case DigitPressed(digit=digit):
                self.on_digit(digit)


class _Outgoing:
    """Where sending stands. Sequence and timestamp start anywhere (RFC 3550 section 5.1)."""

    __slots__ = ("digits", "frames_sent", "held", "sequence", "ssrc", "stalled", "started", "timestamp")

    def __init__(self) -> None:
        self.digits = DigitSender()
        self.ssrc = secrets.randbits(32)
        self.sequence = secrets.randbits(15)
        self.timestamp = secrets.randbits(31)
        self.frames_sent = 0
        self.started = False
        self.held = False
        self.stalled = False


def _ignore_audio(ulaw: bytes) -> None:
    pass


def _ignore_digit(digit: str) -> None:
    pass


def _ignore() -> None:
    pass
