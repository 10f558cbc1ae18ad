"""Finding out how a session stands that nobody of us has heard for a while: another process has led it until
now, or the socket broke.

The server replays nothing to a new socket. But it says behind which item a new one was put, and it can be
asked for any item by its id. So a message of the application is put in and taken out again: what it was put
behind is the last that was said or done, and everything asked before it is answered when it comes. What
answers a tool call has an id that follows from the call's own, so the server can be asked for that too.

What stands before the last cannot be asked. So a tool call that nobody heard is taken out, to see what it
stood behind, and put back at once where it was: models make several calls in one response, and each of them
wants an answer. A connection that is lost at that very moment takes the call with it.

Nothing waits for a server that does not answer: then every pending tool call counts as unanswered, since an
answer that comes twice is refused, and one that never comes leaves the caller in silence.

Source: API reference "Realtime client events", ``conversation.item.create``, ``.retrieve`` and ``.delete``.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ToolCallId
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
from sipagent.realtime.items import RealtimeItem, RealtimeToolCallItem
from sipagent.realtime.latch import Latch
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.payload import session_payload, turn_detection_payload
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.speech import with_turn_detection
from sipagent.realtime.takeover import PendingToolCall, RealtimeTakeover, TakeoverOutcome

logger = logging.getLogger(__name__)

ANSWER_S = 1.5
"""How long all questions may take together; a server that does not answer is gone on without."""
_MARK = "takeover"
_OUTPUT = "fco_"
_ROOT = "root"
"""Stands before the first item."""


class TakingOver:
    """Takes over one session. `take` must see its events from the first on."""

    def __init__(
        self,
        takeover: RealtimeTakeover,
        *,
        model: RealtimeModel,
        history: History,
        is_busy: Callable[[], bool],
        after: TakingOver | None = None,
    ) -> None:
        """``is_busy`` says whether a response is seen to run, or to be heard. ``after``: the same was done
        before in this session, and something that was asked then may still come."""
        self._takeover = takeover
        self._is_busy = is_busy
        self._model = model
        self._history = history
        self._ours: set[ItemId] = set() if after is None else after._ours
        """Items that concern nobody but us: marks, and what was taken out and put back."""
        self._behind: dict[ItemId, ItemId | None] = {}
        """What the marks were put behind."""
        self._last: ItemId | None = None
        """What the first mark was put behind."""
        self._shown: dict[ItemId, RealtimeItem] = {}
        """How the items stand that were asked for."""
        self._wanted: set[ItemId] = set()
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
        self._asked: set[str] = set() if after is None else after._asked
        self._moved = Latch()

    def take(self, event: RealtimeModelEvent) -> bool:
        """Take in one event; True when it is about nothing but the taking over, and nobody else need hear."""
        match event:
            case RealtimeModelItemUpdatedEvent(item=item) if item.item_id in self._ours:
                if event.placed:
                    self._behind.setdefault(item.item_id, item.previous_item_id)
                self._moved.set()
                return True
            case RealtimeModelItemDeletedEvent(item_id=item_id) if item_id in self._ours:
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
            case RealtimeModelItemUpdatedEvent(item=item):
                if item.item_id in self._wanted and not event.placed:
                    self._shown[item.item_id] = item
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
                    RealtimeModelSendSessionUpdate(session_settings=_in_full(settings), keep_voice=True)
                )
            if self._last is not None and self._last.startswith(_OUTPUT):
                await self._ask_about_outputs(missing)
            else:
                pending = {call.tool_call_id for call in self._takeover.pending}
                missing += await self._missed(lambda tool_call_id: tool_call_id in pending)
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

    async def find_missed(self, begun: Callable[[ToolCallId], bool]) -> tuple[PendingToolCall, ...]:
        """The tool calls that were made while the socket was away, but for those that have ``begun``. What
        was said last comes into the history. A connection that ends meanwhile ends this. Cancel-safe."""
        self._deadline = asyncio.get_running_loop().time() + ANSWER_S
        try:
            await self._look()
            if self._last is None or self._last.startswith(_OUTPUT):
                return ()
            return tuple(await self._missed(begun))
        except ConnectionLostError as error:
            logger.info("The session ended before it was known what was missed: %s", error)
            return ()

    async def _look(self) -> list[PendingToolCall]:
        """Ask for the outputs of the pending calls, and for the last item; the calls without output."""
        questions: dict[str, PendingToolCall] = {}
        for call in self._takeover.pending:
            item_id = ItemId(commands.tool_output(call.tool_call_id, "")["item"]["id"])
            questions[await self._ask_for(item_id)] = call
        mark = await self._mark()
        self._last = self._behind.get(mark)
        answered = mark in self._behind or mark in self._refused
        return [call for event_id, call in questions.items() if event_id in self._refused or not answered]

    async def _mark(self) -> ItemId:
        """Put a mark in at the end of the conversation, and take it out again; what it was put behind is
        known then, unless the server has refused it, or not answered in time."""
        mark = self._new_id()
        self._asked.add(mark)
        content = [{"type": "input_text", "text": "(The line to the application was renewed.)"}]
        item = {"type": "message", "id": mark, "role": "system", "content": content}
        await self._send({"type": "conversation.item.create", "event_id": mark, "item": item})
        await self._until(lambda: mark in self._behind or mark in self._refused)
        if mark not in self._refused:
            await self._take_out(mark)
        return mark

    async def _ask_about_outputs(self, missing: list[PendingToolCall]) -> None:
        """The answer to a tool is the last there is: perhaps nobody has asked for a word about it."""
        if missing:
            return  # their answers will ask
        # What is still being heard came before the answer; a response that runs has perhaps taken it up.
        await self._model.send_event_if(
            RealtimeModelRequestResponse(unless_begun=True), lambda: not self._response_began
        )

    async def _missed(self, begun: Callable[[ToolCallId], bool]) -> list[PendingToolCall]:
        """What was done last while nobody was there: tool calls that nobody has run, perhaps; the first
        first."""
        found: list[RealtimeToolCallItem] = []
        last, is_placed = self._last, True
        try:
            while last is not None and is_placed and not self._is_known(last):
                item = await self._shown_now(last)
                if not isinstance(item, RealtimeToolCallItem) or item.output is not None:
                    break
                if begun(item.call_id) or not item.name or item.status == "in_progress":
                    break  # one that is still being written will be told when it is whole
                found.append(item)
                self._ours.add(last)
                await self._take_out(last)
                mark = await self._mark()
                is_placed = mark in self._behind
                last = self._behind.get(mark)
        finally:
            behind = (last or _ROOT) if is_placed else None
            with suppress(ConnectionLostError):
                await self._put_back(found, behind=behind)
        return [
            PendingToolCall(tool_call_id=item.call_id, name=item.name, arguments=item.arguments)
            for item in reversed(found)
        ]

    def _is_known(self, item_id: ItemId) -> bool:
        item = self._history.get(item_id)
        # A tool call that was being written when the socket broke is whole by now, perhaps.
        return item is not None and not (
            isinstance(item, RealtimeToolCallItem) and item.status == "in_progress"
        )

    async def _shown_now(self, item_id: ItemId) -> RealtimeItem | None:
        """How an item stands; None where the server does not say."""
        event_id = await self._ask_for(item_id)
        await self._until(lambda: item_id in self._shown or event_id in self._refused)
        return self._shown.get(item_id)

    async def _put_back(self, found: list[RealtimeToolCallItem], *, behind: str | None) -> None:
        """Put back what was taken out, the last first, ``behind`` what it stood."""
        for item in reversed(found):
            put_back = self._new_id()
            self._asked.add(put_back)
            call = {
                "type": "function_call",
                "id": put_back,
                "call_id": item.call_id,
                "name": item.name,
                "arguments": item.arguments,
            }
            command: commands.Command = {
                "type": "conversation.item.create",
                "event_id": put_back,
                "item": call,
            }
            if behind is not None:
                command["previous_item_id"] = behind
                behind = put_back
            await self._send(command)

    async def _ask_for(self, item_id: ItemId) -> str:
        """Ask how an item stands; the id of the question."""
        event_id = f"{_MARK}_{secrets.token_hex(8)}"
        self._asked.add(event_id)
        self._wanted.add(item_id)
        await self._send(commands.item_retrieve(item_id, event_id))
        return event_id

    async def _take_out(self, item_id: ItemId) -> None:
        event_id = f"{_MARK}_{secrets.token_hex(8)}"
        self._asked.add(event_id)
        await self._send({"type": "conversation.item.delete", "event_id": event_id, "item_id": item_id})

    def _new_id(self) -> ItemId:
        """The id of an item that concerns nobody but us."""
        item_id = ItemId(f"{_MARK}_{secrets.token_hex(8)}")
        self._ours.add(item_id)
        return item_id

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
    if not turn_detection:
        return False
    found = {"interrupt_response": session.interrupt_response, "create_response": session.create_response}
    return any(is_on not in (None, turn_detection.get(key, True)) for key, is_on in found.items())


def _in_full(settings: RealtimeSessionModelSettings) -> RealtimeSessionModelSettings:
    """``settings`` that say whether the caller can interrupt and is answered, whatever they were before."""
    turn_detection = turn_detection_payload(settings)
    if turn_detection is None:
        return settings
    return with_turn_detection(settings, commands.spelled_out(turn_detection))
