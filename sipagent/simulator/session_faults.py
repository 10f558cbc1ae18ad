"""The faults that strike inside a session, each once, at the moment its name promises."""

from __future__ import annotations

from typing import Final, Protocol

from sipagent.identifiers import ResponseId
from sipagent.simulator import server_events
from sipagent.simulator.faults import Fault, FaultSet
from sipagent.simulator.server_events import EventSender
from sipagent.simulator.timers import Timers

_INTO_TOOL_S: Final = 0.1
"""How long a tool has been running when the caller hangs up on it."""


class ConversationHost(Protocol):
    """What a conversation asks of the call around it. Nothing here blocks or raises."""

    def drop_socket(self) -> None:
        """Break the attached sockets without a close frame; the call lives on."""

    def hang_up_as_caller(self) -> None:
        """End the call as if the caller had done it."""

    def agent_finished(self) -> None:
        """The agent has said all it wants to say and awaits no tool: it is the caller's turn."""


class SessionFaults:
    """Watches one conversation and makes things go wrong in it."""

    def __init__(
        self, faults: FaultSet, *, sender: EventSender, timers: Timers, host: ConversationHost | None
    ) -> None:
        self._pending = set(faults.values)
        self._sender = sender
        self._timers = timers
        self._host = host
        self.hides_playback_stop = Fault.PLAYBACK_STOP_MISSING in faults
        """Whether ``output_audio_buffer.stopped`` is kept back, always."""

    def response_spoke(self, response_id: ResponseId, *, share: float) -> None:
        """A response has sent ``share`` (above 0, up to 1) of its words."""
        if not self._pending:
            return
        if share >= 1 / 3 and self._host is not None and self._strikes(Fault.CALLER_HANGS_UP_SPEAKING):
            # Through a timer: it ends what the caller of this method is in the middle of.
            self._timers.later(0, self._host.hang_up_as_caller)
        if not self._sender.is_attached:
            # A fault of the socket waits until there is one.
            return
        if self._strikes(Fault.UNKNOWN_EVENT):
            self._sender.emit(server_events.unheard_of(response_id))
        if self._strikes(Fault.MALFORMED_EVENT):
            for frame in server_events.broken_frames(response_id):
                self._sender.emit_text(frame)
        if share < 1 / 3:
            return
        if self._strikes(Fault.SOCKET_STALLED):
            self._sender.stall()
        if self._host is not None and self._strikes(Fault.SOCKET_DROPPED):
            self._timers.later(0, self._host.drop_socket)

    def tools_called(self) -> None:
        """A response has ended that called functions."""
        if self._host is not None and self._strikes(Fault.CALLER_HANGS_UP_TOOL):
            self._timers.later(_INTO_TOOL_S, self._host.hang_up_as_caller)

    def _strikes(self, fault: Fault) -> bool:
        if fault not in self._pending:
            return False
        self._pending.remove(fault)
        return True
