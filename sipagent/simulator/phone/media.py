"""The audio of one call of a phone: what is offered and answered, and the stream behind it."""

from __future__ import annotations

import secrets

from sipagent.errors import SdpError
from sipagent.simulator.phone.changes import Changes
from sipagent.simulator.phone.ears import CallTape, Ears
from sipagent.simulator.phone.settings import PhoneSettings
from sipagent.simulator.rtp import Pacer, RtpStream
from sipagent.simulator.sip.sdp import (
    STATIC_PAYLOAD_TYPES,
    AudioChoice,
    Direction,
    LocalMedia,
    SrtpPolicy,
    choose_audio,
    parse_sdp,
    write_answer,
    write_offer,
)
from sipagent.simulator.srtp import SrtpPair, SrtpSuite, new_master_key, srtp_available

_TELEPHONE_EVENT = 101
_SUITES = (SrtpSuite.AES_CM_128_HMAC_SHA1_80, SrtpSuite.AES_CM_128_HMAC_SHA1_32)


class PhoneMedia:
    """One audio stream with ears and a tape; offers, answers and re-offers itself."""

    def __init__(self, stream: RtpStream, *, settings: PhoneSettings, changes: Changes) -> None:
        self.stream = stream
        self.ears = Ears(turn_gap_ms=settings.turn_gap_ms)
        self.tape = CallTape()
        self.secured = False
        """Whether the audio is encrypted."""
        self.speaking = False
        """Whether something given to `play` still has to go out."""
        self.pressing = False
        """Whether keys given to `press` still have to go out."""
        self._settings = settings
        self._changes = changes
        self._key = new_master_key()
        self._session_id = secrets.randbits(31)
        self._version = 0
        self._keys_in_use: tuple[str, bytes] | None = None
        stream.on_audio = self._hear
        stream.on_frame_sent = self._frame_sent
        stream.on_playback_stopped = self._playback_stopped

    @classmethod
    async def open(cls, *, pacer: Pacer, settings: PhoneSettings, changes: Changes) -> PhoneMedia:
        """Bind a port.

        ``changes`` is told when the other side begins or ends a turn, and when our words or keys are out.
        Raises `SimulatorError` when no port can be had.
        """
        stream = await RtpStream.open(
            settings.host,
            pacer=pacer,
            payload_type=STATIC_PAYLOAD_TYPES[settings.codecs[0]],
            codec=settings.codecs[0],
            telephone_event=None,
        )
        return cls(stream, settings=settings, changes=changes)

    def offer(self, direction: Direction = "sendrecv") -> bytes:
        """A session description that proposes this stream."""
        return write_offer(
            self._local(direction, encrypted=self._settings.srtp or self.secured),
            codecs=self._settings.codecs,
            telephone_event=_TELEPHONE_EVENT,
            suites=[suite.value for suite in _SUITES],
        )

    def accept(self, answer: bytes) -> None:
        """Use what the peer answered to our offer, and let audio flow.

        Raises `SdpError` when it cannot be used.
        """
        self._use(self._choose(answer))

    def answer(self, offer: bytes) -> bytes:
        """Use what the peer offers, let audio flow, and return the answer.

        Raises `SdpError` when nothing in it can be used.
        """
        choice = self._choose(offer)
        self._use(choice)
        return write_answer(
            parse_sdp(offer), choice, self._local("sendrecv", encrypted=choice.crypto is not None)
        )

    def play(self, ulaw: bytes) -> None:
        """Speak; `speaking` until all of it went out."""
        self.speaking = True
        self.stream.play(ulaw)
        self.stream.finish()

    def stop_playing(self) -> None:
        """Fall silent at once."""
        self.stream.clear()
        self._playback_stopped()

    def press(self, digits: str) -> None:
        """Press keys; `pressing` until all of them went out.

        Raises `SimulatorError` for something that is no key, or when the peer takes no keys.
        """
        self.stream.send_digit(digits)
        self.pressing = self.stream.sending_digits

    async def aclose(self) -> None:
        """Free the port; idempotent."""
        await self.stream.aclose()

    def _local(self, direction: Direction, *, encrypted: bool) -> LocalMedia:
        self._version += 1
        return LocalMedia(
            host=self._settings.host,
            port=self.stream.local_port,
            session_id=self._session_id,
            version=self._version,
            direction=direction,
            key_and_salt=self._key if encrypted else None,
        )

    def _choose(self, description: bytes) -> AudioChoice:
        policy: SrtpPolicy = "required" if self._settings.srtp else "optional"
        if policy == "optional" and not srtp_available():
            policy = "off"
        return choose_audio(parse_sdp(description), codecs=self._settings.codecs, srtp=policy)

    def _use(self, choice: AudioChoice) -> None:
        srtp: SrtpPair | None = None
        if choice.crypto is not None:
            keys = (choice.crypto.suite, choice.crypto.key_and_salt)
            if keys != self._keys_in_use:
                # The same keys with fresh contexts would restart the packet index and repeat the key stream.
                srtp = SrtpPair(suite=keys[0], send_key=self._key, receive_key=keys[1])
                self._keys_in_use = keys
        elif self._keys_in_use is not None:
            raise SdpError("the peer wants to go on without encryption")
        self.secured = choice.crypto is not None
        self.stream.renegotiate(
            payload_type=choice.payload_type,
            codec=choice.codec,
            telephone_event=choice.telephone_event,
            srtp=srtp,
        )
        self.stream.set_remote(choice.remote_host, choice.remote_port)
        self.stream.hold(choice.on_hold)
        self.stream.start()

    def _hear(self, ulaw: bytes) -> None:
        self.tape.record_heard(ulaw)
        if self.ears.hear(ulaw):
            self._changes.announce()

    def _frame_sent(self, ulaw: bytes) -> None:
        self.tape.record_said(ulaw)
        if self.pressing and not self.stream.sending_digits:
            self.pressing = False
            self._changes.announce()

    def _playback_stopped(self) -> None:
        self.speaking = False
        self._changes.announce()
