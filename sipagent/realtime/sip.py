"""A session of the Realtime API attached to a telephone call: events over the socket, audio never.

The call's audio flows between the caller and the server. So the server plays, truncates what was not
heard, and says when it plays; nothing is ever truncated from here. Source: "Realtime API with SIP" and
"Webhooks and server-side controls" of the API's guides.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pydantic

from sipagent.errors import AttachError, AttachNotFoundError, UserError
from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import commands
from sipagent.realtime.address import address_of
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.connection import Address, Closed, Hold, Socket, can_hold, open_socket
from sipagent.realtime.early import EarlySocket
from sipagent.realtime.events import (
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelTranscriptDeltaEvent,
)
from sipagent.realtime.inputs import RealtimeModelSendAudio, RealtimeModelSendInterrupt
from sipagent.realtime.items import AssistantMessageItem
from sipagent.realtime.model import RealtimeModelConfig, TransportConfig
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.settings import (
    DEFAULT_REALTIME_MODEL,
    RealtimeRunConfig,
    RealtimeSessionModelSettings,
    agent_settings,
    session_payload,
)
from sipagent.realtime.socket_model import RealtimeSocketModel, disconnected
from sipagent.realtime.taking import Reaction

if TYPE_CHECKING:
    from openai.types.realtime import RealtimeSessionCreateRequest

_LONGEST_PAUSE_S = 0.5
_ITEMS_KEPT = 8
SIP_FORMAT = "g711_ulaw"
"""What telephones speak; both ways where the settings name no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachPolicy:
    """How hard to try to get, and to keep, the socket of a call. Times in seconds."""

    not_found_deadline_s: float = 3.0
    """Right after accept, the session may not be found yet: 404 is tried again for so long."""
    first_retry_s: float = 0.1
    """Pause before the second try; doubles from try to try, up to half a second."""
    reattach_attempts: int = 2
    """Tries to attach again after the socket broke."""
    reattach_deadline_s: float = 3.0
    """The longest that all of them may take together."""


