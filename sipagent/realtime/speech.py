"""Speech that the caller cannot cut off: a notice that the law wants heard, say.

The server cuts a response off when it hears the caller, unless its turn detection is told not to. So it is
told before the speech is asked for, and told back once the speech was heard, failed, or was refused.

Nor may it answer by itself meanwhile: while the speech is being made it would fail to, and what the caller
said would be lost. So it leaves the caller's turns alone, and one answer to all of them is asked for when the
speech is over. Which turns it has left alone is known from the order of its events: those that end while the
session, as it told last, answers none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ResponseId
from sipagent.realtime.commands import undisturbed
from sipagent.realtime.events import (
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelSessionEvent,
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
        "_asked_to_leave",
        "_caller_speaks",
        "_count",
        "_lead",
        "_left_alone",
        "_model",
        "_owed",
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
        """Whether something is being said, or about to be, that must be heard to its end, or what came of it
        is not settled yet: `notice` must hear of everything. Not to be changed from outside; it is asked for
        every word."""
        self._asked_to_leave = False
        """The server was asked to leave to us what the caller says, and has not told yet that it answers
        again."""
        self._left_alone = False
        """It does so."""
        self._owed = False
        """The caller has said something that was left to us."""
        self._caller_speaks = False
        self._told: bool | None = True
        """Whether the server lets the caller interrupt, as far as it was told; None when that is unknown."""
        self._telling = asyncio.Lock()
        self._count = 0

    def adjust(self, settings: RealtimeSessionModelSettings) -> RealtimeSessionModelSettings:
        """``settings`` as they may be sent now."""
        turn_detection = turn_detection_payload(settings)
        if not self._speeches or turn_detection is None:
            return settings
        return with_turn_detection(settings, undisturbed(turn_detection))

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

    def forget_turns(self) -> None:
        """What the caller has said meanwhile need not be answered any more."""
        self._owed = False

    def session_changed(self, session: RealtimeModelSessionEvent) -> None:
        """The server tells how the session is now; to be told always."""
        turn_detection = turn_detection_payload(self._lead.current.settings)
        wanted = turn_detection is not None and turn_detection.get("create_response", True) is not False
        answers = session.create_response
        leaves = self._told is False if answers is None else not answers
        self._left_alone = wanted and leaves and self._asked_to_leave
        self._asked_to_leave = self._told is not True or self._left_alone
        self._settle()

    def notice(self, event: RealtimeModelEvent, translation: Translation) -> None:
        """Something happened, and ``translation`` knows of it."""
        self._follow_turns(event)
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
                else:
                    self._owed = False  # it answers what was said before it
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

    def _follow_turns(self, event: RealtimeModelEvent) -> None:
        match event:
            case RealtimeModelCallerSpeechStartedEvent():
                self._caller_speaks = True
            case RealtimeModelCallerSpeechStoppedEvent():
                self._caller_speaks = False
                self._owed = self._owed or self._left_alone
                if self._owed and not self._speeches:
                    self._start(self._answer(), "answer what was said meanwhile")
            case RealtimeModelConnectionStatusEvent(reattached=True):
                self._caller_speaks = False  # its end may have been missed
            case _:
                pass

    def _settle(self) -> None:
        """Whether `notice` must still hear of everything."""
        self.active = bool(self._speeches) or self._left_alone
        if not self.active and self._caller_speaks:
            # The server answers once the caller has finished.
            self._owed = self._caller_speaks = False

    async def _restore_after(self, speech: _Speech) -> None:
        try:
            async with asyncio.timeout(LONGEST_SPEECH_S):
                await speech.over.wait()
                await asyncio.sleep(self._model.unplayed_s)
        except TimeoutError:
            logger.warning("An uninterruptible speech did not end within %g s", LONGEST_SPEECH_S)
        self._speeches.remove(speech)
        self._settle()
        try:
            await self._tell_server()
            await self._answer()
        except ConnectionLostError:
            logger.info("The connection ended before its caller could interrupt again")
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("The caller cannot interrupt any more: %s", type(error).__name__)

    async def _answer(self) -> None:
        """Ask for the answer to what the caller has said meanwhile, unless the caller speaks again: the end
        of that brings it."""
        if self._speeches or not self._owed or self._caller_speaks:
            return
        self._owed = False
        try:
            await self._model.send_event(RealtimeModelRequestResponse())
        except ConnectionLostError:
            logger.info("The connection ended before its caller was answered")

    async def _tell_server(self) -> None:
        """Let the server know whether the caller can cut the agent off, if that is news to it."""
        async with self._telling:
            interruptible = not self._speeches
            turn_detection = turn_detection_payload(self._lead.current.settings)
            if interruptible == self._told or turn_detection is None:
                return
            # When this is cancelled, it may be on the wire all the same.
            self._told = None
            self._asked_to_leave = self._asked_to_leave or not interruptible
            await self._model.send_event(
                RealtimeModelSendInterruptible(interruptible=interruptible, turn_detection=turn_detection)
            )
            self._told = interruptible


def with_turn_detection(
    settings: RealtimeSessionModelSettings, turn_detection: Mapping[str, Any]
) -> RealtimeSessionModelSettings:
    """``settings`` with another ``turn_detection``, as the API writes it."""
    changed: RealtimeSessionModelSettings = {**settings}
    audio = changed.get("audio") or {}
    changed["audio"] = {**audio, "input": {**(audio.get("input") or {}), "turn_detection": turn_detection}}
    return changed


def _was_heard(speech: _Speech, translation: Translation) -> bool:
    if speech.response_id is not None:
        return translation.speaking.was_heard(speech.response_id)
    return not (translation.speaking.response_active or translation.speaking.agent_is_speaking)
