"""Who controls a call: its sockets, at once or one after another, and when each of them did something.

The real service does not say how many may be attached; here it is any number, since the point of attaching
again is that nobody knows for certain whether the one before is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sipagent import clock

MOST_REMEMBERED = 50
"""Sockets of one call that are told of; those that came before are counted only."""


class Socket(Protocol):
    """The sideband of a call, as the call uses it."""

    def send(self, text: str) -> None:
        """Queue one event; never blocks, never raises."""

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame, behind what is queued."""

    def abort(self) -> None:
        """Break the connection at once: what is queued is lost, the peer sees 1006."""


@dataclass(slots=True, kw_only=True)
class Attachment:
    """One socket's time at a call. Unix times."""

    attached_at_s: float
    detached_at_s: float | None = None
    """None while it is attached."""
    commands: int = 0
    """Client events that came over it."""
    last_command_at_s: float | None = None


class Controllers:
    """The sockets of one call, and what they leave behind for reports."""

    def __init__(self) -> None:
        self._attached: dict[Socket, Attachment] = {}
        self.attachments: list[Attachment] = []
        """The latest, by when they were attached."""
        self.unattended_s: list[float] = []
        """How long nobody was attached, each time between two who were."""
        self._alone_since_s: float | None = None

    def __contains__(self, socket: Socket) -> bool:
        return socket in self._attached

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """Those that are attached now."""
        return tuple(self._attached)

    @property
    def last_command_at_s(self) -> float | None:
        """When anybody last sent anything, in Unix time."""
        times = [each.last_command_at_s for each in self.attachments if each.last_command_at_s is not None]
        return max(times, default=None)

    def attach(self, socket: Socket) -> None:
        """``socket`` is attached."""
        now_s = clock.unix_s()
        if self._alone_since_s is not None:
            self.unattended_s.append(now_s - self._alone_since_s)
            self._alone_since_s = None
        self._attached[socket] = Attachment(attached_at_s=now_s)
        self.attachments.append(self._attached[socket])
        del self.attachments[:-MOST_REMEMBERED], self.unattended_s[:-MOST_REMEMBERED]

    def command(self, socket: Socket) -> None:
        """Something came over ``socket``, which is attached."""
        attachment = self._attached[socket]
        attachment.commands += 1
        attachment.last_command_at_s = clock.unix_s()

    def detach(self, socket: Socket) -> bool:
        """``socket`` is gone; False when it was not attached."""
        attachment = self._attached.pop(socket, None)
        if attachment is None:
            return False
        attachment.detached_at_s = clock.unix_s()
        if not self._attached:
            self._alone_since_s = attachment.detached_at_s
        return True
