"""What all checks of guardrails in one session share: their tasks, and what a trip sends to the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ResponseId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.guardrails import InputGuardrail, OutputGuardrail
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSystemMessage,
)
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.session_events import RealtimeError, RealtimeEventInfo, RealtimeSessionEvent

logger = logging.getLogger(__name__)

Work = Coroutine[Any, Any, None]
AnyGuardrail = OutputGuardrail[Any] | InputGuardrail[Any]


@dataclass(slots=True, eq=False)
class Checks:
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


class CheckRunner:
    """Runs the checks of one session beside its conversation."""

    def __init__(
        self,
        model: RealtimeModel,
        info: RealtimeEventInfo,
        *,
        emit: Callable[[RealtimeSessionEvent], None],
        start: Callable[[Work, str], asyncio.Task[None]],
    ) -> None:
        """``emit`` tells whoever listens to the session without waiting; ``start`` makes a task that ends
        with the session."""
        self.info = info
        self.emit = emit
        self.start = start
        self.newest: ResponseId | None = None
        """The latest response of the conversation."""
        self._model = model

    def launch(self, checks: Checks, work: Work, guardrail: AnyGuardrail) -> None:
        """Run one check."""
        task = self.start(work, f"guardrail {guardrail.get_name()[:100]}")
        checks.running.add(task)
        task.add_done_callback(checks.running.discard)

    def failed(self, guardrail: AnyGuardrail, error: Exception) -> None:
        """A guardrail raised: the talk goes on."""
        # The type alone: an exception's text may hold what was said.
        logger.warning(
            "guardrail %s failed, and the talk goes on: %s", guardrail.get_name(), type(error).__name__
        )
        logger.debug("guardrail %s failed", guardrail.get_name(), exc_info=error)

    async def cut_off(self, response_id: ResponseId) -> bool:
        """End a response and what is heard of it, and no other; see `tell` for what it returns."""
        return await self._send(
            RealtimeModelSendInterrupt(force_response_cancel=True, response_id=response_id), lambda: True
        )

    async def tell(self, words: str, *, instead_of: ResponseId | None = None) -> bool:
        """Tell the model, with ``instead_of`` unless a response newer than that has begun, which knows
        better. False then, when there is no connection, and when the model refuses."""
        wanted = (lambda: True) if instead_of is None else (lambda: self.newest == instead_of)
        return await self._send(RealtimeModelSendSystemMessage(text=words), wanted)

    async def ask_again(self, instead_of: ResponseId) -> None:
        """Ask for another response, unless a newer one begins before its turn has come."""
        await self._send(RealtimeModelRequestResponse(), lambda: self.newest == instead_of)

    async def _send(self, what: RealtimeModelSendEvent, wanted: Callable[[], bool]) -> bool:
        try:
            return await self._model.send_event_if(what, wanted)
        except ConnectionLostError:
            logger.info("A guardrail tripped after the end of the connection")
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("What a guardrail wanted could not be sent: %s", type(error).__name__)
            self.emit(RealtimeError(error=error, info=self.info))
        return False
