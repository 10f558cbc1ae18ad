"""A session of the Realtime API over a WebSocket: send what may be sent, report what comes.

One reader task for each connection: it parses, keeps the turn, and tells the listeners. Sending happens in
whichever task asks.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any, assert_never

from sipagent.clock import monotonic_s
from sipagent.errors import AttachError, ConnectionLostError, UserError
from sipagent.realtime.connection import Address, Closed, Socket, address_of, open_socket
from sipagent.realtime.events import (
    EndCause,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelCallerSpeechStartedEvent,
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
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from sipagent.realtime.model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener, TransportConfig
from sipagent.realtime.playback import ReceivedAudio
from sipagent.realtime.settings import (
    DEFAULT_REALTIME_MODEL,
    RealtimeSessionModelSettings,
    session_payload,
)
from sipagent.realtime.turn import ResponseGate, ToolTurns
from sipagent.realtime.wire import parse_message, parse_text


class OpenAIRealtimeWebSocketModel(RealtimeModel):
    """A session whose audio goes over the socket.

    One object serves one connection at a time. Listeners run in the reader: the time they take is time in
    which nothing is read.
    """

    default_format = "pcm16"
    """The audio format where the settings name none."""

    def __init__(self, *, transport_config: TransportConfig | None = None) -> None:
        self._transport: TransportConfig = transport_config or {}
        self._listeners: list[RealtimeModelListener] = []
        self._options: RealtimeModelConfig = {}
        self._socket: Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._usable = asyncio.Event()
        """Set while the socket may be used, and again once it has ended for good."""
        self._gate = ResponseGate()
        self._tools = ToolTurns()
        self._received = ReceivedAudio()
        self._server_interrupts = False

    # RealtimeModel ---------------------------------------------------------------------------------

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`."""
        if self._reader is not None:
            raise AssertionError("Already connected")
        update = self._session_update(options.get("initial_model_settings", {}))
        socket = await self._open(await self._address(options))
        try:
            await socket.send(update)
        except ConnectionLostError as error:
            raise AttachError("the socket was closed before the session could be set up") from error
        except BaseException:
            await socket.close()
            raise
        self._options = options
        self._socket = socket
        self._gate, self._tools, self._received = ResponseGate(), ToolTurns(), ReceivedAudio()
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
            if (tracker := self._options.get("playback_tracker")) is not None:
                tracker.on_interrupted()

    @property
    def response_pending(self) -> bool:
        """See `RealtimeModel.response_pending`."""
        return self._gate.pending

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """See `RealtimeModel.send_event`."""
        match event:
            case RealtimeModelSendRawMessage():
                await self._send_raw(event)
            case RealtimeModelSendUserInput():
                await self._send(_user_message(event))
                self._gate.request()
            case RealtimeModelSendSystemMessage(text=text):
                content = [{"type": "input_text", "text": text}]
                await self._send(_item_create({"type": "message", "role": "system", "content": content}))
            case RealtimeModelRequestResponse(response=response):
                self._gate.request(response)
            case RealtimeModelSendToolOutput():
                await self._send_tool_output(event)
            case RealtimeModelSendAudio():
                await self._send_audio(event)
            case RealtimeModelSendInterrupt():
                await self._interrupt(event)
            case RealtimeModelSendSessionUpdate(session_settings=settings):
                await self._send(json.loads(self._session_update(settings)))
            case _:
                assert_never(event)
        await self._ask()

    # What a telephone call does differently ----------------------------------------------------------

    async def _address(self, options: RealtimeModelConfig) -> Address:
        settings = options.get("initial_model_settings", {})
        if (call_id := options.get("call_id")) is not None:
            return await address_of(options, query={"call_id": call_id})
        return await address_of(options, query={"model": settings.get("model_name", DEFAULT_REALTIME_MODEL)})

    async def _open(self, address: Address) -> Socket:
        return await open_socket(address, self._transport)

    async def _open_again(self, closed: Closed) -> Socket | RealtimeModelConnectionStatusEvent:
        """After the server's end of the socket: another one, or the last word about the connection."""
        cause: EndCause = "closed" if closed.code == 1000 else "expired" if closed.code == 1001 else "lost"
        return disconnected(cause, closed)

    def _model_in_update(self, settings: RealtimeSessionModelSettings) -> str | None:
        """The model a ``session.update`` names."""
        return settings.get("model_name", DEFAULT_REALTIME_MODEL)

    async def _send_audio(self, event: RealtimeModelSendAudio) -> None:
        audio = base64.b64encode(event.audio).decode()
        await self._send({"type": "input_audio_buffer.append", "audio": audio})
        if event.commit:
            await self._send({"type": "input_audio_buffer.commit"})

    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        await self._stop_playing()
        if (event.force_response_cancel or not self._server_interrupts) and self._gate.cancel():
            await self._send({"type": "response.cancel"})

    async def _caller_speaks(self) -> None:
        """The caller began to speak: what plays must stop."""
        await self._stop_playing()
        if not self._server_interrupts and self._gate.cancel():
            await self._try_send({"type": "response.cancel"})

    async def _stop_playing(self) -> None:
        """Cut what plays to what was heard, here and at the server."""
        tracker = self._options.get("playback_tracker")
        heard = self._received.heard(None if tracker is None else tracker.get_state(), monotonic_s())
        self._received.forget()
        if tracker is not None:
            tracker.on_interrupted()
        if heard is None:
            return
        await self._tell(
            RealtimeModelAudioInterruptedEvent(item_id=heard.item_id, content_index=heard.content_index)
        )
        if not heard.fully_played or heard.response_id == self._gate.response_id:
            cut = {"item_id": heard.item_id, "content_index": heard.content_index}
            await self._try_send(
                {"type": "conversation.item.truncate", **cut, "audio_end_ms": heard.heard_ms}
            )

    # Reading ---------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read until the connection has ended for good; the last event is always the end of the stream."""
        while True:
            assert self._socket is not None
            message = await self._socket.receive()
            if not isinstance(message, Closed):
                await self._take(message)
                continue
            self._usable.clear()
            outcome = await self._open_again(message)
            if isinstance(outcome, Socket):
                self._socket = outcome
                self._gate.lost()
                if self._tools.lost():
                    self._gate.request()
                self._usable.set()
                await self._tell(RealtimeModelConnectionStatusEvent(status="connected", reattached=True))
                await self._ask()
                continue
            self._socket = None
            self._usable.set()
            await self._tell(outcome)
            await self._tell(RealtimeModelEndOfStreamEvent())
            return

    async def _take(self, text: str | bytes) -> None:
        message = parse_text(text)
        if self._options.get("raw_events"):
            await self._tell(RealtimeModelRawServerEvent(data=message))
        for event in parse_message(message):
            await self._note(event)
            await self._tell(event)
        await self._ask()

    async def _note(self, event: RealtimeModelEvent) -> None:
        """Keep the turn and the playback in step with what came."""
        match event:
            case RealtimeModelTurnStartedEvent(response_id=response_id, out_of_band=out_of_band):
                self._tools.response_began(response_id)
                if not out_of_band:
                    self._gate.created(response_id)
            case RealtimeModelTurnEndedEvent(response_id=response_id, out_of_band=out_of_band):
                if not out_of_band:
                    self._gate.done(response_id)
                if self._tools.response_ended(response_id):
                    self._gate.request()
            case RealtimeModelToolCallEvent():
                self._tools.called(event.call_id, event.response_id)
            case RealtimeModelErrorEvent(error=error):
                self._gate.refused(event_id=error.get("event_id"), code=error.get("code"))
            case RealtimeModelSessionEvent():
                self._server_interrupts = bool(event.interrupt_response)
                self._received.set_audio_format(event.output_format)
                if (tracker := self._options.get("playback_tracker")) is not None:
                    tracker.set_audio_format(event.output_format)
            case RealtimeModelAudioEvent():
                self._received.add(
                    item_id=event.item_id,
                    content_index=event.content_index,
                    response_id=event.response_id,
                    byte_count=len(event.data),
                    now=monotonic_s(),
                )
            case RealtimeModelCallerSpeechStartedEvent():
                await self._caller_speaks()
            case _:
                pass

    async def _tell(self, event: RealtimeModelEvent) -> None:
        """Let every listener hear ``event``; one that raises is reported, and hurts no other."""
        for listener in tuple(self._listeners):
            try:
                await listener.on_event(event)
            except Exception as error:  # noqa: BLE001 - code that users wrote
                if not isinstance(event, RealtimeModelExceptionEvent):
                    await self._tell(
                        RealtimeModelExceptionEvent(exception=error, context="a listener raised")
                    )

    # Sending ---------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Ask for the responses that may be asked for now. Never waits for a lost connection: what could
        not be sent is asked for again when it is back."""
        while (
            self._usable.is_set() and self._socket is not None and (request := self._gate.take()) is not None
        ):
            message: dict[str, Any] = {"type": "response.create", "event_id": request.event_id}
            if request.response is not None:
                message["response"] = request.response
            if not await self._try_send(message):
                return
            await self._tell(RealtimeModelResponseRequestedEvent(event_id=request.event_id))

    async def _try_send(self, message: Mapping[str, Any]) -> bool:
        """Send unless the socket is gone; for the reader, which must not wait for itself."""
        if self._socket is None:
            return False
        try:
            await self._socket.send(_dumps(message))
        except ConnectionLostError:
            return False
        return True

    async def _send(self, message: Mapping[str, Any]) -> None:
        """Send; when the connection is lost, wait until it is back. Raises `ConnectionLostError` when it is
        not coming back."""
        text = _dumps(message)
        while True:
            await self._usable.wait()
            socket = self._socket
            if socket is None:
                raise ConnectionLostError("Not connected: the connection has ended, or was never made.")
            try:
                await socket.send(text)
            except ConnectionLostError:
                # The reader finds out too; until it has decided, nobody else tries.
                if self._socket is socket:
                    self._usable.clear()
                continue
            return

    async def _send_raw(self, event: RealtimeModelSendRawMessage) -> None:
        message = {"type": event.message["type"], **event.message.get("other_data", {})}
        if message["type"] == "response.create":
            self._gate.request(message.get("response") or {}, event_id=message.get("event_id"))
        else:
            await self._send(message)

    async def _send_tool_output(self, event: RealtimeModelSendToolOutput) -> None:
        call_id = event.tool_call.call_id
        await self._send(
            _item_create({"type": "function_call_output", "call_id": call_id, "output": event.output})
        )
        if self._tools.answered(call_id, wants_response=event.start_response):
            self._gate.request()

    def _session_update(self, settings: RealtimeSessionModelSettings) -> str:
        session = session_payload(
            settings, default_format=self.default_format, model=self._model_in_update(settings)
        )
        return _dumps({"type": "session.update", "session": session})


def disconnected(cause: EndCause, closed: Closed, detail: str = "") -> RealtimeModelConnectionStatusEvent:
    return RealtimeModelConnectionStatusEvent(
        status="disconnected", cause=cause, close_code=closed.code, detail=detail or closed.reason
    )


def _dumps(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def _item_create(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}


def _user_message(event: RealtimeModelSendUserInput) -> dict[str, Any]:
    given = event.user_input
    if isinstance(given, str):
        return _item_create(
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}
        )
    content: list[dict[str, Any]] = []
    for part in given["content"]:
        fields: dict[str, Any] = dict(part)
        if fields.get("type") == "input_text" and isinstance(fields.get("text"), str):
            content.append({"type": "input_text", "text": fields["text"]})
        elif fields.get("type") == "input_image" and fields.get("image_url"):
            picture = {"type": "input_image", "image_url": fields["image_url"]}
            if fields.get("detail") in ("auto", "low", "high"):
                picture["detail"] = fields["detail"]
            content.append(picture)
    if not content:
        raise UserError("a user's message needs at least one text or image part")
    return _item_create({"type": "message", "role": "user", "content": content})
