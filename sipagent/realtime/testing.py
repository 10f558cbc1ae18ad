"""A model in memory, for tests of agents and tools: no socket, no server, nothing to wait for.

    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelRequestResponse, *model.agent_says("Good morning."))
    async with await RealtimeRunner(agent, model=model).run() as session:
        await session.say("Good morning.")
        await model.emit(*model.caller_says("Have you a free slot?"))
        ...
    model.verify()

What a session sends is recorded, and held against what the test expects; what the model reports is what the
test lets it emit. Everything is delivered in the task that emits or sends, so a test needs no pauses.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.events import (
    EndCause,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    RealtimeToolCallItem,
    UserMessageItem,
)
from sipagent.realtime.mcp_events import (
    McpProgress,
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
)
from sipagent.realtime.mcp_items import McpCallError, RealtimeMcpApprovalRequestItem, RealtimeMcpCallItem
from sipagent.realtime.model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener

Sent = TypeVar("Sent", bound=RealtimeModelSendEvent)
Answer = Callable[[RealtimeModelSendEvent], Iterable[RealtimeModelEvent]]
Expected = type[Any] | Callable[[Any], bool] | RealtimeModelSendEvent
"""A kind of input, a function that knows it, or the very input."""


class UnexpectedInputError(AssertionError):
    """A session sent what its test did not expect, or did not send what it did."""


class ScriptedRealtimeModel(RealtimeModel):
    """Plays a model for one session: checks and records what is sent, reports what it is given.

    From the first `expect` or `allow` on, whatever they do not announce is refused; until then, everything
    may be sent.
    """

    def __init__(self, *, answer: Answer | None = None, connect_error: Exception | None = None) -> None:
        """``answer`` gives what the model reports after each thing that is sent, beside what `expect` says.
        ``connect_error`` is raised by `connect`."""
        self.sent: list[RealtimeModelSendEvent] = []
        """Everything that the session sent, in order; refused things too."""
        self.config: RealtimeModelConfig | None = None
        """What the session connected with; None while it is not connected."""
        self.pending = False
        """What `response_pending` says: set by what asks for a response, cleared when one begins."""
        self._answer = answer
        self._connect_error = connect_error
        self._strict = False
        self._expected: deque[tuple[Expected, tuple[RealtimeModelEvent, ...]]] = deque()
        self._allowed: list[Expected] = []
        self._unexpected: list[str] = []
        self._listeners: list[RealtimeModelListener] = []
        self._outbox: deque[RealtimeModelEvent] = deque()
        self._delivering = False
        self._something_sent = asyncio.Event()
        self._numbers = 0

    # For tests -------------------------------------------------------------------------------------

    def expect(self, what: Expected, *then: RealtimeModelEvent) -> None:
        """The next thing sent, after those expected before, is ``what``; the model then reports ``then``."""
        self._strict = True
        self._expected.append((what, then))

    def allow(self, what: Expected) -> None:
        """``what`` may be sent at any time and any number of times."""
        self._strict = True
        self._allowed.append(what)

    async def emit(self, *events: RealtimeModelEvent) -> None:
        """Report ``events``, in order; returns when every listener has taken them.

        Inside a listener, or while another task emits, it returns at once: they are reported after what is
        being reported. Raises what a listener raises. Cancelling it leaves the rest to the next call.
        """
        self._outbox.extend(events)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._outbox:
                event = self._outbox.popleft()
                if isinstance(event, RealtimeModelTurnStartedEvent):
                    self.pending = False
                for listener in tuple(self._listeners):
                    await listener.on_event(event)
        finally:
            self._delivering = False

    async def end(
        self, cause: EndCause = "call_over", *, close_code: int | None = 1006, detail: str = ""
    ) -> None:
        """Report that the connection has ended for good. Raises and may be cancelled as `emit`."""
        self.config = None
        await self.emit(
            RealtimeModelConnectionStatusEvent(
                status="disconnected", cause=cause, close_code=close_code, detail=detail
            ),
            RealtimeModelEndOfStreamEvent(),
        )

    async def wait_until_sent(self, kind: type[Sent], *, count: int = 1, timeout_s: float = 10.0) -> Sent:
        """The ``count``-th thing of this kind that the session sent, as soon as it has; `TimeoutError` after
        ``timeout_s``. Cancel-safe."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = [event for event in self.sent if isinstance(event, kind)]
                if len(found) >= count:
                    return found[count - 1]
                self._something_sent.clear()
                await self._something_sent.wait()

    def verify(self) -> None:
        """Raises `UnexpectedInputError` when something unexpected was sent, or something expected was not.

        Call it at the end: what a tool's task sends cannot raise into the test by itself.
        """
        problems = [*self._unexpected, *(f"never sent: {_shown(what)}" for what, _ in self._expected)]
        if problems:
            raise UnexpectedInputError("; ".join(problems))

    # What a model reports of a turn ----------------------------------------------------------------

    def agent_says(self, text: str, *, heard: bool = True) -> tuple[RealtimeModelEvent, ...]:
        """A response that speaks ``text``; ``heard`` also plays it to its end."""
        response_id, item_id = ResponseId(self._new("resp")), ItemId(self._new("item"))
        begun = AssistantMessageItem(item_id=item_id, status="in_progress")
        spoken = AssistantMessageItem(
            item_id=item_id, status="completed", content=(AssistantAudio(transcript=text),)
        )
        events: list[RealtimeModelEvent] = [
            RealtimeModelTurnStartedEvent(response_id=response_id),
            RealtimeModelItemUpdatedEvent(item=begun, response_id=response_id),
            RealtimeModelPlaybackEvent(change="started", response_id=response_id),
            RealtimeModelTranscriptDeltaEvent(item_id=item_id, delta=text, response_id=response_id),
            RealtimeModelTranscriptDoneEvent(item_id=item_id, transcript=text, response_id=response_id),
            RealtimeModelItemUpdatedEvent(item=spoken, response_id=response_id),
            RealtimeModelTurnEndedEvent(response_id=response_id, status="completed"),
        ]
        if heard:
            events.append(RealtimeModelPlaybackEvent(change="stopped", response_id=response_id))
        return tuple(events)

    def agent_calls(
        self, name: str, arguments: Mapping[str, Any] | str = "{}", *, call_id: str | None = None
    ) -> tuple[RealtimeModelEvent, ...]:
        """A response that calls a tool; a str of ``arguments`` is sent as it is."""
        response_id, item_id = ResponseId(self._new("resp")), ItemId(self._new("item"))
        tool_call_id = ToolCallId(call_id or self._new("call"))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        item = RealtimeToolCallItem(
            item_id=item_id, call_id=tool_call_id, name=name, arguments=text, status="completed"
        )
        return (
            RealtimeModelTurnStartedEvent(response_id=response_id),
            RealtimeModelItemUpdatedEvent(item=item, response_id=response_id),
            RealtimeModelToolCallEvent(
                name=name, call_id=tool_call_id, arguments=text, id=item_id, response_id=response_id
            ),
            RealtimeModelTurnEndedEvent(response_id=response_id, status="completed"),
        )

    def agent_calls_hosted(
        self,
        server_label: str,
        name: str,
        arguments: Mapping[str, Any] | str = "{}",
        *,
        output: str = "",
        error: McpCallError | None = None,
    ) -> tuple[RealtimeModelEvent, ...]:
        """A response in which the API calls a tool of an MCP server, which gives ``output`` or fails with
        ``error``. A model over a socket then asks for a response by itself; here, none is asked for."""
        response_id = ResponseId(self._new("resp"))
        call = self._hosted_call(server_label, name, arguments)
        ended = replace(call, output=output if error is None else None, error=error, status="completed")
        change: McpProgress = "completed" if error is None else "failed"
        return (
            *self._wants_to_call(call, response_id),
            RealtimeModelMcpCallEvent(change="in_progress", item_id=call.item_id),
            RealtimeModelMcpCallEvent(change=change, item_id=call.item_id),
            RealtimeModelItemUpdatedEvent(item=ended, response_id=response_id),
            RealtimeModelTurnEndedEvent(response_id=response_id, status="completed"),
        )

    def agent_asks_for_approval(
        self,
        server_label: str,
        name: str,
        arguments: Mapping[str, Any] | str = "{}",
        *,
        request_id: str | None = None,
    ) -> tuple[RealtimeModelEvent, ...]:
        """A response that wants to call a tool of an MCP server and may not yet; a
        `RealtimeModelSendMcpApproval` follows, sooner or later."""
        response_id = ResponseId(self._new("resp"))
        call = self._hosted_call(server_label, name, arguments)
        request = RealtimeMcpApprovalRequestItem(
            item_id=ItemId(request_id or self._new("mcpr")),
            server_label=server_label,
            name=name,
            arguments=call.arguments,
            status="completed",
        )
        return (
            *self._wants_to_call(call, response_id),
            RealtimeModelItemUpdatedEvent(item=request, response_id=response_id),
            RealtimeModelMcpApprovalRequestedEvent(request=request, response_id=response_id),
            RealtimeModelTurnEndedEvent(response_id=response_id, status="completed"),
        )

    def caller_says(self, text: str) -> tuple[RealtimeModelEvent, ...]:
        """The caller speaks ``text`` and falls silent; the answer is not part of it."""
        item_id = ItemId(self._new("item"))
        item = UserMessageItem(item_id=item_id, status="completed", content=(InputAudio(),))
        return (
            RealtimeModelCallerSpeechStartedEvent(item_id=item_id),
            RealtimeModelCallerSpeechStoppedEvent(item_id=item_id),
            RealtimeModelItemUpdatedEvent(item=item),
            RealtimeModelInputAudioTranscriptionCompletedEvent(item_id=item_id, transcript=text),
        )

    # RealtimeModel ---------------------------------------------------------------------------------

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`."""
        if self._connect_error is not None:
            raise self._connect_error
        if self.config is not None:
            raise AssertionError("Already connected")
        self.config = options

    def add_listener(self, listener: RealtimeModelListener) -> None:
        """See `RealtimeModel.add_listener`."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        """See `RealtimeModel.remove_listener`."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """See `RealtimeModel.send_event`; raises `UnexpectedInputError` for what was not expected."""
        if self.config is None:
            raise ConnectionLostError("Not connected: the test ended the connection, or it was never made.")
        self.sent.append(event)
        self._something_sent.set()
        if _asks_for_response(event):
            self.pending = True
        then: tuple[RealtimeModelEvent, ...] = ()
        if self._expected and _is(event, self._expected[0][0]):
            _, then = self._expected.popleft()
        elif self._strict and not any(_is(event, what) for what in self._allowed):
            wanted = _shown(self._expected[0][0]) if self._expected else "nothing"
            self._unexpected.append(f"{wanted} was expected, but this was sent: {event!r}")
            raise UnexpectedInputError(self._unexpected[-1])
        if self._answer is not None:
            then = (*then, *self._answer(event))
        await self.emit(*then)

    async def close(self) -> None:
        """See `RealtimeModel.close`."""
        self.config = None

    @property
    def response_pending(self) -> bool:
        """See `RealtimeModel.response_pending`."""
        return self.pending

    def _hosted_call(
        self, server_label: str, name: str, arguments: Mapping[str, Any] | str
    ) -> RealtimeMcpCallItem:
        return RealtimeMcpCallItem(
            item_id=ItemId(self._new("mcp")),
            server_label=server_label,
            name=name,
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
            status="in_progress",
        )

    def _wants_to_call(
        self, call: RealtimeMcpCallItem, response_id: ResponseId
    ) -> tuple[RealtimeModelEvent, ...]:
        return (
            RealtimeModelTurnStartedEvent(response_id=response_id),
            RealtimeModelItemUpdatedEvent(item=call, response_id=response_id),
            RealtimeModelMcpCallArgumentsEvent(
                item_id=call.item_id, arguments=call.arguments, response_id=response_id
            ),
        )

    def _new(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}_{self._numbers}"


def _is(event: RealtimeModelSendEvent, what: Expected) -> bool:
    if isinstance(what, type):
        return isinstance(event, what)
    return bool(what(event)) if callable(what) else event == what


def _shown(what: Expected) -> str:
    return str(getattr(what, "__name__", None) or repr(what))


def _asks_for_response(event: RealtimeModelSendEvent) -> bool:
    return isinstance(event, RealtimeModelRequestResponse | RealtimeModelSendUserInput) or (
        isinstance(event, RealtimeModelSendToolOutput) and event.start_response
    )