class OpenAIRealtimeSIPModel(RealtimeSocketModel):
    """A session attached to the call named by ``call_id``.

    A socket that breaks may mean that the caller hung up, or nothing at all: the model attaches again, and
    a 404 tells that the call is over.
    """

    default_format = SIP_FORMAT

    def __init__(
        self, *, transport_config: TransportConfig | None = None, attach_policy: AttachPolicy | None = None
    ) -> None:
        super().__init__(transport_config=transport_config)
        self._policy = attach_policy or AttachPolicy()
        self._early: EarlySocket | None = None
        self._attached_at = -math.inf
        """When the socket was last attached again, on the loop's clock."""
        self._attempts_left = self._policy.reattach_attempts
        self._playing: ResponseId | None = None
        """What the server plays."""
        self._items: dict[ResponseId, ItemId] = {}
        """What the latest responses say, for those whose words are not the latest."""
        self._notes[RealtimeModelItemUpdatedEvent] = self._note_item
        self._reactions[RealtimeModelPlaybackEvent] = self._playback_changed

    @staticmethod
    async def build_initial_session_payload(
        agent: RealtimeAgent[Any],
        *,
        context: Any = None,
        model_config: RealtimeModelConfig | None = None,
        run_config: RealtimeRunConfig | None = None,
        overrides: RealtimeSessionModelSettings | None = None,
    ) -> RealtimeSessionCreateRequest:
        """The session for the accept request; send it as ``model_dump(mode="json", exclude_unset=True)``.

        It says what the attached session will say, audio formats included, and the model besides.
        ``overrides`` win over everything. Raises `UserError` for settings that cannot be used. Cancel-safe.
        """
        settings = await agent_settings(
            agent,
            context if isinstance(context, RunContextWrapper) else RunContextWrapper(context),
            run_config=run_config,
            initial=(model_config or {}).get("initial_model_settings"),
        )
        if overrides is not None:
            settings.update(overrides)
        # The types of the API take a tenth of a second to import, which only their users should pay.
        from openai.types.realtime import RealtimeSessionCreateRequest

        model = settings.get("model_name", DEFAULT_REALTIME_MODEL)
        payload = session_payload(settings, default_format=SIP_FORMAT, model=model)
        try:
            return RealtimeSessionCreateRequest.model_validate(payload)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(f"the session's {where} cannot be used: {first['msg']}") from error

    @classmethod
    async def build_first_update(
        cls, agent: RealtimeAgent[Any], *, context: Any = None, run_config: RealtimeRunConfig | None = None
    ) -> str:
        """The ``session.update`` that `connect` would send for ``agent``, as ``first_update`` of the model
        configuration: for agents of which nothing depends on the call. Raises as the payload's builder.
        Cancel-safe."""
        settings = await agent_settings(agent, RunContextWrapper(context), run_config=run_config)
        payload = session_payload(settings, default_format=SIP_FORMAT, model=None)
        # The name tells it apart from the commands of a connection, which are numbered from 1.
        return commands.CommandWriter().write(
            {**commands.session_update(payload), "event_id": "sipagent_first_update"}
        )

    async def connect(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.connect`; raises `UserError` without a ``call_id``."""
        if not options.get("call_id"):
            raise UserError("OpenAIRealtimeSIPModel attaches to a call: give its call_id in the model config")
        await super().connect(options)
        # Nothing was read yet: the reader runs when this task waits next.
        self._attached_at = -math.inf
        self._playing = None
        self._taking.say_otherwise(None)
        self._items.clear()

    def approach(self, options: RealtimeModelConfig) -> None:
        """See `RealtimeModel.approach`."""
        if self._early is not None or not can_hold(self._transport):
            return

        async def open_early(hold: Hold) -> Socket:
            return await open_socket(await self._address(options), self._transport, hold=hold)

        self._early = EarlySocket(open_early)

    async def close(self) -> None:
        """See `RealtimeModel.close`."""
        early, self._early = self._early, None
        try:
            if early is not None:
                await early.close()
        finally:
            await super().close()

    async def _address(self, options: RealtimeModelConfig) -> Address:
        return await address_of(options, query={"call_id": options["call_id"]})

    async def _open(self, address: Address) -> Socket:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._policy.not_found_deadline_s
        pause_s = self._policy.first_retry_s
        while True:
            tried_at = loop.time()
            try:
                early, self._early = self._early, None
                if early is not None and (socket := await early.take()) is not None:
                    return socket
                return await open_socket(address, self._transport)
            except AttachNotFoundError as error:
                if tried_at >= deadline:
                    raise AttachNotFoundError(
                        f"no session was found for the call within {self._policy.not_found_deadline_s:g} "
                        f"seconds: {error}",
                        status=error.status,
                    ) from error
            # The last try comes at the deadline itself, not before.
            await asyncio.sleep(max(0.0, min(pause_s, deadline - loop.time())))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _open_again(self, closed: Closed) -> Socket | RealtimeModelConnectionStatusEvent:
        if (cause := self._cause_of(closed)) is not None:
            return disconnected(cause, closed)
        await self._tell(
            RealtimeModelConnectionStatusEvent(status="lost", close_code=closed.code, detail=closed.reason)
        )
        loop = asyncio.get_running_loop()
        if loop.time() - self._attached_at > self._policy.reattach_deadline_s:
            # A server that lets us in and drops us at once gets no new attempts by that.
            self._attempts_left = self._policy.reattach_attempts
        try:
            async with asyncio.timeout(self._policy.reattach_deadline_s):
                last = await self._attach_again()
        except AttachNotFoundError:
            return disconnected("call_over", closed, "The call is over.")
        except TimeoutError:
            last = f"no attempt was answered within {self._policy.reattach_deadline_s:g} seconds"
        if isinstance(last, Socket):
            self._attached_at = loop.time()
            return last
        return disconnected("lost", closed, f"The socket broke and could not be opened again: {last}.")

    async def _attach_again(self) -> Socket | str:
        """A socket, or why there is none; raises `AttachNotFoundError` when the call is over."""
        last = "it broke again and again"
        while self._attempts_left > 0:
            self._attempts_left -= 1
            try:
                address = await self._address(self._options)
            except Exception as error:  # noqa: BLE001 - the function that gives the key is the user's
                return f"no API key could be had ({type(error).__name__})"
            try:
                return await open_socket(address, self._transport)
            except AttachNotFoundError:
                raise
            except AttachError as error:
                last = str(error)
            if self._attempts_left:
                await asyncio.sleep(self._policy.first_retry_s)
        return last

    def _model_in_update(self, settings: RealtimeSessionModelSettings) -> str | None:
        # The model of an accepted call cannot be changed; naming one could only make the update fail.
        return None

    async def _send_audio(self, event: RealtimeModelSendAudio) -> None:
        raise UserError("the audio of a telephone call does not go over its socket")

    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        wanted = event.response_id
        # Asked before anything is sent. All that plays is in one buffer: emptying it for an older response
        # would cut a newer one that has begun to speak.
        clear = wanted is None or wanted in (self._gate.response_id, self._spoke_last)
        running = self._gate.response_id
        if not event.playback_only and self._gate.cancel(wanted):
            await self._outgoing.send(commands.response_cancel(wanted or running))
        if clear and not event.cancel_response_only:
            await self._outgoing.send(commands.playback_clear())

    @property
    def _spoke_last(self) -> ResponseId | None:
        """The latest response with words, unless it was heard to its end or cut off."""
        return None if self._taking.spoke is None else self._taking.spoke.response_id

    def _note_item(self, event: RealtimeModelItemUpdatedEvent) -> bool:
        if event.response_id is not None and type(event.item) is AssistantMessageItem:
            self._items[event.response_id] = event.item.item_id
            if len(self._items) > _ITEMS_KEPT:
                del self._items[next(iter(self._items))]
        return self._note_hosted(event)

    def _playback_changed(self, event: RealtimeModelPlaybackEvent) -> Reaction | None:
        """Follow the server's buffer; what it empties while it plays was not heard to its end."""
        response_id, spoke = event.response_id, self._taking.spoke
        if event.change == "started":
            self._playing = response_id
            if spoke is None or spoke.response_id != response_id:
                self._taking.say_otherwise(event)
            return None
        was_playing = response_id == self._playing
        if was_playing:
            self._playing = None
        if spoke is not None and spoke.response_id == response_id:
            self._taking.say_otherwise(None)
        if event.change == "cleared" and was_playing:
            index, item_id = 0, self._items.get(response_id)
            if isinstance(spoke, RealtimeModelTranscriptDeltaEvent) and spoke.response_id == response_id:
                index, item_id = spoke.content_index, spoke.item_id
            if item_id is not None:
                cut = RealtimeModelAudioInterruptedEvent(item_id=item_id, content_index=index)
                return partial(self._tell, cut)
        return None
