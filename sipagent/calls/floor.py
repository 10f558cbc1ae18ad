"""Who has the floor of a conversation: who speaks, is about to, or does something first. Pure."""

from __future__ import annotations

from sipagent.calls.profile import CallTool
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RealtimeToolStart,
)


class Floor:
    """Who speaks, or is about to."""

    def __init__(self) -> None:
        self.quiet = False
        self._caller_speaks = False
        self._tools = 0
        self._transfers = 0

    @property
    def quiet_line(self) -> bool:
        """Nobody is heard."""
        return self.quiet and not self._caller_speaks

    @property
    def silent(self) -> bool:
        """Nobody is heard, and nothing is being done of which somebody will be told."""
        return self.quiet_line and self._tools == 0

    @property
    def transferring(self) -> bool:
        """The caller may be on the way to somebody else."""
        return self._transfers > 0

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Take in one event of the session."""
        match event:
            case RealtimeCallerSpeechStarted():
                self._caller_speaks = True
            case RealtimeCallerSpeechStopped():
                self._caller_speaks = False
            case RealtimeToolStart(tool=tool):
                self._tools += 1
                self._transfers += tool.name == CallTool.TRANSFER.value
            case RealtimeToolEnd(tool=tool):
                self._tools -= 1
                self._transfers -= tool.name == CallTool.TRANSFER.value
            case _:
                pass
