"""Finding out how a session stands that another process has led until now.

The server replays nothing to a new socket. But it says behind which item a new one was put, and it can be
asked for any item by its id. So a message of the application is put in and taken out again: what it was put
behind is the last that was said or done, and everything asked before it is answered when it comes. What
answers a tool call has an id that follows from the call's own, so the server can be asked for that too.

Nothing waits for a server that does not answer: then every pending tool call counts as unanswered, since an
answer that comes twice is refused, and one that never comes leaves the caller in silence.

Source: API reference "Realtime client events", ``conversation.item.create``, ``.retrieve`` and ``.delete``.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId
from sipagent.realtime import commands
from sipagent.realtime.events import (
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelSessionEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.history import History
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
)
from sipagent.realtime.items import RealtimeToolCallItem
from sipagent.realtime.latch import Latch
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.payload import session_payload
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.takeover import PendingToolCall, RealtimeTakeover, TakeoverOutcome

logger = logging.getLogger(__name__)

ANSWER_S = 1.5
"""How long all questions may take together; a server that does not answer is gone on without."""
_MARK = "takeover"
_OUTPUT = "fco_"


class TakingOver:
    """Takes over one session. `take` must see its events from the first on."""

    def __init__(
        self,
        takeover: RealtimeTakeover,
        *,
        model: RealtimeModel,
        history: History,
        is_busy: Callable[[], bool],
    ) -> None:
        """``is_busy`` says whether a response is seen to run, or to be heard."""
        self._takeover = takeover
        self._is_busy = is_busy
        self._model = model
        self._history = history
        self._mark = ItemId(f"{_MARK}_{secrets.token_hex(8)}")
        self._marked = False
        self._last: ItemId | None = None
        """What the mark was put behind."""
        self._response_seen = False
        """Something was said, or is being said."""
        self._response_began = False
        """A response began since this process came."""
        self._session: RealtimeModelSessionEvent | None = None
        """How the session was when this process came."""
        self._deadline = 0.0
        """In ``loop.time()`` seconds."""
        self._refused: set[str] = set()
        """Questions that the server answered with an error, by event id."""
        self._asked: set[str] = set()
        self._moved = Latch()

    def take(self, event: RealtimeModelEvent) -> bool:
        """Take in one event; True when it is about nothing but the taking over, and nobody else need hear."""
        match event:
            case RealtimeModelItemUpdatedEvent(item=item) if item.item_id == self._mark:
                if event.placed and not self._marked:
                    self._marked, self._last = True, item.previous_item_id
                self._moved.set()
                return True
            case RealtimeModelItemDeletedEvent(item_id=item_id) if item_id == self._mark:
                return True
            case RealtimeModelErrorEvent(error=Mapping() as error) if error.get("event_id") in self._asked:
                self._refused.add(str(error["event_id"]))
                self._moved.set()
                return True
            case RealtimeModelTurnStartedEvent():
                self._response_began = self._response_seen = True
            case RealtimeModelTurnEndedEvent() | RealtimeModelPlaybackEvent(change="started" | "stopped"):
                self._response_seen = True
            case RealtimeModelSessionEvent() if self._session is None:
                self._session = event
            case RealtimeModelItemUpdatedEvent():
                self._moved.set()
            case _:
                pass
        return False

    async def find_out(
        self, settings: RealtimeSessionModelSettings
    ) -> tuple[TakeoverOutcome, tuple[PendingToolCall, ...]]:
        """What was found, and the tool calls that must run again. A session that is not as ``settings`` say
        is told. A connection that ends meanwhile leaves it at what is known. Cancel-safe."""
        self._deadline = asyncio.get_running_loop().time() + ANSWER_S
        missing = list(self._takeover.pending)
        try:
            missing = await self._look()
            if self._session is None or _differs(self._session, settings):
                # The voice stays: once the agent has spoken, an update that names one is refused as a whole.
                await self._model.send_event(
                    RealtimeModelSendSessionUpdate(session_settings=settings, keep_voice=True)
                )
            last = self._last
            if last is not None and last.startswith(_OUTPUT):
                await self._ask_about_outputs(missing)
            elif last is not None and self._history.get(last) is None:
                missing += await self._missed(last)
        except ConnectionLostError as error:
            logger.info("The session ended while it was taken over: %s", error)
        # A server that has the output by then refuses another, which is what everybody wants.
        self._asked.update(commands.tool_output(call.tool_call_id, "")["event_id"] for call in missing)
        nothing_said = self._last is None and not self._takeover.history and not self._takeover.pending
        outcome = TakeoverOutcome(
            is_empty=nothing_said and not self._response_seen and not self._is_busy(),
            rerun=frozenset(call.tool_call_id for call in missing),
        )
        return outcome, tuple(missing)

    async def _look(self) -> list[PendingToolCall]:
        """Ask for the outputs of the pending calls, and for the last item; the calls without output."""
        questions: dict[str, PendingToolCall] = {}
        for number, call in enumerate(self._takeover.pending):
            event_id = f"{self._mark}_{number}"
            questions[event_id] = call
            self._asked.add(event_id)
            item_id = commands.tool_output(call.tool_call_id, "")["item"]["id"]
            await self._send(commands.item_retrieve(item_id, event_id))
        self._asked.add(self._mark)
        content = [{"type": "input_text", "text": "(The line to the application was renewed.)"}]
        mark = {"type": "message", "id": self._mark, "role": "system", "content": content}
        await self._send({"type": "conversation.item.create", "event_id": self._mark, "item": mark})
        await self._until(lambda: self._marked or self._mark in self._refused)
        answered = self._marked or self._mark in self._refused
        if self._mark not in self._refused:
            event_id = f"{self._mark}_x"
            self._asked.add(event_id)
            await self._send(
                {"type": "conversation.item.delete", "event_id": event_id, "item_id": self._mark}
            )
        return [call for event_id, call in questions.items() if event_id in self._refused or not answered]

    async def _ask_about_outputs(self, missing: list[PendingToolCall]) -> None:
        """The answer to a tool is the last there is: perhaps nobody has asked for a word about it."""
        if missing:
            return  # their answers will ask
        # What is still being heard came before the answer; a response that runs has perhaps taken it up.
        await self._model.send_event_if(
            RealtimeModelRequestResponse(unless_begun=True), lambda: not self._response_began
        )

    async def _missed(self, last: ItemId) -> list[PendingToolCall]:
        """What was done last while nobody was there: a tool call that nobody has run, perhaps."""
        event_id = f"{self._mark}_last"
        self._asked.add(event_id)
        await self._send(commands.item_retrieve(last, event_id))
        await self._until(lambda: self._history.get(last) is not None or event_id in self._refused)
        item = self._history.get(last)
        if not isinstance(item, RealtimeToolCallItem) or item.output is not None:
            return []
        known = {call.tool_call_id for call in self._takeover.pending}
        if item.call_id in known or not item.name or item.status == "in_progress":
            return []  # one that is still being written will be told when it is whole
        return [PendingToolCall(tool_call_id=item.call_id, name=item.name, arguments=item.arguments)]

    async def _until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout_at(self._deadline):
                while not holds():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            logger.info("The server did not say how the session stands; it goes on all the same")

    async def _send(self, command: commands.Command) -> None:
        rest = {key: value for key, value in command.items() if key != "type"}
        await self._model.send_event(
            RealtimeModelSendRawMessage(message={"type": command["type"], "other_data": rest})
        )


def _differs(session: RealtimeModelSessionEvent, settings: RealtimeSessionModelSettings) -> bool:
    """Whether the session goes by another agent than that of ``settings``, or does not let the caller
    interrupt as it should: a handoff that was begun, or words that had to be heard to their end."""
    wanted = session_payload(settings, default_format="g711_ulaw", model=None)
    tools = frozenset(
        str(tool["server_label" if tool.get("type") == "mcp" else "name"]) for tool in wanted["tools"]
    )
    if session.tools is not None and session.tools != tools:
        return True
    if "instructions" in wanted and session.instructions not in (None, wanted["instructions"]):
        return True
    turn_detection = wanted["audio"]["input"].get("turn_detection")
    interrupts = turn_detection.get("interrupt_response", True) if turn_detection else None
    return interrupts is not None and session.interrupt_response not in (None, interrupts)
