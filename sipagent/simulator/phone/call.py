"""One call of a simulated phone, and what its user does in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

from sipagent.audio.g711 import rms_pcmu
from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.leg import LegStatistics
from sipagent.simulator.phone.changes import Changes, end_task
from sipagent.simulator.phone.media import PhoneMedia
from sipagent.simulator.phone.settings import HangUp, Pause, PhoneSettings, Press, Say, Step
from sipagent.simulator.phone.transfers import Transfers
from sipagent.simulator.sip.call import IncomingSipCall, OutgoingSipCall, SipCallListener, SipEnd
from sipagent.simulator.sip.message import Response
from sipagent.simulator.voice import Voice
from sipagent.simulator.wav import StereoRecording, write_stereo_wav


class PhoneCall:
    """A call that a phone made or took; `Phone.dial` and `Phone.next_call` return it.

    The steps given to the phone run by themselves once the call is answered. `say`, `press`, `hang_up` and
    the waiting methods are for a test that plays the user itself. All are safe to cancel. Methods that wait
    for the other side return False when the call ended first.
    """

    def __init__(
        self,
        sip: OutgoingSipCall | IncomingSipCall,
        media: PhoneMedia,
        *,
        voice: Voice,
        settings: PhoneSettings,
        steps: Sequence[Step],
        transfers: Transfers,
        changes: Changes,
    ) -> None:
        self.sip = sip
        """The signalling."""
        self.media = media
        """The audio."""
        self.status: int | None = None
        """Latest SIP status of the INVITE, sent or received: 180 while it rings, 200 once answered."""
        self.failure: SimulatorError | None = None
        """What kept the phone from going on, if anything did."""
        self._voice = voice
        self._settings = settings
        self._steps = tuple(steps)
        self._transfers = transfers
        self._changes = changes
        self._end: SipEnd | None = None
        self._mouth = asyncio.Lock()
        self._life: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen to the signalling and begin the steps; called once, by the phone."""
        assert self._life is None, "a call is started once"
        self._life = asyncio.create_task(self._live(), name="phone call")
        self.sip.listen(_Signals(self))

    # What the user notices

    @property
    def is_over(self) -> bool:
        """Whether one side ended the call, or it was never answered."""
        return self._end is not None

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered, be it over by now."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def recording(self) -> StereoRecording:
        """So far, from the answer on: what was said on the left, what was heard on the right."""
        return self.media.tape.recording()

    @property
    def said_rms(self) -> int:
        """Loudness of what was said, as root mean square on the 16-bit scale."""
        return rms_pcmu(self.recording.left)

    @property
    def heard_rms(self) -> int:
        """Loudness of what was heard, as root mean square on the 16-bit scale."""
        return rms_pcmu(self.recording.right)

    @property
    def transferred_to(self) -> PhoneCall | None:
        """The call that the latest transfer led to."""
        return self._transfers.call

    def statistics(self) -> LegStatistics:
        """Packets and keys of both directions so far."""
        return self.media.stream.statistics()

    async def write_wav(self, path: Path) -> None:
        """Write the recording as a stereo WAV.

        Raises `SimulatorError` when the file cannot be written.
        """
        await asyncio.to_thread(write_stereo_wav, path, self.recording)

    async def ringing(self) -> bool:
        """Wait until it rings at the other end, or the call was answered at once."""
        await self._until(lambda: self.status is not None and self.status >= 180)
        return not self.is_over

    async def answered(self) -> None:
        """Wait for the answer.

        Raises `SimulatorError` when the call is refused, cancelled or fails instead.
        """
        await self._until(lambda: self.is_answered)
        if self.failure is not None:
            raise self.failure
        if not self.is_answered:
            raise SimulatorError(f"the call was not answered: {self._end}, status {self.status}")

    async def transferred(self) -> bool:
        """Wait until the other side has sent us to somebody else, and that call has begun."""
        await self._until(lambda: self.transferred_to is not None)
        return self.transferred_to is not None

    async def agent_speaking(self) -> bool:
        """Wait until the other side is in the middle of a turn."""
        await self._until(lambda: self.media.ears.hears_speech)
        return not self.is_over

    async def agent_finished(self) -> bool:
        """Wait until the other side has said something since our last words, and has fallen silent."""
        await self._until(lambda: self.media.ears.may_speak)
        return not self.is_over

    async def ended(self) -> SipEnd:
        """Wait until the call is over.

        Raises `SimulatorError` when the phone itself could not go on.
        """
        await self._until(lambda: self.is_over)
        if self.failure is not None:
            raise self.failure
        assert self._end is not None
        return self._end

    # What the user does

    async def say(self, line: str) -> bool:
        """Speak ``line`` at once, and return when the last of it has gone out.

        Lines are spoken one at a time. When cancelled, the phone falls silent. Raises `SimulatorError` when
        the voice cannot speak.
        """
        ulaw = await self._voice.speak(line)
        async with self._mouth:
            if self.is_over or not ulaw:
                return not self.is_over
            self.media.play(ulaw)
            try:
                await self._until(lambda: not self.media.speaking)
            except asyncio.CancelledError:
                self.media.stop_playing()
                raise
            self.media.ears.answered()
        return not self.is_over

    async def press(self, digits: str) -> bool:
        """Press keys at once, and return when the last of them has gone out.

        Raises `SimulatorError` for something that is no key, or when the other side takes no keys.
        """
        if not self.is_over:
            self.media.press(digits)
            await self._until(lambda: not self.media.pressing)
            self.media.ears.answered()
        return not self.is_over

    async def hold(self) -> int:
        """Put the other side on hold; returns the SIP status of its answer."""
        return await self._change_session(self.media.offer("sendonly"))

    async def resume(self) -> int:
        """Take the other side off hold; returns the SIP status of its answer."""
        return await self._change_session(self.media.offer())

    async def hang_up(self) -> None:
        """End the call: CANCEL while it rings, BYE afterwards; idempotent."""
        self.sip.bye()
        self._finish(SipEnd.LOCAL)
        await self.media.aclose()

    async def aclose(self) -> None:
        """Hang up if need be, end the steps and free the port; idempotent."""
        await self.hang_up()
        await self._transfers.aclose()
        await end_task(self._life)

    # Its course

    async def _live(self) -> None:
        try:
            await self._connect()
            for step in self._steps:
                if self.is_over:
                    return
                await self._perform(step)
        except SimulatorError as error:
            self.failure = error
            self.sip.bye()
            self._finish(SipEnd.LOCAL)

    async def _connect(self) -> None:
        match self.sip:
            case OutgoingSipCall():
                response = await self.sip.final_response()
                if response.status < 300 and not self.is_over:
                    self.media.accept(response.body)
                self._note_status(response.status)
                if response.status >= 300:
                    self._finish(SipEnd.REJECTED)
            case IncomingSipCall():
                self.sip.ring()
                self._note_status(180)
                await asyncio.sleep(self._settings.rings_for_s)
                if self.is_over:
                    return
                try:
                    answer = self.media.answer(self.sip.remote_sdp)
                except SdpError:
                    self.sip.reject(488)
                    raise
                self.sip.answer(answer)
                self._note_status(200)

    async def _perform(self, step: Step) -> None:
        match step:
            case Say(text=text, waits=waits):
                await self._wait_for_turn(waits)
                await self.say(text)
            case Press(digits=digits, waits=waits):
                await self._wait_for_turn(waits)
                await self.press(digits)
            case HangUp(waits=waits):
                await self._wait_for_turn(waits)
                await self.hang_up()
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
            case _:
                assert_never(step)

    async def _wait_for_turn(self, waits: bool) -> None:
        if not waits:
            return
        try:
            async with asyncio.timeout(self._settings.patience_s):
                await self.agent_finished()
        except TimeoutError:
            # People speak up when a line stays silent, or when the other side does not stop.
            return

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds or the call is over."""
        await self._changes.until(lambda: condition() or self.is_over)

    async def _change_session(self, offer: bytes) -> int:
        response = await self.sip.reinvite(offer)
        if 200 <= response.status < 300:
            self.media.accept(response.body)
        return response.status

    def _note_status(self, status: int) -> None:
        self.status = status
        self._changes.announce()

    def _finish(self, end: SipEnd) -> None:
        if self._end is None:
            self._end = end
            self.media.stream.close()
            self._changes.announce()


class _Signals(SipCallListener):
    """Hears the signalling of one call."""

    def __init__(self, call: PhoneCall) -> None:
        self._call = call

    def progressed(self, response: Response) -> None:
        self._call._note_status(response.status)

    def reinvited(self, offer: bytes) -> bytes:
        media = self._call.media
        return media.answer(offer) if offer else media.offer()

    def acknowledged(self, sdp: bytes) -> None:
        if not sdp:
            return
        try:
            self._call.media.accept(sdp)
        except SdpError as error:
            self._call.failure = error
            self._call.sip.bye()
            self._call._finish(SipEnd.LOCAL)

    def refer_requested(self, target_uri: str) -> int:
        return self._call._transfers.request(self._call.sip, target_uri)

    def ended(self, end: SipEnd) -> None:
        if end is not SipEnd.REJECTED:
            # A refusal ends the call together with its status, in the task that waits for both.
            self._call._finish(end)
