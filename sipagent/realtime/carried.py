"""A session of a telephone call whose audio passes through us, from and to a carrier.

As `OpenAIRealtimeWebSocketModel`, and what a call needs besides: the carrier knows what was heard, brings the
keys that the caller presses, and says when the caller is gone.
"""

from __future__ import annotations

import abc
from typing import Any

from sipagent.identifiers import ItemId
from sipagent.realtime.commands import Command
from sipagent.realtime.connection import Closed
from sipagent.realtime.events import (
    EndCause,
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelSessionEvent,
    RealtimeModelTurnEndedEvent,
)
from sipagent.realtime.model import RealtimeModelConfig, TransportConfig
from sipagent.realtime.payload import audio_format_payload
from sipagent.realtime.playback import RealtimePlaybackState, RealtimePlaybackTracker
from sipagent.realtime.settings import RealtimeAudioFormat, RealtimeSessionModelSettings
from sipagent.realtime.websocket import OpenAIRealtimeWebSocketModel


class CallPlayer(RealtimePlaybackTracker, abc.ABC):
    """Whoever plays the agent's audio to the caller. Called by the model, the moment a message comes; nothing
    here waits or raises."""

    @abc.abstractmethod
    def play(self, item_id: ItemId, content_index: int, audio: bytes) -> None:
        """More of a part, to be heard behind all that was given before."""

    @abc.abstractmethod
    def finish(self, item_id: ItemId, content_index: int) -> None:
        """All of a part was given."""

    @abc.abstractmethod
    def withdraw(self, item_id: ItemId, content_index: int) -> None:
        """A part that does not play yet is not to be heard."""

    @abc.abstractmethod
    def on_interrupted(self) -> None:
        """Nothing of what was given is to be heard any more."""

    @abc.abstractmethod
    def get_state(self) -> RealtimePlaybackState:
        """What the caller hears, and how much of it they will have heard when they are cut off now."""

    @abc.abstractmethod
    def connected(self) -> None:
        """The session is open: the caller's audio may be sent."""

    @abc.abstractmethod
    def disconnected(self, cause: EndCause | None) -> None:
        """It is over; None when we closed it."""


class CarriedCallModel(OpenAIRealtimeWebSocketModel):
    """A session whose caller is at a carrier that brings us their audio.

    The audio formats are the carrier's, whatever the settings say. Only a carrier ends a call in order: a
    server that closes the session has left the caller alone, whatever code it gives. Of the agent's audio the
    listeners hear where it begins; the rest is the player's.
    """

    default_format = "g711_ulaw"

    def __init__(
        self,
        player: CallPlayer,
        *,
        input_format: RealtimeAudioFormat = "g711_ulaw",
        output_format: RealtimeAudioFormat = "g711_ulaw",
        transport_config: TransportConfig | None = None,
    ) -> None:
        super().__init__(transport_config=transport_config)
        self._player = player
        self._formats = {
            "input": audio_format_payload(input_format),
            "output": audio_format_payload(output_format),
        }
        self._live = False
        self._tell = self._tell_player_first
        self._taking.take_for_reader = self._take_sound
        self._notes[RealtimeModelAudioDoneEvent] = self._note_audio_done

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`. A first update that was written for others is not sent."""
        own: RealtimeModelConfig = {**options, "playback_tracker": self._player}
        own.pop("first_update", None)
        await super().connect(own)
        self._live = True
        self._player.connected()

    async def close(self) -> None:
        """See `RealtimeModel.close`."""
        self._ended(None)
        await super().close()

    async def key_pressed(self, digit: str, *, received_at: float | None = None) -> None:
        """Report a key of the caller's, as the API does on SIP. ``received_at`` is in seconds since 1970 UTC.

        Waits until the listeners have taken it. Raises nothing; cancelling leaves out those that have not.
        """
        if self._live:
            await self._tell(RealtimeModelDtmfEvent(digit=digit, received_at=received_at))

    async def call_over(self, detail: str = "") -> None:
        """The caller is gone: close the connection, and report that the call is over. Nothing happens where
        there is no connection. Cancel-safe as `close`."""
        if not self._live:
            return
        await self.close()
        await self._tell(
            RealtimeModelConnectionStatusEvent(status="disconnected", cause="call_over", detail=detail)
        )
        await self._tell(RealtimeModelEndOfStreamEvent())

    # Inside ----------------------------------------------------------------------------------------

    def _session_update(self, settings: RealtimeSessionModelSettings, *, keep_voice: bool = False) -> Command:
        command = super()._session_update(settings, keep_voice=keep_voice)
        audio: dict[str, dict[str, Any]] = command["session"]["audio"]
        for direction, spoken in self._formats.items():
            audio[direction]["format"] = spoken
        return command

    def _note_session(self, session: RealtimeModelSessionEvent) -> bool:
        if self._session is not None and self._session.created:
            # A session begins with formats of its own, until the first update: no change worth a word.
            self._session = None
        return super()._note_session(session)

    def _note_audio(self, event: RealtimeModelAudioEvent) -> bool:
        if not super()._note_audio(event):
            return False
        if not self._received.is_cut_off(event.item_id):
            self._player.play(event.item_id, event.content_index, event.data)
        # With the player it is where it belongs. The listeners hear that somebody begins to speak, as they do
        # of a call whose audio is never here; fifty pieces a second would cost more than all else.
        return RealtimeModelAudioEvent in self._reactions

    def _take_sound(self, event: RealtimeModelAudioEvent | RealtimeModelTurnEndedEvent) -> bool:
        """Take more of a part that has begun: it changes nothing that the reader waits for."""
        if type(event) is not RealtimeModelAudioEvent or RealtimeModelAudioEvent in self._reactions:
            return False
        if not self._received.goes_on(event.item_id, event.content_index):
            return False
        self._note_audio(event)
        return True

    def _note_audio_done(self, event: RealtimeModelAudioDoneEvent) -> bool:
        self._player.finish(event.item_id, event.content_index)
        return True

    async def _tell_player_first(self, event: RealtimeModelEvent) -> None:
        if isinstance(event, RealtimeModelAudioInterruptedEvent):
            # After a full stop, which the player was told of as a tracker, there is nothing left to withdraw.
            self._player.withdraw(event.item_id, event.content_index)
        elif isinstance(event, RealtimeModelConnectionStatusEvent) and event.status == "disconnected":
            self._ended(event.cause)
        await self._audience.tell(event)

    def _ended(self, cause: EndCause | None) -> None:
        if self._live:
            self._live = False
            self._player.disconnected(cause)

    def _cause_of(self, closed: Closed) -> EndCause | None:
        return "expired" if self._expired else None
