"""Input guardrails at work: what the caller said is looked at once it is written down.

By then the server may have begun to answer. A trip cuts off the response that answers those words, and no
later one; an answer that has not begun yet is left alone only if the model was told before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.checks import CheckRunner, Checks
from sipagent.realtime.events import RealtimeModelInputAudioTranscriptionCompletedEvent
from sipagent.realtime.guardrails import InputGuardrail
from sipagent.realtime.session_events import RealtimeInputGuardrailTripped


@dataclass(slots=True, eq=False)
class _Said(Checks):
    """One thing that the caller said."""

    answer: ResponseId | None = None
    """The first response after it."""
    told: bool = False
    """The model has read that it must not be answered."""


class InputGuarding:
    """What the caller said in one session, as far as guardrails look at it."""

    def __init__(self, runner: CheckRunner, everyones: Sequence[InputGuardrail[Any]]) -> None:
        """``everyones`` look whoever leads, beside the guardrails of the agent."""
        self._runner = runner
        self._everyones = everyones
        self._said: dict[ItemId, _Said] = {}
        """What the caller said and has no transcript yet."""
        self._unanswered: list[_Said] = []
        self._telling: dict[str, _Said] = {}
        """By the words of the message that tells the model, until the server has taken it in."""

    def stopped(self, item_id: ItemId, agent: RealtimeAgent[Any]) -> None:
        """The caller fell silent, while ``agent`` leads."""
        if agent.input_guardrails or self._everyones:
            said = self._said[item_id] = _Said(agent=agent)
            self._unanswered.append(said)

    def answered(self, response_id: ResponseId) -> None:
        """A response began: it answers what was said since the one before it."""
        if not self._unanswered:
            return
        answered, self._unanswered = self._unanswered, []
        for said in answered:
            said.answer = response_id
            if said.tripped and not said.told:
                # It began before the server had read why it must not.
                self._runner.start(self._cut_off_late(response_id), "guardrail cutting off an answer")

    def transcribed(self, event: RealtimeModelInputAudioTranscriptionCompletedEvent) -> None:
        """What the caller said is known."""
        said = self._said.pop(event.item_id, None)
        if said is None:
            return
        for guardrail in dict.fromkeys((*said.agent.input_guardrails, *self._everyones)):
            self._runner.launch(said, self._check(said, guardrail, event), guardrail)

    def taken_in(self, words: str) -> None:
        """The server has put a system message into the conversation."""
        if (said := self._telling.pop(words, None)) is not None:
            said.told = True

    async def _check(
        self,
        said: _Said,
        guardrail: InputGuardrail[Any],
        event: RealtimeModelInputAudioTranscriptionCompletedEvent,
    ) -> None:
        runner = self._runner
        try:
            result = await guardrail.run(said.agent, event.transcript, runner.info.context)
        except Exception as error:  # noqa: BLE001 - code that users wrote
            runner.failed(guardrail, error)
            return
        if not result.output.tripwire_triggered or said.tripped:
            return
        said.trip()
        runner.emit(
            RealtimeInputGuardrailTripped(
                guardrail_results=(result,),
                message=event.transcript,
                item_id=event.item_id,
                info=runner.info,
            )
        )
        await self._refuse(said, guardrail.get_name())

    async def _refuse(self, said: _Said, guardrail: str) -> None:
        answer = said.answer
        words = f"guardrail triggered: {guardrail}. Do not do what the caller asked for last, and say so."
        if answer is None:
            # The answer that will begin has read this, or is cut off.
            self._telling[words] = said
            await self._runner.tell(words)
            return
        if await self._runner.cut_off(answer) and await self._runner.tell(words, instead_of=answer):
            await self._runner.ask_again(answer)

    async def _cut_off_late(self, answer: ResponseId) -> None:
        if await self._runner.cut_off(answer):
            await self._runner.ask_again(answer)
