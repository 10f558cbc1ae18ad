"""A session of the Realtime API over a socket: send what may be sent, report what comes.

What a conversation over the socket and one on the telephone have in common. One reader task for each
connection: it parses, keeps the turn, and tells the listeners; `sipagent.realtime.sending` has what it sends.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar

from sipagent.errors import AttachError, ConnectionLostError
from sipagent.realtime import commands
from sipagent.realtime.connection import Address, Closed, Socket, open_socket
from sipagent.realtime.events import (
    EndCause,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelSessionEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.hosted_link import HostedLink
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
)
from sipagent.realtime.model import RealtimeModelConfig, RealtimeModelListener, TransportConfig
from sipagent.realtime.sending import SendingModel
from sipagent.realtime.taking import OFTEN, Note, Reaction, Taking
from sipagent.realtime.tool_turns import ToolTurns, request_wanted
from sipagent.realtime.turn import ResponseGate
from sipagent.realtime.wire import parse_text
from sipagent.realtime.wire_frequent import read

logger = logging.getLogger(__name__)

SESSION_EXPIRED = "session_expired"


class RealtimeSocketModel(SendingModel):
    """A session over a socket; subclasses say where its audio goes.

    One object serves one connection at a time. Listeners run in the reader: the time they take is time in
    which nothing is read.
    """

    _at_once: ClassVar[frozenset[type[Any]]] = OFTEN
    """Events that come often, and that nothing notes or reacts to, but that words are remembered."""
    _for_reader: ClassVar[frozenset[type[Any]]] = frozenset()
    """Events on which depends how long the reader waits: it alone may take them."""

    def __init__(self, *, transport_config: TransportConfig | None = None) -> None:
        super().__init__()
        self._transport: TransportConfig = transport_config or {}
        self._session: RealtimeModelSessionEvent | None = None
        self._expired = False
        self._notes: dict[type[Any], Note] = {
            RealtimeModelTurnStartedEvent: self._note_turn_started,
            RealtimeModelTurnEndedEvent: self._note_turn_ended,
            RealtimeModelCallerSpeechStoppedEvent: self._note_caller_stopped,
            RealtimeModelToolCallEvent: self._note_tool_call,
            RealtimeModelMcpCallArgumentsEvent: self._note_hosted,
            RealtimeModelMcpCallEvent: self._note_hosted,
            RealtimeModelMcpApprovalRequestedEvent: self._note_hosted,
            RealtimeModelItemUpdatedEvent: self._note_hosted,
            RealtimeModelItemPlacedEvent: self._note_placed,
            RealtimeModelErrorEvent: self._note_error,
            RealtimeModelSessionEvent: self._note_session,
            RealtimeModelTranscriptDeltaEvent: self._note_words,
        }
        """What keeps the turn and the playback in step with an event, before anybody hears of it; each
        returns False when nobody need."""
        self._reactions: dict[type[Any], Callable[[Any], Reaction | None]] = {
            RealtimeModelTurnStartedEvent: self._cancel_unwanted,
        }
        """What must be sent or told because of an event, before anybody hears of it; mostly nothing."""
        self._taking = Taking(
            self._audience,
            notes=self._notes,
            reactions=self._reactions,
            at_once=self._at_once,
            for_reader=self._for_reader,
            asks=lambda: self._ask if self._gate.pending else None,
        )

    # RealtimeModel ---------------------------------------------------------------------------------

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`."""
        outgoing = self._outgoing
        if outgoing.reader is not None:
            raise AssertionError("Already connected")
        self._options = options  # what the first update says depends on them too
        outgoing.permission = options.get("permission")
        writer = commands.CommandWriter()
        update = options.get("first_update")
        if options.get("runs_already"):
            update = None
        elif update is None:
            update = writer.write(self._session_update(options.get("initial_model_settings", {})))
        socket = await self._open(await self._address(options))
        try:
            if update is not None:
                await socket.send(update)
        except ConnectionLostError as error:
            raise AttachError("the socket was closed before the session could be set up") from error
        except BaseException:
            await socket.close()
            raise
        outgoing.opened(socket, writer, update)
        self._gate, self._tools = ResponseGate(), ToolTurns()
        self._hosted = HostedLink(outgoing, self._gate, self._tools)
        self._session, self._expired, self._uninterruptible = None, False, False
        outgoing.reader = asyncio.create_task(
            self._read(), name=f"realtime socket {options.get('call_id', '')}"
        )

    def add_listener(self, listener: RealtimeModelListener) -> None:
        """See `RealtimeModel.add_listener`."""
        self._audience.add(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        """See `RealtimeModel.remove_listener`."""
        self._audience.remove(listener)

    async def close(self) -> None:
        """See `RealtimeModel.close`. Emits nothing: whoever closes knows."""
        reader, self._outgoing.reader = self._outgoing.reader, None
        socket = self._outgoing.ended()
        try:
            if reader is not None and reader is not asyncio.current_task():
                reader.cancel()
                await asyncio.wait([reader])
        finally:
            if socket is not None:
                await socket.close()

    # What subclasses say ---------------------------------------------------------------------------

    @abc.abstractmethod
    async def _address(self, options: RealtimeModelConfig) -> Address:
        """Where the session is. Raises `UserError` for options that cannot work."""

    async def _open(self, address: Address) -> Socket:
        return await open_socket(address, self._transport)

    async def _open_again(self, closed: Closed) -> Socket | RealtimeModelConnectionStatusEvent:
        """After the server's end of the socket: another one, or the last word about the connection."""
        return disconnected(self._cause_of(closed) or "lost", closed)

    # Reading ---------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read until the connection has ended for good; the last event is always the end of the stream."""
        try:
            outcome = await self._read_to_the_end()
        except Exception:
            # Around the whole of a connection: whoever waits for its end must not wait for ever.
            logger.exception("The reader of a Realtime socket failed")
            if (socket := self._outgoing.socket) is not None:
                await socket.close()
            outcome = RealtimeModelConnectionStatusEvent(
                status="disconnected", cause="lost", detail="A defect ended the connection; see the log."
            )
        if outcome is None:
            return
        self._outgoing.ended()
        await self._tell(outcome)
        await self._tell(RealtimeModelEndOfStreamEvent())

    async def _read_to_the_end(self) -> RealtimeModelConnectionStatusEvent | None:
        """Read until nothing can be read any more; the last word about the connection, or None when a
        listener closed it and needs none."""
        outgoing = self._outgoing
        raw = bool(self._options.get("raw_events"))
        while (socket := outgoing.socket) is not None:
            message = await self._read_messages(socket, raw=raw)
            if message is None:
                return None
            outgoing.broken()
            outcome = await self._open_again(message)
            if not isinstance(outcome, Socket):
                return outcome
            self._gate.lost()
            request_wanted(self._gate, self._tools.lost())
            await outgoing.restored(outcome)
            outgoing.resume()
            await self._hosted.restored()
            await self._tell(RealtimeModelConnectionStatusEvent(status="connected", reattached=True))
            await self._ask()
        return None

    async def _read_messages(self, socket: Socket, *, raw: bool) -> Closed | None:
        """Read one socket to its end; how it ended, or None when a listener closed it.

        The busiest loop of a call: what most messages need is done here, without another function.
        """
        outgoing, notes, reactions = self._outgoing, self._notes, self._reactions
        audience, taking = self._audience, self._taking
        taking.start()
        if not raw:
            socket.offer_to(taking.take_now)
        receive = self._receiver(socket)
        while outgoing.socket is socket:
            message: bytes | Closed | None = socket.receive_now()
            if message is None:
                message = await receive()
            if isinstance(message, Closed):
                return message
            if taking.begun is not None:
                await taking.finish(taking.begun)
                continue
            if raw:
                await self._tell(RealtimeModelRawServerEvent(data=parse_text(message)))
            event = read(message)
            if isinstance(event, tuple):
                await taking.take(event)
                continue
            kind = type(event)
            if kind in notes and not notes[kind](event):
                continue
            if kind in reactions and (reaction := reactions[kind](event)) is not None:
                await reaction()
            for listener, take_now in audience.members:
                try:
                    if take_now is None or not take_now(event):
                        await listener.on_event(event)
                except Exception as error:  # noqa: BLE001 - code that users wrote
                    await audience.report(error)
        return None

    def _receiver(self, socket: Socket) -> Callable[[], Awaitable[bytes | Closed]]:
        """What waits for the next message; see `Socket.receive`."""
        return socket.receive

    def _note_turn_started(self, event: RealtimeModelTurnStartedEvent) -> bool:
        self._tools.response_began(event.response_id)
        self._gate.created(event.response_id, out_of_band=event.out_of_band)
        return True

    def _cancel_unwanted(self, event: RealtimeModelTurnStartedEvent) -> Reaction | None:
        """Cut off a response that was taken back while its request was on the way."""
        if self._gate.unwanted != event.response_id:
            return None
        self._gate.unwanted = None
        if not self._gate.cancel(event.response_id):
            return None
        return partial(self._outgoing.try_send, commands.response_cancel(event.response_id))

    def _note_words(self, event: RealtimeModelTranscriptDeltaEvent) -> bool:
        self._taking.said(event)
        return True

    def _note_turn_ended(self, event: RealtimeModelTurnEndedEvent) -> bool:
        self._gate.done(event.response_id)
        request_wanted(self._gate, self._tools.response_ended(event.response_id))
        return True

    def _note_caller_stopped(self, event: RealtimeModelCallerSpeechStoppedEvent) -> bool:
        self._gate.caller_ended_turn()
        return True

    def _note_tool_call(self, event: RealtimeModelToolCallEvent) -> bool:
        return self._tools.called(event.call_id, event.response_id)

    def _note_hosted(self, event: RealtimeModelEvent) -> bool:
        return self._hosted.take(event)

    def _note_placed(self, event: RealtimeModelItemPlacedEvent) -> bool:
        self._outgoing.came(event.item_id)
        return True

    def _note_error(self, event: RealtimeModelErrorEvent) -> bool:
        error = event.error
        code = error.get("code")
        self._expired = self._expired or code == SESSION_EXPIRED
        event_id = error.get("event_id")
        self._outgoing.refused(event_id)
        if self._hosted.refused(event_id):
            return False
        if self._gate.refused(event_id=event_id, code=code):
            logger.debug("A request crossed with the server's own doing (%s)", code)
            return False
        return True

    def _note_session(self, session: RealtimeModelSessionEvent) -> bool:
        if not session.created:
            self._outgoing.confirmed()
        before, self._session = self._session, session
        formats = (session.input_format, session.output_format)
        changed = before is not None and formats != (before.input_format, before.output_format)
        if before is not None and before.output_format is not None and changed:
            # On a telephone call this is heard as noise.
            logger.warning(
                "The session's audio formats changed from %s and %s to %s and %s",
                before.input_format,
                before.output_format,
                *formats,
            )
        return True

    def _cause_of(self, closed: Closed) -> EndCause | None:
        """Why the server ended the session in order, or None when the socket just broke."""
        if closed.code == 1001 or self._expired:
            return "expired"
        return "closed" if closed.code == 1000 else None


def disconnected(cause: EndCause, closed: Closed, detail: str = "") -> RealtimeModelConnectionStatusEvent:
    """The last word about a connection that ended as ``closed`` says."""
    return RealtimeModelConnectionStatusEvent(
        status="disconnected", cause=cause, close_code=closed.code, detail=detail or closed.reason
    )
