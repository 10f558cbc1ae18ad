"""A session of the Realtime API over a socket: send what may be sent, report what comes.

What a conversation over the socket and one on the telephone have in common. One reader task for each
connection: it parses, keeps the turn, and tells the listeners. Sending happens in whichever task asks.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from collections import deque
from typing import ClassVar, assert_never

from sipagent.errors import AttachError, ConnectionLostError
from sipagent.realtime import commands
from sipagent.realtime.connection import Address, Closed, Socket, open_socket
from sipagent.realtime.events import (
    EndCause,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelSessionEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendAudio,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendInterruptible,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from sipagent.realtime.model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener, TransportConfig
from sipagent.realtime.settings import (
    RealtimeSessionModelSettings,
    session_payload,
)
from sipagent.realtime.turn import ResponseGate, ToolTurns
from sipagent.realtime.wire import parse_message, parse_text

logger = logging.getLogger(__name__)

SESSION_EXPIRED = "session_expired"


class RealtimeSocketModel(RealtimeModel):
    """A session over a socket; subclasses say where its audio goes.

    One object serves one connection at a time. Listeners run in the reader: the time they take is time in
    which nothing is read.
    """

    default_format: ClassVar[str]
    """The audio format where the settings name none."""

    def __init__(self, *, transport_config: TransportConfig | None = None) -> None:
        self._transport: TransportConfig = transport_config or {}
        self._listeners: list[RealtimeModelListener] = []
        self._options: RealtimeModelConfig = {}
        self._socket: Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._usable = asyncio.Event()
        """Unset only while a broken connection is being had again, or its loss found out."""
        self._usable.set()
        self._writer = commands.CommandWriter()
        self._gate = ResponseGate()
        self._tools = ToolTurns()
        self._session: RealtimeModelSessionEvent | None = None
        self._unconfirmed: deque[str] = deque()
        """Updates of the session that the server has not confirmed."""
        self._expired = False
        self._uninterruptible = False
        """What is being said must be heard to its end, whatever the caller says."""

    # RealtimeModel ---------------------------------------------------------------------------------

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`."""
        if self._reader is not None:
            raise AssertionError("Already connected")
        writer = commands.CommandWriter()
        update = options.get("first_update")
        if update is None:
            update = writer.write(self._session_update(options.get("initial_model_settings", {})))
        socket = await self._open(await self._address(options))
        try:
            await socket.send(update)
        except ConnectionLostError as error:
            raise AttachError("the socket was closed before the session could be set up") from error
        except BaseException:
            await socket.close()
            raise
        self._options, self._socket, self._writer = options, socket, writer
        self._gate, self._tools = ResponseGate(), ToolTurns()
        self._session, self._expired, self._uninterruptible = None, False, False
        self._unconfirmed = deque([update])
        self._usable.set()
        self._reader = asyncio.create_task(self._read(), name=f"realtime socket {options.get('call_id', '')}")

    def add_listener(self, listener: RealtimeModelListener) -> None:
        """See `RealtimeModel.add_listener`."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        """See `RealtimeModel.remove_listener`."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def close(self) -> None:
        """See `RealtimeModel.close`. Emits nothing: whoever closes knows."""
        reader, self._reader = self._reader, None
        socket, self._socket = self._socket, None
        self._usable.set()
        try:
            if reader is not None and reader is not asyncio.current_task():
                reader.cancel()
                await asyncio.wait([reader])
        finally:
            if socket is not None:
                await socket.close()

    @property
    def response_pending(self) -> bool:
        """See `RealtimeModel.response_pending`."""
        return self._gate.pending

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """See `RealtimeModel.send_event`."""
        match event:
            case RealtimeModelSendRawMessage():
                await self._send_raw(event)
            case RealtimeModelSendUserInput(user_input=user_input):
                await self._send(commands.user_message(user_input))
                self._gate.request()
            case RealtimeModelSendSystemMessage(text=text):
                await self._send(commands.system_message(text))
            case RealtimeModelRequestResponse(response=response):
                self._require_connection()
                self._gate.request(response, event_id=event.event_id)
            case RealtimeModelSendToolOutput(tool_call=call, output=output):
                await self._send(commands.tool_output(call.call_id, output))
                if self._tools.answered(call.call_id, wants_response=event.start_response):
                    self._gate.request()
            case RealtimeModelSendAudio():
                await self._send_audio(event)
            case RealtimeModelSendInterrupt():
                await self._interrupt(event)
            case RealtimeModelSendSessionUpdate(session_settings=settings):
                update = self._session_update(settings, keep_voice=event.keep_voice)
                await self._send_update(
                    update if event.event_id is None else {**update, "event_id": event.event_id}
                )
            case RealtimeModelSendInterruptible(turn_detection=turn_detection):
                self._uninterruptible = not event.interruptible
                await self._send_update(
                    commands.interruptions_update(turn_detection, interruptible=event.interruptible)
                )
            case _:
                assert_never(event)
        await self._ask()

    # What subclasses say ---------------------------------------------------------------------------

    @abc.abstractmethod
    async def _address(self, options: RealtimeModelConfig) -> Address:
        """Where the session is. Raises `UserError` for options that cannot work."""

    async def _open(self, address: Address) -> Socket:
        return await open_socket(address, self._transport)

    async def _open_again(self, closed: Closed) -> Socket | RealtimeModelConnectionStatusEvent:
        """After the server's end of the socket: another one, or the last word about the connection."""
        return disconnected(self._cause_of(closed) or "lost", closed)

    @abc.abstractmethod
    def _model_in_update(self, settings: RealtimeSessionModelSettings) -> str | None:
        """The model a ``session.update`` names."""

    @abc.abstractmethod
    async def _send_audio(self, event: RealtimeModelSendAudio) -> None:
        """Audio of the caller."""

    @abc.abstractmethod
    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        """Cut the agent off."""

    async def _note_sound(self, event: RealtimeModelEvent) -> None:
        """Keep what is known of sound in step with what came, before anybody hears of it."""

    # Reading ---------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read until the connection has ended for good; the last event is always the end of the stream."""
        try:
            outcome = await self._read_to_the_end()
        except Exception:
            # Around the whole of a connection: whoever waits for its end must not wait for ever.
            logger.exception("The reader of a Realtime socket failed")
            await self._close_quietly()
            outcome = RealtimeModelConnectionStatusEvent(
                status="disconnected", cause="lost", detail="A defect ended the connection; see the log."
            )
        if outcome is None:
            return
        self._socket = None
        self._usable.set()
        await self._tell(outcome)
        await self._tell(RealtimeModelEndOfStreamEvent())

    async def _read_to_the_end(self) -> RealtimeModelConnectionStatusEvent | None:
        """Read until nothing can be read any more; the last word about the connection, or None when a
        listener closed it and needs none."""
        while (socket := self._socket) is not None:
            message = await socket.receive()
            if not isinstance(message, Closed):
                await self._take(message)
                continue
            self._usable.clear()
            outcome = await self._open_again(message)
            if not isinstance(outcome, Socket):
                return outcome
            self._socket = outcome
            self._gate.lost()
            if self._tools.lost():
                self._gate.request()
            await self._update_again(outcome)
            self._usable.set()
            await self._tell(RealtimeModelConnectionStatusEvent(status="connected", reattached=True))
            await self._ask()
        return None

    async def _update_again(self, socket: Socket) -> None:
        """Say once more what the session shall be, where the server may not have heard it."""
        # A socket that is gone again is found out by the reader.
        with contextlib.suppress(ConnectionLostError):
            for update in tuple(self._unconfirmed):
                await socket.send(update)

    async def _take(self, text: str | bytes) -> None:
        message = parse_text(text)
        if self._options.get("raw_events"):
            await self._tell(RealtimeModelRawServerEvent(data=message))
        for event in parse_message(message):
            if await self._note(event):
                await self._tell(event)
        await self._ask()

    async def _note(self, event: RealtimeModelEvent) -> bool:
        """Keep the turn and the playback in step with what came; False when nobody need hear of it."""
        match event:
            case RealtimeModelTurnStartedEvent(response_id=response_id):
                self._tools.response_began(response_id)
                self._gate.created(response_id, out_of_band=event.out_of_band)
            case RealtimeModelTurnEndedEvent(response_id=response_id):
                self._gate.done(response_id)
                if self._tools.response_ended(response_id):
                    self._gate.request()
            case RealtimeModelToolCallEvent():
                return self._tools.called(event.call_id, event.response_id)
            case RealtimeModelErrorEvent(error=error):
                code = error.get("code")
                self._expired = self._expired or code == SESSION_EXPIRED
                self._forget_refused(error.get("event_id"))
                if self._gate.refused(event_id=error.get("event_id"), code=code):
                    logger.debug("A request crossed with the server's own doing (%s)", code)
                    return False
            case RealtimeModelSessionEvent():
                self._note_session(event)
            case _:
                pass
        await self._note_sound(event)
        return True

    def _note_session(self, session: RealtimeModelSessionEvent) -> None:
        if not session.created and self._unconfirmed:
            self._unconfirmed.popleft()
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

    async def _tell(self, event: RealtimeModelEvent) -> None:
        """Let every listener hear ``event``; one that raises is reported, and hurts no other."""
        for listener in tuple(self._listeners):
            try:
                await listener.on_event(event)
            except Exception as error:  # noqa: BLE001 - code that users wrote
                logger.warning("A listener raised %s", type(error).__name__)
                if not isinstance(event, RealtimeModelExceptionEvent):
                    await self._tell(
                        RealtimeModelExceptionEvent(exception=error, context="a listener raised")
                    )

    def _cause_of(self, closed: Closed) -> EndCause | None:
        """Why the server ended the session in order, or None when the socket just broke."""
        if closed.code == 1001 or self._expired:
            return "expired"
        return "closed" if closed.code == 1000 else None

    async def _close_quietly(self) -> None:
        if (socket := self._socket) is not None:
            await socket.close()

    # Sending ---------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Ask for the responses that may be asked for now. Never waits for a lost connection: what could
        not be sent is asked for again when it is back."""
        while self._usable.is_set() and self._socket is not None:
            request = self._gate.take()
            if request is None:
                return
            if not await self._try_send(commands.response_create(request.event_id, request.response)):
                self._gate.unsent(request)
                return
            await self._tell(RealtimeModelResponseRequestedEvent(event_id=request.event_id))

    async def _try_send(self, command: commands.Command) -> bool:
        """Send unless the socket is gone; for the reader, which must not wait for itself."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(self._writer.write(command))
        except ConnectionLostError:
            return False
        return True

    async def _send(self, command: commands.Command) -> None:
        """Send; when the connection is lost, wait until it is back. Raises `ConnectionLostError` when it is
        not coming back."""
        await self._send_text(self._writer.write(command))

    async def _send_update(self, command: commands.Command) -> None:
        """Send a ``session.update``, and remember it until the server has confirmed or refused it."""
        update = self._writer.write(command)
        self._unconfirmed.append(update)
        await self._send_text(update)

    def _forget_refused(self, event_id: object) -> None:
        refused = f'"event_id":"{event_id}"'
        self._unconfirmed = deque(update for update in self._unconfirmed if refused not in update)

    async def _send_text(self, text: str) -> None:
        while True:
            if not self._usable.is_set() and asyncio.current_task() is self._reader:
                raise ConnectionLostError("a listener cannot wait for the connection that it holds up")
            await self._usable.wait()
            socket = self._require_connection()
            try:
                await socket.send(text)
            except ConnectionLostError:
                # The reader finds out too; until it has decided, nobody else tries.
                if self._socket is socket:
                    self._usable.clear()
                continue
            return

    def _require_connection(self) -> Socket:
        if self._socket is None:
            raise ConnectionLostError("Not connected: the connection has ended, or was never made.")
        return self._socket

    async def _send_raw(self, event: RealtimeModelSendRawMessage) -> None:
        command = {**event.message.get("other_data", {}), "type": event.message["type"]}
        if command["type"] == "response.create":
            self._require_connection()
            self._gate.request(command.get("response") or {}, event_id=command.get("event_id"))
        else:
            await self._send(command)

    def _session_update(
        self, settings: RealtimeSessionModelSettings, *, keep_voice: bool = False
    ) -> commands.Command:
        return commands.session_update(
            session_payload(
                settings,
                default_format=self.default_format,
                model=self._model_in_update(settings),
                keep_voice=keep_voice,
            )
        )


def disconnected(cause: EndCause, closed: Closed, detail: str = "") -> RealtimeModelConnectionStatusEvent:
    """The last word about a connection that ended as ``closed`` says."""
    return RealtimeModelConnectionStatusEvent(
        status="disconnected", cause=cause, close_code=closed.code, detail=detail or closed.reason
    )
