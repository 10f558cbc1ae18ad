"""Speech that the caller cannot cut off: a notice that the law wants heard, say.

The server cuts a response off when it hears the caller, unless its turn detection is told not to. So it is
told before the speech is asked for, and told back once the speech was heard, failed, or was refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ResponseId
from sipagent.realtime.events import (
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.inputs import RealtimeModelRequestResponse, RealtimeModelSendInterruptible
from sipagent.realtime.leading import Lead
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.settings import RealtimeSessionModelSettings, turn_detection_payload
from sipagent.realtime.translation import Translation

logger = logging.getLogger(__name__)

LONGEST_SPEECH_S = 120.0
"""Whatever the server reports or leaves out: after so long the caller can interrupt again."""


class _Speech:
    """One speech that must be heard to its end."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.response_id: ResponseId | None = None
        """The response that makes it, as far as can be told."""
        self.over = asyncio.Event()


class ProtectedSpeech:
    """The uninterruptible speech of one session."""

    __slots__ = (
        "_count",
        "_lead",
        "_model",
        "_speeches",
        "_start",
        "_telling",
        "_told",
        "active",
    )

    def __init__(
        self, *, model: RealtimeModel, lead: Lead, start: Callable[[Coroutine[Any, Any, None], str], object]
    ) -> None:
        """``start`` runs something under a name until the session ends."""
        self._model = model
        self._lead = lead
        self._start = start
        self._speeches: list[_Speech] = []
        self.active = False
        """Whether something is being said, or about to be, that must be heard to its end. Not to be changed
        from outside; it is asked for every word."""
        self._told: bool | None = True
        """Whether the server lets the caller interrupt, as far as it was told; None when that is unknown."""
        self._telling = asyncio.Lock()
        self._count = 0

    def adjust(self, settings: RealtimeSessionModelSettings) -> RealtimeSessionModelSettings:
        """``settings`` as they may be sent now."""
        turn_detection = turn_detection_payload(settings)
        if not self.active or turn_detection is None:
            return settings
        held: RealtimeSessionModelSettings = {**settings}
        audio = held.get("audio") or {}
        given = audio.get("input") or {}
        held["audio"] = {
            **audio,
            "input": {**given, "turn_detection": {**turn_detection, "interrupt_response": False}},
        }
        return held

    async def say(self, instructions: str) -> None:
        """Ask for a response with ``instructions`` that the caller cannot cut off.

        Raises what the model raises. Cancel-safe: the caller can interrupt again.
        """
        self._count += 1
        speech = _Speech(f"sipagent_say_{self._count}")
        self._speeches.append(speech)
        self.active = True
        try:
            await self._tell_server()
            await self._model.send_event(
                RealtimeModelRequestResponse(
                    response={"instructions": instructions}, event_id=speech.event_id
                )
            )
        except BaseException:
            speech.over.set()
            raise
        finally:
            self._start(self._restore_after(speech), f"uninterruptible {speech.event_id}")

    def notice(self, event: RealtimeModelEvent, translation: Translation) -> None:
        """Something happened, and ``translation`` knows of it."""
        match event:
            case RealtimeModelResponseRequestedEvent(event_id=event_id):
                for speech in self._speeches:
                    # Asked again after a collision or a lost connection: what began meanwhile was another.
                    if event_id in (speech.event_id, f"{speech.event_id}_again"):
                        speech.response_id = None
            case RealtimeModelTurnStartedEvent(response_id=response_id, out_of_band=False):
                for speech in self._speeches:
                    if speech.response_id is None:
                        speech.response_id = response_id
                        break
            case RealtimeModelErrorEvent(error=error):
                for speech in self._speeches:
                    if error.get("event_id") == speech.event_id:
                        speech.over.set()
            case _:
                pass
        if self._model.response_pending:
            return  # it may be the very response that is still to begin
        for speech in self._speeches:
            if translation.over or _was_heard(speech, translation):
                speech.over.set()

    async def _restore_after(self, speech: _Speech) -> None:
        try:
            async with asyncio.timeout(LONGEST_SPEECH_S):
                await speech.over.wait()
                await asyncio.sleep(self._model.unplayed_s)
        except TimeoutError:
            logger.warning("An uninterruptible speech did not end within %g s", LONGEST_SPEECH_S)
        self._speeches.remove(speech)
        self.active = bool(self._speeches)
        try:
            await self._tell_server()
        except ConnectionLostError:
            logger.info("The connection ended before its caller could interrupt again")
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("The caller cannot interrupt any more: %s", type(error).__name__)

    async def _tell_server(self) -> None:
        """Let the server know whether the caller can cut the agent off, if that is news to it."""
        async with self._telling:
            interruptible = not self._speeches
            turn_detection = turn_detection_payload(self._lead.current.settings)
            if interruptible == self._told or turn_detection is None:
                return
            # When this is cancelled, it may be on the wire all the same.
            self._told = None
            await self._model.send_event(
                RealtimeModelSendInterruptible(interruptible=interruptible, turn_detection=turn_detection)
            )
            self._told = interruptible


def _was_heard(speech: _Speech, translation: Translation) -> bool:
    if speech.response_id is not None:
        return translation.speaking.was_heard(speech.response_id)
    return not (translation.speaking.response_active or translation.speaking.agent_is_speaking)
