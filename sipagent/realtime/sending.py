"""What a model sends over a socket, and when: commands at once, requests for a response in their turn.

The half of `sipagent.realtime.socket_model` that speaks; the other half reads. Sending happens in whichever
task asks.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable
from typing import ClassVar, assert_never

from sipagent.realtime import commands
from sipagent.realtime.audience import Audience
from sipagent.realtime.events import (
    RealtimeModelResponseRequestedEvent,
)
from sipagent.realtime.hosted_link import HostedLink
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendAudio,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendInterruptible,
    RealtimeModelSendMcpApproval,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from sipagent.realtime.interrupting import check_interrupt, takes_back_requests
from sipagent.realtime.model import RealtimeModel, RealtimeModelConfig
from sipagent.realtime.outgoing import Outgoing
from sipagent.realtime.settings import (
    RealtimeSessionModelSettings,
    session_payload,
)
from sipagent.realtime.tool_turns import ToolTurns, request_wanted
from sipagent.realtime.turn import ResponseGate

logger = logging.getLogger(__name__)


class SendingModel(RealtimeModel):
    """The side of a model over a socket that sends; subclasses have the socket, and say where audio goes."""

    default_format: ClassVar[str]
    """The audio format where the settings name none."""

    def __init__(self) -> None:
        self._audience = Audience()
        self._tell = self._audience.tell
        self._options: RealtimeModelConfig = {}
        self._outgoing = Outgoing()
        self._gate = ResponseGate()
        self._tools = ToolTurns()
        self._hosted = HostedLink(self._outgoing, self._gate, self._tools)
        self._input_under_way = False
        """A user's input is being sent on a condition."""
        self._uninterruptible = False
        """What is being said must be heard to its end, whatever the caller says."""

    @property
    def response_pending(self) -> bool:
        """See `RealtimeModel.response_pending`."""
        return self._gate.pending

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """See `RealtimeModel.send_event`."""
        await self._send(event, None)
        await self._ask()

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """See `RealtimeModel.send_event_if`. ``send_if`` is asked right before the message goes out, and of a
        request for a response again when its turn has come; it must not wait for anything.

        False as well for a user's input while a response was asked for that has not begun: that one would
        answer it, or pass it by.
        """
        if not isinstance(event, RealtimeModelSendUserInput):
            committed = await self._send(event, send_if)
        elif self._input_under_way:
            return False
        else:
            self._input_under_way = True
            try:
                committed = await self._send(event, lambda: not self._gate.pending and send_if())
            finally:
                self._input_under_way = False
        await self._ask()
        return committed

    async def _send(self, event: RealtimeModelSendEvent, only_if: Callable[[], bool] | None) -> bool:
        """Send what ``event`` stands for, or have the gate ask for it; False when ``only_if`` forbade it."""
        outgoing = self._outgoing
        match event:
            case RealtimeModelSendUserInput(user_input=user_input):
                if not await outgoing.send(commands.user_message(user_input), only_if):
                    return False
                self._gate.request()
                return True
            case RealtimeModelSendSystemMessage(text=text):
                return await outgoing.send(commands.system_message(text), only_if)
            case RealtimeModelSendToolOutput(tool_call=call, output=output):
                if not await outgoing.send_once(commands.tool_output(call.call_id, output), only_if):
                    return False
                request_wanted(
                    self._gate, self._tools.answered(call.call_id, wants_response=event.start_response)
                )
                return True
            case _:
                pass
        if only_if is not None:
            await outgoing.ready()
            if not only_if():
                return False
        match event:
            case RealtimeModelSendRawMessage():
                await self._send_raw(event)
            case RealtimeModelRequestResponse(response=response):
                outgoing.require_connection()
                self._gate.request(
                    response,
                    event_id=event.event_id,
                    perhaps_heard=event.unless_begun,
                    only_if=_harmless(only_if),
                )
            case RealtimeModelSendMcpApproval():
                await self._hosted.answer(event)
            case RealtimeModelSendAudio():
                await self._send_audio(event)
            case RealtimeModelSendInterrupt():
                check_interrupt(event)
                if takes_back_requests(event):
                    self._gate.take_back()
                await self._interrupt(event)
            case RealtimeModelSendSessionUpdate(session_settings=settings):
                update = self._session_update(settings, keep_voice=event.keep_voice)
                await outgoing.send_update(
                    update if event.event_id is None else {**update, "event_id": event.event_id}
                )
            case RealtimeModelSendInterruptible(turn_detection=turn_detection):
                self._uninterruptible = not event.interruptible
                await outgoing.send_update(
                    commands.interruptions_update(turn_detection, interruptible=event.interruptible)
                )
            case _:
                assert_never(event)
        return True

    # What subclasses say ---------------------------------------------------------------------------

    @abc.abstractmethod
    def _model_in_update(self, settings: RealtimeSessionModelSettings) -> str | None:
        """The model a ``session.update`` names."""

    @abc.abstractmethod
    async def _send_audio(self, event: RealtimeModelSendAudio) -> None:
        """Audio of the caller."""

    @abc.abstractmethod
    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        """Cut the agent off."""

    # Inside ----------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """Ask for the responses that may be asked for now. Never waits for a lost connection: what could
        not be sent is asked for again when it is back."""
        while self._outgoing.usable:
            request = self._gate.take()
            if request is None:
                return
            command = commands.response_create(request.event_id, request.response)
            if not await self._outgoing.try_send(command):
                self._gate.unsent(request)
                return
            await self._tell(RealtimeModelResponseRequestedEvent(event_id=request.event_id))

    async def _send_raw(self, event: RealtimeModelSendRawMessage) -> None:
        command = {**event.message.get("other_data", {}), "type": event.message["type"]}
        if command["type"] == "response.create":
            self._outgoing.require_connection()
            self._gate.request(command.get("response") or {}, event_id=command.get("event_id"))
        else:
            await self._outgoing.send(command)

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


def _harmless(only_if: Callable[[], bool] | None) -> Callable[[], bool] | None:
    """``only_if`` for the reader of a socket, whom an exception of somebody else must not end."""
    if only_if is None:
        return None

    def holds() -> bool:
        try:
            return only_if()
        except Exception as error:  # noqa: BLE001 - code that users wrote
            logger.warning("The condition of a request raised %s: it is dropped", type(error).__name__)
            return False

    return holds
