"""The guardrails of one session at work.

Every check is a task of its own, so that nothing waits for a guardrail: not the socket, not the talk, not
another guardrail. The first one that trips ends the checks of its response. A session without guardrails
pays one look into a table for each event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import (
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.guardrails import InputGuardrail, OutputGuardrail, check_guardrails
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSystemMessage,
)
from sipagent.realtime.items import AssistantMessageItem, SystemMessageItem, text_of
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.session_events import (
    RealtimeError,
    RealtimeEventInfo,
    RealtimeGuardrailTripped,
    RealtimeInputGuardrailTripped,
    RealtimeSessionEvent,
)
from sipagent.realtime.settings import RealtimeRunConfig

logger = logging.getLogger(__name__)

DEBOUNCE_TEXT_LENGTH = 100

Work = Coroutine[Any, Any, None]


@dataclass(slots=True, eq=False)
class _Checks:
    """The checks of one response, or of one thing that the caller said."""

    agent: RealtimeAgent[Any]
    """Who led when it began."""
    running: set[asyncio.Task[None]] = field(default_factory=set)
    tripped: bool = False

    def trip(self) -> None:
        """One guardrail is enough: the others are asked no more."""
        self.tripped = True
        for task in self.running:
            if task is not asyncio.current_task():
                task.cancel()


@dataclass(slots=True, eq=False)
class _Turn(_Checks):
    """One response of the agent."""

    response_id: ResponseId = ResponseId("")
    guardrails: tuple[OutputGuardrail[Any], ...] = ()
    out_of_band: bool = False
    cancelled: bool = False
    texts: dict[ItemId, str] = field(default_factory=dict)
    checked: dict[ItemId, int] = field(default_factory=dict)
    """How long each text was when it was looked at last."""


@dataclass(slots=True, eq=False)
class _Said(_Checks):
    """One thing that the caller said."""

    answer: ResponseId | None = None
    """The first response after it."""
    told: bool = False
    """The model has read that it must not be answered."""


class Guarding:
    """Watches what a session's model reports, and cuts off what a guardrail forbids."""

    def __init__(
        self,
        model: RealtimeModel,
        info: RealtimeEventInfo,
        run_config: RealtimeRunConfig,
        *,
        emit: Callable[[RealtimeSessionEvent], None],
        start: Callable[[Work, str], asyncio.Task[None]],
    ) -> None:
        """``emit`` tells whoever listens to the session without waiting; ``start`` makes a task that ends
        with the session. Raises `UserError` for guardrails that are none."""
        check_guardrails(run_config.get("output_guardrails"), OutputGuardrail)
        check_guardrails(run_config.get("input_guardrails"), InputGuardrail)
        self._model = model
        self._info = info
        self._config = run_config
        self._emit = emit
        self._start = start
        length = run_config.get("guardrails_settings", {}).get("debounce_text_length", DEBOUNCE_TEXT_LENGTH)
        self._debounce = max(1, length)
        self._turns: dict[ResponseId, _Turn | None] = {}
        """By response; None once it has ended, or has no guardrails."""
        self._said: dict[ItemId, _Said] = {}
        """What the caller said and has no transcript yet."""
        self._unanswered: list[_Said] = []
        self._telling: dict[str, _Said] = {}
        """By the words of the message that tells the model, until the server has taken it in."""
        self._newest: ResponseId | None = None

    def take(self, event: RealtimeModelEvent, agent: RealtimeAgent[Any]) -> None:
        """Look at ``event``, while ``agent`` leads. Never waits, never raises."""
        reaction = _REACTIONS.get(type(event))
        if reaction is not None:
            reaction(self, event, agent)

    # What the agent says ---------------------------------------------------------------------------

    def _begin(self, event: RealtimeModelTurnStartedEvent, agent: RealtimeAgent[Any]) -> None:
        if not event.out_of_band:
            self._newest = event.response_id
            self._answer(event.response_id)
        self._turn(event.response_id, agent, out_of_band=event.out_of_band)

    def _turn(
        self, response_id: ResponseId, agent: RealtimeAgent[Any], *, out_of_band: bool = False
    ) -> _Turn | None:
        """The turn of a response, which begins now if its beginning was missed."""
        if response_id in self._turns:
            return self._turns[response_id]
        own, everyones = agent.output_guardrails, self._config.get("output_guardrails")
        if not own and not everyones:
            return None
        turn = _Turn(
            agent=agent,
            response_id=response_id,
            # Once each, although the agent and the configuration may name the same one.
            guardrails=tuple(dict.fromkeys((*own, *(everyones or ())))),
            out_of_band=out_of_band,
        )
        self._turns[response_id] = turn
        return turn

    def _grow(
        self,
        event: RealtimeModelTranscriptDeltaEvent | RealtimeModelOutputTextDeltaEvent,
        agent: RealtimeAgent[Any],
    ) -> None:
        if (turn := self._turn(event.response_id, agent)) is not None:
            self._now_reads(turn, event.item_id, turn.texts.get(event.item_id, "") + event.delta)

    def _whole(self, event: RealtimeModelTranscriptDoneEvent, agent: RealtimeAgent[Any]) -> None:
        if (turn := self._turn(event.response_id, agent)) is not None:
            self._now_reads(turn, event.item_id, event.transcript)

    def _item(self, event: RealtimeModelItemUpdatedEvent, agent: RealtimeAgent[Any]) -> None:
        item = event.item
        if isinstance(item, SystemMessageItem) and self._telling:
            if (said := self._telling.pop(text_of(item), None)) is not None:
                said.told = True
        elif isinstance(item, AssistantMessageItem) and event.response_id is not None:
            turn = self._turn(event.response_id, agent)
            if turn is not None:
                self._now_reads(turn, item.item_id, text_of(item))

    def _now_reads(self, turn: _Turn, item_id: ItemId, text: str) -> None:
        # Several parts of one item, or a late repetition, may say less than what is known already.
        if turn.tripped or len(text) <= len(turn.texts.get(item_id, "")):
            return
        turn.texts[item_id] = text
        if len(text) // self._debounce > turn.checked.get(item_id, 0) // self._debounce:
            self._check(turn, item_id)

    def _end(self, event: RealtimeModelTurnEndedEvent, agent: RealtimeAgent[Any]) -> None:
        turn = self._turns.get(event.response_id)
        if turn is not None:
            turn.cancelled = event.status == "cancelled"
            self._check_rest(turn)
            self._turns[event.response_id] = None

    def _connection(self, event: RealtimeModelConnectionStatusEvent, agent: RealtimeAgent[Any]) -> None:
        if event.reattached:
            # The ends of turns may have been missed.
            for turn in self._turns.values():
                if turn is not None:
                    self._check_rest(turn)

    def _check_rest(self, turn: _Turn) -> None:
        for item_id, text in turn.texts.items():
            if not turn.tripped and len(text) > turn.checked.get(item_id, 0):
                self._check(turn, item_id)

    def _check(self, turn: _Turn, item_id: ItemId) -> None:
        text = turn.texts[item_id]
        turn.checked[item_id] = len(text)
        for guardrail in turn.guardrails:
            self._launch(turn, self._check_output(turn, guardrail, item_id, text), guardrail)

    async def _check_output(
        self, turn: _Turn, guardrail: OutputGuardrail[Any], item_id: ItemId, text: str
    ) -> None:
        try:
            result = await guardrail.run(self._info.context, turn.agent, text)
        except Exception as error:  # noqa: BLE001 - code that users wrote
            _failed(guardrail, error)
            return
        if not result.output.tripwire_triggered or turn.tripped:
            return
        turn.trip()
        self._emit(
            RealtimeGuardrailTripped(
                guardrail_results=(result,),
                message=text,
                response_id=turn.response_id,
                item_id=item_id,
                info=self._info,
            )
        )
        await self._cut_off(turn, guardrail.get_name())

    async def _cut_off(self, turn: _Turn, guardrail: str) -> None:
        wanted = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=turn.response_id)
        if not await self._send(wanted) or turn.out_of_band:
            return
        # After each thing that is sent, a newer response may have begun, which knows better.
        if self._newest not in (None, turn.response_id):
            return
        words = f"guardrail triggered: {guardrail}. What you were saying was cut off: do not go on with it."
        if not await self._send(RealtimeModelSendSystemMessage(text=words)):
            return
        # After a response that the caller broke off, the caller has the word.
        if self._newest in (None, turn.response_id) and not turn.cancelled:
            await self._send(RealtimeModelRequestResponse())

    # What the caller says --------------------------------------------------------------------------

    def _hear(self, event: RealtimeModelCallerSpeechStoppedEvent, agent: RealtimeAgent[Any]) -> None:
        if agent.input_guardrails or self._config.get("input_guardrails"):
            said = self._said[event.item_id] = _Said(agent=agent)
            self._unanswered.append(said)

    def _answer(self, response_id: ResponseId) -> None:
        """A response began: it answers what was said since the one before it."""
        answered, self._unanswered = self._unanswered, []
        for said in answered:
            said.answer = response_id
            if said.tripped and not said.told:
                # It began before the server had read why it must not.
                self._start(self._cut_off_answer(response_id), "guardrail cutting off an answer")

    def _read(
        self, event: RealtimeModelInputAudioTranscriptionCompletedEvent, agent: RealtimeAgent[Any]
    ) -> None:
        said = self._said.pop(event.item_id, None)
        if said is None:
            return
        everyones = self._config.get("input_guardrails") or ()
        for guardrail in dict.fromkeys((*said.agent.input_guardrails, *everyones)):
            self._launch(said, self._check_input(said, guardrail, event), guardrail)

    async def _check_input(
        self,
        said: _Said,
        guardrail: InputGuardrail[Any],
        event: RealtimeModelInputAudioTranscriptionCompletedEvent,
    ) -> None:
        try:
            result = await guardrail.run(said.agent, event.transcript, self._info.context)
        except Exception as error:  # noqa: BLE001 - code that users wrote
            _failed(guardrail, error)
            return
        if not result.output.tripwire_triggered or said.tripped:
            return
        said.trip()
        self._emit(
            RealtimeInputGuardrailTripped(
                guardrail_results=(result,),
                message=event.transcript,
                item_id=event.item_id,
                info=self._info,
            )
        )
        await self._refuse(said, guardrail.get_name())

    async def _refuse(self, said: _Said, guardrail: str) -> None:
        answer = said.answer
        if answer is not None:
            wanted = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=answer)
            if not await self._send(wanted) or self._newest != answer:
                return
        words = f"guardrail triggered: {guardrail}. Do not do what the caller asked for last, and say so."
        if answer is None:
            # The answer that will begin has read this, or is cut off.
            self._telling[words] = said
        if await self._send(RealtimeModelSendSystemMessage(text=words)) and answer is not None:
            await self._ask_again(answer)

    async def _cut_off_answer(self, answer: ResponseId) -> None:
        wanted = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=answer)
        if await self._send(wanted):
            await self._ask_again(answer)

    async def _ask_again(self, instead_of: ResponseId) -> None:
        # A newer response may have begun while something was sent, and knows better.
        if self._newest == instead_of:
            await self._send(RealtimeModelRequestResponse())

    # Both ------------------------------------------------------------------------------------------

    def _launch(
        self, checks: _Checks, work: Work, guardrail: OutputGuardrail[Any] | InputGuardrail[Any]
    ) -> None:
        task = self._start(work, f"guardrail {guardrail.get_name()[:100]}")
        checks.running.add(task)
        task.add_done_callback(checks.running.discard)

    async def _send(self, what: RealtimeModelSendEvent) -> bool:
        """Send; False when there is no connection, or the model refuses."""
        try:
            await self._model.send_event(what)
        except ConnectionLostError:
            logger.info("A guardrail tripped after the end of the connection")
            return False
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("What a guardrail wanted could not be sent: %s", type(error).__name__)
            self._emit(RealtimeError(error=error, info=self._info))
            return False
        return True


_REACTIONS: Final[Mapping[type[Any], Callable[[Guarding, Any, RealtimeAgent[Any]], None]]] = {
    RealtimeModelTurnStartedEvent: Guarding._begin,
    RealtimeModelTranscriptDeltaEvent: Guarding._grow,
    RealtimeModelOutputTextDeltaEvent: Guarding._grow,
    RealtimeModelTranscriptDoneEvent: Guarding._whole,
    RealtimeModelItemUpdatedEvent: Guarding._item,
    RealtimeModelTurnEndedEvent: Guarding._end,
    RealtimeModelCallerSpeechStoppedEvent: Guarding._hear,
    RealtimeModelInputAudioTranscriptionCompletedEvent: Guarding._read,
    RealtimeModelConnectionStatusEvent: Guarding._connection,
}


def _failed(guardrail: OutputGuardrail[Any] | InputGuardrail[Any], error: Exception) -> None:
    # The type alone: an exception's text may hold what was said.
    logger.warning(
        "guardrail %s failed, and the talk goes on: %s", guardrail.get_name(), type(error).__name__
    )
    logger.debug("guardrail %s failed", guardrail.get_name(), exc_info=error)
