"""What a call's flow needs of the carrier it runs at (`sipagent.simulator.carrier.pretended`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sipagent.simulator.carrier.announcer import Announcer
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.stream import MediaStream
from sipagent.simulator.carrier.verbs import ConferenceTarget, DialTarget, Document, ReportTo, StreamTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A document to be asked for."""

    url: str
    method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Besides those every request about a call has."""
    purpose: str = "action"
    status: str | None = None
    """The leg's status as the request says it; None for what it is."""


class RoomLike(Protocol):
    """A conference."""

    async def join(self, leg: Leg, target: ConferenceTarget) -> None:
        """Take part until the leg leaves, is taken out, or the conference ends. Cancelling leaves."""


class FlowDesk(Protocol):
    """The carrier, as flows see it."""

    announcer: Announcer
    refers: Literal["dial", "decline"]
    """What a REFER without a ``referUrl`` leads to."""

    async def speak(self, text: str) -> bytes:
        """``text`` in the carrier's voice, as mu-law."""

    async def sound_of(self, url: str, *, leg: Leg) -> bytes:
        """The WAV behind ``url``, as mu-law. Raises `ServiceFailedError` when there is none."""

    async def fetch(self, leg: Leg, fetch: Fetch) -> Document:
        """Ask the service. Raises `ServiceFailedError` and `MarkupError`."""

    async def dial(self, parent: Leg, target: DialTarget, *, caller_id: str | None) -> Leg:
        """A leg to ``target``, not called yet. Raises `SimulatorError` when it cannot be made."""

    async def whisper(self, leg: Leg, fetch: Fetch) -> bool:
        """Let somebody who was called follow a document of their own; whether they are still there after."""

    def room(self, name: str) -> RoomLike:
        """The conference called ``name``."""

    def stream(self, leg: Leg, target: StreamTarget) -> MediaStream:
        """A stream of ``leg``, not opened yet."""

    def report_stream(
        self, leg: Leg, report_to: ReportTo | None, event: str, *, stream_id: str, name: str, error: str = ""
    ) -> None:
        """Tell the service what happened to a stream."""

    def dial_parameters(self, child: Leg | None, status: str, *, bridged: bool) -> dict[str, str]:
        """What the action of a finished dial is told."""

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> asyncio.Task[None]:
        """Run ``work`` beside the calls; the carrier waits for it, or cancels it, in the end."""
