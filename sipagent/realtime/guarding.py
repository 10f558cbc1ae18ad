"""The guardrails of one session at work.

Every check is a task of its own, so that nothing waits for a guardrail: not the socket, not the talk, not
another guardrail. The first one that trips ends the checks of its response. A session without guardrails
pays one look into a table for each event, and two for what belongs to a response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.checks import CheckRunner, Checks, Work
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
from sipagent.realtime.input_guarding import InputGuarding
from sipagent.realtime.items import AssistantMessageItem, SystemMessageItem, text_of
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.session_events import (
    RealtimeEventInfo,
    RealtimeGuardrailTripped,
    RealtimeSessionEvent,
)
from sipagent.realtime.settings import RealtimeRunConfig

DEBOUNCE_TEXT_LENGTH = 100


@dataclass(slots=True, eq=False)
class _Turn(Checks):
    """One response of the agent."""

    response_id: ResponseId = ResponseId("")
    guardrails: tuple[OutputGuardrail[Any], ...] = ()
    out_of_band: bool = False
    cancelled: bool = False
    texts: dict[ItemId, str] = field(default_factory=dict)
    checked: dict[ItemId, int] = field(default_factory=dict)
    """How long each text was when it was looked at last."""


class Guarding:
    """Watches what a session's model reports, and cuts off what a guardrail forbids."""

    __slots__ = (
        "_debounce",
        "_everyones",
        "_inputs",
        "_runner",
        "_turns",
        "unguarded",
    )

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
        self._runner = CheckRunner(model, info, emit=emit, start=start)
        self._inputs = InputGuarding(self._runner, run_config.get("input_guardrails") or ())
        self._everyones = run_config.get("output_guardrails") or ()
        length = run_config.get("guardrails_settings", {}).get("debounce_text_length", DEBOUNCE_TEXT_LENGTH)
        self._debounce = max(1, length)
        self._turns: dict[ResponseId, _Turn | None] = {}
        """By response; None once it has ended, or has no guardrails."""
        self.unguarded: ResponseId | None = None
        """A response that runs and has no guardrails: nothing it says need be looked at."""

    def take(self, event: RealtimeModelEvent, agent: RealtimeAgent[Any]) -> None:
        """Look at ``event``, while ``agent`` leads. Never waits, never raises."""
        reaction = _REACTIONS.get(type(event))
        if reaction is not None:
            reaction(self, event, agent)

    # What the agent says ---------------------------------------------------------------------------

    def _begin(self, event: RealtimeModelTurnStartedEvent, agent: RealtimeAgent[Any]) -> None:
        self._turn(event.response_id, agent, out_of_band=event.out_of_band)

    def _turn(
        self, response_id: ResponseId, agent: RealtimeAgent[Any], *, out_of_band: bool = False
    ) -> _Turn | None:
        """The turn of a response, which begins now if its beginning was missed."""
        if response_id in self._turns:
            return self._turns[response_id]
        if not out_of_band:
            self._runner.newest = response_id
            self._inputs.answered(response_id)
        own, everyones = agent.output_guardrails, self._everyones
        if not own and not everyones:
            # Kept, so that an agent that takes over meanwhile does not answer for it.
            self._turns[response_id] = None
            self.unguarded = response_id
            return None
        turn = _Turn(
            agent=agent,
            response_id=response_id,
            # Once each, although the agent and the configuration may name the same one.
            guardrails=tuple(dict.fromkeys((*own, *everyones))),
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
        if type(item) is SystemMessageItem:
            self._inputs.taken_in(text_of(item))
        elif type(item) is AssistantMessageItem and event.response_id is not None:
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
            self._runner.launch(turn, self._check_output(turn, guardrail, item_id, text), guardrail)

    async def _check_output(
        self, turn: _Turn, guardrail: OutputGuardrail[Any], item_id: ItemId, text: str
    ) -> None:
        try:
            result = await guardrail.run(self._runner.info.context, turn.agent, text)
        except Exception as error:  # noqa: BLE001 - code that users wrote
            self._runner.failed(guardrail, error)
            return
        if not result.output.tripwire_triggered or turn.tripped:
            return
        turn.trip()
        self._runner.emit(
            RealtimeGuardrailTripped(
                guardrail_results=(result,),
                message=text,
                response_id=turn.response_id,
                item_id=item_id,
                info=self._runner.info,
            )
        )
        await self._cut_off(turn, guardrail.get_name())

    async def _cut_off(self, turn: _Turn, guardrail: str) -> None:
        runner = self._runner
        if not await runner.cut_off(turn.response_id) or turn.out_of_band:
            return
        words = f"guardrail triggered: {guardrail}. What you were saying was cut off: do not go on with it."
        # After a response that the caller broke off, the caller has the word.
        if await runner.tell(words, instead_of=turn.response_id) and not turn.cancelled:
            await runner.ask_again(turn.response_id)

    # What the caller says --------------------------------------------------------------------------

    def _hear(self, event: RealtimeModelCallerSpeechStoppedEvent, agent: RealtimeAgent[Any]) -> None:
        self._inputs.stopped(event.item_id, agent)

    def _read(
        self, event: RealtimeModelInputAudioTranscriptionCompletedEvent, agent: RealtimeAgent[Any]
    ) -> None:
        self._inputs.transcribed(event)


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
GUARDED: Final = frozenset(_REACTIONS)
"""The events that `Guarding` needs to hear of."""
