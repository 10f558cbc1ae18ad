"""What a session needs of a model, whichever wire it speaks over."""

from __future__ import annotations

import abc
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, NotRequired, TypedDict

from sipagent.realtime.events import RealtimeModelEvent
from sipagent.realtime.inputs import RealtimeModelSendEvent
from sipagent.realtime.playback import RealtimePlaybackTracker
from sipagent.realtime.provider import RealtimeProvider
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.takeover import SendPermission

ApiKey = str | Callable[[], str | Awaitable[str]]
"""An API key, or a function, sync or async, that gives one."""


class RealtimeModelConfig(TypedDict):
    """How to reach the model, and what its session starts with."""

    api_key: NotRequired[ApiKey]
    url: NotRequired[str]
    """The whole WebSocket URL, used as it is; wins over ``base_url`` and over the host of ``provider``."""
    base_url: NotRequired[str]
    """REST base such as ``https://api.openai.com/v1``, the default; the socket is ``/realtime`` below it. A
    host of Azure is known by its name and shown the key as Azure wants it (`provider_of`)."""
    provider: NotRequired[RealtimeProvider]
    """In place of ``base_url``: an API from `openai_provider` or `azure_provider`, or one that is shown the
    key in a header of its own."""
    headers: NotRequired[Mapping[str, str]]
    """Headers of the handshake; when given, none is added for authorization."""
    initial_model_settings: NotRequired[RealtimeSessionModelSettings]
    first_update: NotRequired[str]
    """The first message of the session, written once for many calls of one agent by the model's own
    `build_first_update`; left out, it is written from the settings."""
    runs_already: NotRequired[bool]
    """The session has been set up by somebody else: connecting sends nothing."""
    playback_tracker: NotRequired[RealtimePlaybackTracker]
    call_id: NotRequired[str]
    """The telephone call to attach to."""
    permission: NotRequired[SendPermission]
    """Asked before every command, where several processes may lead the session one after another."""
    raw_events: NotRequired[bool]
    """Report every message of the server as `RealtimeModelRawServerEvent` too."""


class TransportConfig(TypedDict, total=False):
    """The WebSocket itself; what is left out has the default stated here."""

    library: Literal["websockets", "picows"]
    """The package that carries it: ``websockets``; or ``picows`` (``sipagent[picows]``), with which
    hundreds of calls in one process need a third less processor time."""

    ping_interval: float | None
    """Seconds between keepalive pings; 20."""
    ping_timeout: float | None
    """Seconds to wait for a pong before the connection counts as broken; 20."""
    handshake_timeout: float
    """Seconds for connecting, TLS and handshake together; 10."""
    close_timeout: float
    """Seconds to wait for the peer when closing; 2."""
    max_size: int | None
    """Largest message in bytes; 8 MiB."""
    ssl_context: ssl.SSLContext
    """For ``wss``; by default one that trusts the system's authorities, shared by all connections."""


class RealtimeModelListener(abc.ABC):
    """Hears what a model reports."""

    __slots__ = ()

    @abc.abstractmethod
    async def on_event(self, event: RealtimeModelEvent) -> None:
        """Called for each event, in order. The next message is not read before this returns, so waiting
        here holds the server back; waiting for another event here waits for ever."""

    def take_now(self, event: RealtimeModelEvent) -> bool:
        """Take ``event`` at once, instead of `on_event`, if that needs no waiting; False leaves it to that.

        For listeners whose calls come by the thousand: no task need run for what is taken here.
        """
        return False


class RealtimeModel(abc.ABC):
    """A connection to a model. One object serves one connection at a time."""

    def approach(self, options: RealtimeModelConfig) -> None:
        """Begin to connect by ``options`` and return at once: the session is not there yet, as long as a call
        rings, and `connect`, which is called when it is, need not make the whole way then. `close` when it is
        not called. Here, and wherever there is nothing to be begun, nothing happens. Raises nothing.
        """
        return

    @abc.abstractmethod
    async def connect(self, options: RealtimeModelConfig) -> None:
        """Connect and set the session up. Events may come before this returns.

        Raises `UserError` for options that cannot work, `AttachError` when the connection cannot be had.
        Cancel-safe: nothing stays open.
        """

    @abc.abstractmethod
    def add_listener(self, listener: RealtimeModelListener) -> None:
        """From now on, ``listener`` hears every event. Adding it twice changes nothing."""

    @abc.abstractmethod
    def remove_listener(self, listener: RealtimeModelListener) -> None:
        """``listener`` hears nothing more; nothing happens if it never did."""

    @abc.abstractmethod
    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """Ask something of the model. Requests for a response are sent when one may be asked for.

        Raises `ConnectionLostError` when there is no connection and none is coming back, `UserError` for
        what this model cannot do. Cancel-safe: no message is sent by halves, though of several that belong
        together the later ones may be missing.
        """

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """Ask something of the model as long as ``send_if`` holds; whether it was asked.

        Here, ``send_if`` is asked once, right before `send_event`: a transport that may wait before the
        message goes out overrides this and asks again then. It sends where the same method of the OpenAI
        Agents SDK only returns False, because a transport that does not know of this method would lose what
        it is given without a word. Raises what ``send_if`` raises, and as `send_event`; cancel-safe as that.
        """
        if not send_if():
            return False
        await self.send_event(event)
        return True

    @abc.abstractmethod
    async def close(self) -> None:
        """End the connection. Idempotent; afterwards the object may connect again. Cancel-safe: the socket is
        closed even then."""

    @property
    def response_pending(self) -> bool:
        """A response was asked for and has not begun, or waits to be asked for."""
        return False

    @property
    def unplayed_s(self) -> float:
        """Seconds for which the audio that came over the socket still plays; 0 where the server plays it."""
        return 0.0
