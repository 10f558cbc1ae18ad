"""What a test lets happen on the way between a session and an imagined server."""

from __future__ import annotations

from typing import Generic, TypeVar

from websockets.frames import Close

from tests.support.imagined_realtime import ImaginedRealtime

ServerT = TypeVar("ServerT", bound=ImaginedRealtime)


class Disturbances(Generic[ServerT]):
    """Each step takes a number, which says how much of it, or which."""

    def __init__(self, server: ServerT, *, most_breaks: int) -> None:
        self.server = server
        self.breaks = 0
        """How often the connection broke off."""
        self._most_breaks = most_breaks

    @property
    def may_break(self) -> bool:
        return self.breaks < self._most_breaks and not self.server.over and self.server.wire is not None

    def reads(self, number: int) -> None:
        """The server takes what was sent to it."""
        wire = self.server.wire
        for _ in range(number + 1):
            if wire is not None and wire.to_server:
                self.server.read()

    def hears(self, number: int) -> None:
        """The session is given what the server sent."""
        wire = self.server.wire
        for _ in range(number + 1):
            if wire is not None and wire.to_client:
                wire.deliver()

    def is_interrupted(self, number: int) -> None:
        self.server.caller_interrupts()

    def has_played(self, number: int) -> None:
        self.server.play_to_the_end()

    def breaks_off(self, number: int) -> None:
        """Some of what is on its way arrives before."""
        if not self.may_break or self.server.wire is None:
            return
        self.breaks += 1
        if number % 2:
            self.reads(20)
        if number % 3:
            self.hears(50)
        self.server.over = number == 11
        self.server.wire.end(Close(1011, "broken") if number % 4 == 0 else None)

    def says_it_twice(self, number: int) -> None:
        if self.server.wire is not None and self.server.wire.to_client:
            self.server.wire.to_client.insert(number % 4, self.server.wire.to_client[0])

    def says_it_late(self, number: int) -> None:
        if self.server.wire is not None and self.server.wire.to_client:
            late = self.server.wire.to_client.popleft()
            self.server.wire.to_client.insert(1 + number % 3, late)
