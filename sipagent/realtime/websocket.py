"""A session of the Realtime API whose audio goes over the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from sipagent.clock import monotonic_s
from sipagent.identifiers import ResponseId
from sipagent.realtime import commands
from sipagent.realtime.address import address_of
from sipagent.realtime.connection import Address, Closed, Socket
from sipagent.realtime.events import (
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelSessionEvent,
    RealtimeModelTurnEndedEvent,
)
from sipagent.realtime.inputs import RealtimeModelSendAudio, RealtimeModelSendInterrupt
from sipagent.realtime.model import RealtimeModelConfig, TransportConfig
from sipagent.realtime.playback import RealtimePlaybackState, ReceivedAudio
from sipagent.realtime.settings import DEFAULT_REALTIME_MODEL, RealtimeSessionModelSettings
from sipagent.realtime.socket_model import RealtimeSocketModel
from sipagent.realtime.spoken import SpokenResponses
from sipagent.realtime.taking import OFTEN, Reaction


class OpenAIRealtimeWebSocketModel(RealtimeSocketModel):
    """A session whose audio goes over the socket.

    Whoever plays the audio stops when the caller speaks; the model then cuts the conversation to what was
    heard, after the playback tracker of its configuration, or after the clock. After the same it reports
    `RealtimeModelPlaybackEvent`: which response is heard, and when it was heard to its end.
    """

    default_format = "pcm16"
    _at_once = OFTEN - {RealtimeModelAudioEvent}
    _for_reader = frozenset({RealtimeModelAudioEvent, RealtimeModelTurnEndedEvent})

    def __init__(self, *, transport_config: TransportConfig | None = None) -> None:
        super().__init__(transport_config=transport_config)
        self._received = ReceivedAudio()
        self._spoken = SpokenResponses(self._received)
        self._silenced: set[ResponseId] = set()
        """Responses of which nothing more is to be heard."""
        self._notes[RealtimeModelAudioEvent] = self._note_audio
        self._reactions[RealtimeModelCallerSpeechStartedEvent] = self._caller_speaks

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`."""
        await super().connect(options)
        # Nothing was read yet: the reader runs when this task waits next.
        self._received = ReceivedAudio()
        self._spoken = SpokenResponses(self._received)
        self._silenced.clear()
        self._reactions.pop(RealtimeModelAudioEvent, None)

    async def close(self) -> None:
        """See `RealtimeModel.close`. Emits nothing: whoever closes knows."""
        try:
            await super().close()
        finally:
            if (tracker := self._options.get("playback_tracker")) is not None:
                tracker.on_interrupted()

    @property
    def unplayed_s(self) -> float:
        """See `RealtimeModel.unplayed_s`; by the clock, whatever a playback tracker says."""
        return max(0.0, self._received.playing_until() - monotonic_s())

    async def _address(self, options: RealtimeModelConfig) -> Address:
        settings = options.get("initial_model_settings", {})
        if (call_id := options.get("call_id")) is not None:
            return await address_of(options, query={"call_id": call_id})
        return await address_of(options, query={"model": settings.get("model_name", DEFAULT_REALTIME_MODEL)})

    def _model_in_update(self, settings: RealtimeSessionModelSettings) -> str | None:
        if self._options.get("call_id") is not None:
            # The model of an accepted call cannot be changed; naming one could only make the update fail.
            return None
        return settings.get("model_name", DEFAULT_REALTIME_MODEL)

    async def _send_audio(self, event: RealtimeModelSendAudio) -> None:
        await self._outgoing.send_audio(event.audio)
        if event.commit:
            await self._outgoing.send(commands.audio_commit())

    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        wanted = event.response_id
        if not event.cancel_response_only:
            if wanted is not None:
                self._silenced.add(wanted)
            await self._stop_playing(wanted)
        running = self._gate.response_id
        asked = event.force_response_cancel or event.cancel_response_only
        cancels = not event.playback_only and (asked or not self._server_interrupts)
        if cancels and self._gate.cancel(wanted):
            await self._outgoing.send(commands.response_cancel(wanted or running))

    def _caller_speaks(self, event: RealtimeModelCallerSpeechStartedEvent) -> Reaction | None:
        """The caller began to speak: what plays must stop, unless it has to be heard to its end."""
        return None if self._uninterruptible else self._give_way

    async def _give_way(self) -> None:
        await self._stop_playing()
        if not self._server_interrupts and self._gate.cancel():
            await self._outgoing.try_send(commands.response_cancel(self._gate.response_id))

    @property
    def _server_interrupts(self) -> bool:
        return self._session is not None and self._session.interrupt_response is True

    async def _stop_playing(self, response_id: ResponseId | None = None) -> None:
        """Cut what plays to what was heard, here and at the server. A response that is named is cut unless a
        newer one has audio; where it waits to be played, none of it is heard."""
        heard = self._received.heard(self._tracker_state(), monotonic_s())
        if response_id is not None and response_id != self._received.latest_response:
            return
        if response_id is not None and (heard is None or heard.response_id != response_id):
            # It waits behind another one to be played, which plays on.
            for withdrawn in self._received.withdraw(response_id):
                await self._tell(
                    RealtimeModelAudioInterruptedEvent(
                        item_id=withdrawn.item_id, content_index=withdrawn.content_index
                    )
                )
                await self._outgoing.try_send(commands.truncate(withdrawn))
            if (report := self._spoken.cut(response_id)) is not None:
                await self._tell(report)
            return
        # Where a tracker knows nothing yet, whoever plays must stop all the same.
        part = self._received.latest_part if heard is None else (heard.item_id, heard.content_index)
        over = heard is not None and heard.fully_played and heard.response_id != self._gate.response_id
        self._received.interrupted()
        if (tracker := self._options.get("playback_tracker")) is not None:
            tracker.on_interrupted()
        if part is not None:
            item_id, index = part
            await self._tell(
                RealtimeModelAudioInterruptedEvent(item_id=item_id, content_index=index, heard_in_full=over)
            )
        while (report := self._spoken.cut()) is not None:
            await self._tell(report)
        if heard is not None and not over:
            await self._outgoing.try_send(commands.truncate(heard))

    # What is heard ---------------------------------------------------------------------------------

    def _receiver(self, socket: Socket) -> Callable[[], Awaitable[bytes | Closed]]:
        return partial(self._receive, socket)

    async def _receive(self, socket: Socket) -> bytes | Closed:
        """The next message; meanwhile, tell when a response was played to its end."""
        while (due := self._spoken.due) is not None:
            try:
                async with asyncio.timeout(max(0.0, due - monotonic_s())):
                    return await socket.receive()
            except TimeoutError:
                await self._report()
        return await socket.receive()

    async def _report(self) -> None:
        # One by one: while a listener hears the one, somebody may interrupt, and nothing of the next is true.
        while (report := self._spoken.next_report(monotonic_s(), self._tracker_state())) is not None:
            await self._tell(report)

    def _report_start(self, event: RealtimeModelAudioEvent) -> Reaction | None:
        del self._reactions[RealtimeModelAudioEvent]
        return self._report

    def _tracker_state(self) -> RealtimePlaybackState | None:
        tracker = self._options.get("playback_tracker")
        return None if tracker is None else tracker.get_state()

    def _note_turn_ended(self, event: RealtimeModelTurnEndedEvent) -> bool:
        self._silenced.discard(event.response_id)
        self._spoken.made(event.response_id, monotonic_s(), self._tracker_state())
        return super()._note_turn_ended(event)

    def _note_session(self, session: RealtimeModelSessionEvent) -> bool:
        self._received.set_audio_format(session.output_format)
        if (tracker := self._options.get("playback_tracker")) is not None:
            tracker.set_audio_format(session.output_format)
        return super()._note_session(session)

    def _note_audio(self, event: RealtimeModelAudioEvent) -> bool:
        if event.response_id in self._silenced:
            return False  # made before the server heard that it is not wanted
        now = monotonic_s()
        begins = self._received.add(
            item_id=event.item_id,
            content_index=event.content_index,
            response_id=event.response_id,
            byte_count=len(event.data),
            now=now,
        )
        if begins and self._spoken.sounds(event.response_id, now, self._tracker_state()):
            # For this one alone: what reacts to every sound costs a coroutine for each.
            self._reactions[RealtimeModelAudioEvent] = self._report_start
        return True
