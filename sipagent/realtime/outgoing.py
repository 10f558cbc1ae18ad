"""What goes out over the socket of one session, which may break and be had again meanwhile.

The reader finds out what became of a broken socket; until it has, whoever sends waits here. An update of the
session is remembered until the server has confirmed or refused it, and said once more over the next socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from sipagent.errors import ConnectionLostError
from sipagent.realtime.commands import Command, CommandWriter
from sipagent.realtime.connection import Socket
from sipagent.realtime.latch import Latch
from sipagent.realtime.takeover import SendPermission


class Outgoing:
    """The socket of one model, as far as sending goes."""

    def __init__(self) -> None:
        self.socket: Socket | None = None
        """None before the first connection, and after the end of the last."""
        self.reader: asyncio.Task[None] | None = None
        """Whoever reads: it finds out what became of a broken socket, and so must not wait for that."""
        self.permission: SendPermission | None = None
        """Asked before every command, if there is one."""
        self._usable = Latch(is_set=True)
        """Unset only while a broken connection is being had again, or its loss found out."""
        self._writer = CommandWriter()
        self._unconfirmed: list[str] = []
        self._answers: dict[str, str] = {}
        """Items that the server waits for and has not shown yet, by id."""
        self._said: set[str] = set()
        """All such items that were ever sent, or are being sent."""
        self._repeated: set[str] = set()
        """Those that were sent once more."""

    @property
    def usable(self) -> bool:
        """Whether something can be sent at once."""
        return self.socket is not None and self._usable.is_set()

    def write(self, command: Command) -> str:
        """``command`` as text, with an id of its own."""
        return self._writer.write(command)

    def opened(self, socket: Socket, writer: CommandWriter, first_update: str | None) -> None:
        """A connection begins; ``first_update`` was sent, if there is one."""
        self.socket, self._writer = socket, writer
        self._unconfirmed = [] if first_update is None else [first_update]
        self._answers, self._said, self._repeated = {}, set(), set()
        self._usable.set()

    def broken(self) -> None:
        """The socket broke; whether there will be another is being found out."""
        self._usable.clear()

    async def restored(self, socket: Socket) -> None:
        """``socket`` takes the place of the broken one. Whoever waits goes on after `resume`."""
        self.socket = socket
        # A socket that is gone again, or a session that is another's, is found out by the reader.
        with contextlib.suppress(ConnectionLostError):
            await self._permitted()
            for update in tuple(self._unconfirmed):
                await socket.send(update)
            for item_id, answer in tuple(self._answers.items()):
                self._repeated.add(item_id)
                await socket.send(answer)

    def resume(self) -> None:
        """Let go on whoever waits."""
        self._usable.set()

    def ended(self) -> Socket | None:
        """There is no connection any more; the socket that was there."""
        socket, self.socket = self.socket, None
        self._usable.set()
        return socket

    def confirmed(self) -> None:
        """The server confirmed the eldest update."""
        if self._unconfirmed:
            self._unconfirmed.pop(0)

    def refused(self, event_id: object) -> None:
        """The server refused what has this id."""
        mark = f'"event_id":"{event_id}"'
        self._unconfirmed = [update for update in self._unconfirmed if mark not in update]

    def came(self, item_id: str) -> None:
        """The server has an item."""
        self._answers.pop(item_id, None)

    def refused_again(self, event_id: object) -> bool:
        """Whether an error is about an answer that was said once more: the server had it, or wants none."""
        for item_id, answer in self._answers.items():
            if f'"event_id":"{event_id}"' in answer:
                del self._answers[item_id]
                return item_id in self._repeated
        return False

    def require_connection(self) -> Socket:
        """The socket; raises `ConnectionLostError` without one."""
        if self.socket is None:
            raise ConnectionLostError("Not connected: the connection has ended, or was never made.")
        return self.socket

    async def send(self, command: Command, only_if: Callable[[], bool] | None = None) -> bool:
        """Send; when the connection is lost, wait until it is back. Raises `ConnectionLostError` when it is
        not coming back. Cancel-safe: sent whole, or not at all.

        With ``only_if``, which is asked right before it goes out, False when that did not hold.
        """
        return await self._send_text(self._writer.write(command), only_if)

    async def send_audio(self, audio: bytes) -> None:
        """Send audio of the caller, as `send`."""
        await self._send_text(self._writer.write_audio(audio))

    async def ready(self) -> None:
        """Wait until something can be sent at once; raises as `send`. Cancel-safe."""
        while not self._usable.is_set():
            await self._restoration()
        self.require_connection()

    async def send_update(self, command: Command) -> None:
        """Send a ``session.update``, and remember it until the server has confirmed or refused it."""
        update = self._writer.write(command)
        self._unconfirmed.append(update)
        await self._send_text(update)

    async def send_once(self, command: Command, only_if: Callable[[], bool] | None = None) -> bool:
        """Send a ``conversation.item.create`` that has an id and an event id; False when its item was sent
        before, or ``only_if`` did not hold.

        It is remembered until the server has shown the item or refused it: what may have broken with the
        connection is said once more over the next. Cancel-safe, and raises, as `send`.
        """
        item_id: str = command["item"]["id"]
        if item_id in self._said:
            return False
        self._said.add(item_id)
        text = self._writer.write(command)
        sent = False
        try:
            sent = await self._send_text(text, only_if)
        finally:
            if not sent:
                self._said.discard(item_id)
        if not sent:
            return False
        # Only now: what was not sent at all is sent by whoever waits above, not by `restored`.
        self._answers[item_id] = text
        return True

    async def try_send(self, command: Command) -> bool:
        """Send unless the socket is gone; for the reader, which must not wait for itself."""
        if self.socket is None or (self.permission is not None and not self.permission.held):
            return False
        try:
            await self.socket.send(self._writer.write(command))
        except ConnectionLostError:
            return False
        return True

    async def _send_text(self, text: str, only_if: Callable[[], bool] | None = None) -> bool:
        while True:
            await self._restoration()
            await self._permitted()
            socket = self.require_connection()
            # Nothing may be awaited between the question and the socket.
            if only_if is not None and not only_if():
                return False
            try:
                await socket.send(text)
            except ConnectionLostError:
                # The reader finds out too; until it has decided, nobody else tries.
                if self.socket is socket:
                    self._usable.clear()
                continue
            return True

    async def _permitted(self) -> None:
        if self.permission is not None and not self.permission.held:
            await self.permission.wait()

    async def _restoration(self) -> None:
        """Wait while it is found out what became of a broken connection."""
        if not self._usable.is_set() and asyncio.current_task() is self.reader:
            raise ConnectionLostError("a listener cannot wait for the connection that it holds up")
        await self._usable.wait()
