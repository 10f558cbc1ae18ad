"""One telephone call as the Calls API and the Realtime API see it, in virtual time.

It rings until somebody accepts it; then caller and model talk to each other whether anybody attends or not,
and any number of processes may attach. Whoever takes the caller's turns says what the model does in each.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import websockets.exceptions
from websockets.datastructures import Headers
from websockets.frames import Close, CloseCode
from websockets.http11 import Response

from sipagent.errors import CallControlRefusedError, CallGoneError
from sipagent.identifiers import CallId
from tests.support.imagined_realtime import ImaginedRealtime, Json, Wire
from tests.support.processes import Process, this_process

SPEECH_S = 0.6
RING_S = 0.3
LATENCY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the model does when the caller has spoken: it answers, or calls a tool."""

    after_s: float
    """Since the turn before."""
    tool: str | None = None
    arguments: str = "{}"


class ImaginedLine(ImaginedRealtime):
    """One call."""

    def __init__(self, call_id: CallId, *, one_socket: bool) -> None:
        """``one_socket``: whoever attaches last is the only one that is attached."""
        super().__init__()
        self.call_id = call_id
        self.state: Literal["ringing", "accepted", "up", "over"] = "ringing"
        self.wires: list[tuple[Wire, Process | None]] = []
        self.owes_since: float | None = None
        """Since when the caller waits for something that only a process can do."""
        self.accepted = 0
        self.why_over = ""
        self._one_socket = one_socket
        self._owed_answer = self._has_answered = False
        self._coming = deque[tuple[Wire, Json]]()
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()

    # What the Calls API is asked -------------------------------------------------------------------

    def accept(self) -> None:
        """Answer the call."""
        if self.state == "over":
            raise CallGoneError("gone", status=404, code="call_id_not_found")
        if self.state != "ringing":
            raise CallControlRefusedError("accepted before", status=409, code=None)
        self.state = "accepted"
        self.accepted += 1
        self._later(RING_S, self._up)

    def reject(self) -> None:
        """Refuse the call."""
        self._must_not_be_over()
        if self.state != "ringing":
            raise CallControlRefusedError("accepted before", status=409, code=None)
        self.hang_up("rejected")

    def refer(self, leaves: bool) -> None:
        """Send the call elsewhere; it leaves soon, or never."""
        self._must_not_be_over()
        if leaves:
            self._later(0.5, lambda: self.hang_up("transferred"))

    def end_call(self) -> None:
        """Hang up, as the application."""
        self._must_not_be_over()
        self.hang_up("application")

    # What happens on the line ----------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether caller and model can talk."""
        return self.state == "up"

    @property
    def attended(self) -> bool:
        """Whether a process that runs is attached."""
        return any(wire.open and (by is None or by.healthy) for wire, by in self.wires)

    def hang_up(self, why: str) -> None:
        """The call is over."""
        if self.state == "over":
            return
        self.state, self.over, self.why_over = "over", True, why
        self.owes_since = None
        self.cut(Close(CloseCode.NORMAL_CLOSURE, ""))

    def cut(self, closed: Close | None = None) -> None:
        """All sockets are closed, or break."""
        for wire, _ in self.wires:
            wire.end(closed)

    def take_turn(self, turn: Turn) -> None:
        """The caller says something, and the model does something about it. A caller who was not greeted yet
        waits for it."""
        if not self.is_up or not self._has_answered:
            return
        self.caller_interrupts()
        response_id = self.begin()
        if turn.tool is None:
            self._say(response_id, "I see.")
        else:
            self.call(response_id, turn.tool, turn.arguments)
            self.end(response_id)
            self._notice()

    async def connect(self, url: str, **options: Any) -> Wire:
        """Stands in for ``websockets.connect``."""
        process = this_process()
        await asyncio.sleep(LATENCY_S)
        if process is not None:
            process.reach_out()
        if self.state not in ("accepted", "up"):
            raise websockets.exceptions.InvalidStatus(Response(404, "no", Headers()))
        if self._one_socket:
            self.cut(Close(CloseCode.NORMAL_CLOSURE, "somebody else attached"))
        wire = Wire(_Ear(self, process))
        self.wires = [(each, by) for each, by in self.wires if each.open]
        self.wires.append((wire, process))
        self._tell_one(wire, "session.created", session={"id": "sess_1", "type": "realtime"})
        return wire

    # Inside ----------------------------------------------------------------------------------------

    def tell(self, kind: str, **fields: Any) -> None:
        """Everybody who is attached hears it."""
        self._count += 1
        for wire, _ in self.wires:
            if wire.open:
                self._tell_one(wire, kind, **fields)

    def _tell_one(self, wire: Wire, kind: str, **fields: Any) -> None:
        wire.to_client.append({"type": kind, "event_id": self.new("event"), **fields})
        wire.deliver()

    def begin(self, *, outside: bool = False) -> str:
        """See `ImaginedRealtime.begin`."""
        response_id = super().begin(outside=outside)
        if not outside:
            self._owed_answer, self._has_answered = False, True
            self._notice()
        return response_id

    def do(self, wire: Wire, command: Json) -> None:
        """What a process sent has arrived."""
        if self.state == "over":
            return
        wire.to_server.clear()
        self.wire = wire
        wire.to_server.append(command)
        before = self.active
        self.read()
        if self.active is not None and self.active != before:
            self._say(self.active, "Well then.")
        if command["type"] == "conversation.item.create":
            self._note_answer(command["item"])

    def answer(self, kind: str, **fields: Any) -> None:
        """See `ImaginedRealtime.answer`."""
        assert self.wire is not None, "somebody asked"
        self._tell_one(self.wire, kind, **fields)

    def error(self, code: str | None, event_id: str | None) -> None:
        """See `ImaginedRealtime.error`."""
        assert self.wire is not None, "somebody asked"
        self._refuse(self.wire, event_id, code)

    def _refuse(self, wire: Wire, event_id: str | None, code: str | None = "invalid_value") -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "no", "param": None}
        self._tell_one(wire, "error", error={**error, "event_id": event_id})

    def _note_answer(self, item: Json) -> None:
        if item["type"] == "function_call_output":
            call = self.calls.get(item["call_id"])
            self._owed_answer = call is not None
            self._notice()

    def _up(self) -> None:
        if self.state == "accepted":
            self.state = "up"
            self._owed_answer = not self._has_answered  # with the greeting
            self._notice()

    def _notice(self) -> None:
        waits = self._owed_answer or any(not call.outputs for call in self.calls.values())
        if not waits or not self.is_up:
            self.owes_since = None
        elif self.owes_since is None:
            self.owes_since = self._loop.time()

    def _say(self, response_id: str, text: str) -> None:
        self.speak(response_id, text)
        self._later(LATENCY_S, lambda: self._said(response_id))

    def _said(self, response_id: str) -> None:
        if response_id == self.active and self.state != "over":
            self.end(response_id)
            self._later(SPEECH_S, self.play_to_the_end)

    def _must_not_be_over(self) -> None:
        if self.state == "over":
            raise CallGoneError("gone", status=404, code="call_id_not_found")

    def _later(self, delay_s: float, what: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, what, context=self._context.copy())

    def arrive(self, wire: Wire, command: Json) -> None:
        """A process has put a command on its way."""
        # Timers of one moment run in any order, and commands of one socket do not.
        self._coming.append((wire, command))
        self._later(LATENCY_S, lambda: self.do(*self._coming.popleft()))


class _Ear(ImaginedRealtime):
    """What one wire tells its line."""

    def __init__(self, line: ImaginedLine, process: Process | None) -> None:
        super().__init__()
        self._line = line
        self._process = process

    def was_sent(self, command: Json) -> None:
        """See `ImaginedRealtime.was_sent`."""
        if self._process is not None:
            self._process.reach_out()
        assert self._line.wires, "somebody is attached"
        for wire, by in self._line.wires:
            if by is self._process and wire._server is self:
                self._line.arrive(wire, json.loads(json.dumps(command)))

    def was_told(self, message: Json) -> None:
        """See `ImaginedRealtime.was_told`."""
