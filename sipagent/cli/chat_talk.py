"""The turns of a chat: lines that are typed, commands among them, and the ways to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import asdict

from sipagent.cli.chat_screen import Screen
from sipagent.cli.lines import Lines
from sipagent.config.chat import Chat
from sipagent.config.loader import suggestion
from sipagent.errors import ConnectionLostError

INTERRUPTED = 130
"""The exit code after Ctrl-C, as elsewhere."""
COMMANDS: Mapping[str, str] = {
    "/history": "what was said so far",
    "/usage": "the tokens it took so far",
    "/agent": "who leads, and with which tools",
    "/help": "this",
    "/quit": "end",
}
_CUT = "  (interrupted)"


class _LeftError(Exception):
    """Ctrl-C, when the one before it was no wish to go on."""


class Talk:
    """One chat from its greeting to its end."""

    def __init__(self, chat: Chat, lines: Lines, screen: Screen) -> None:
        self._chat = chat
        self._lines = lines
        self._screen = screen
        self._interrupted = asyncio.Event()
        self._answering = False
        self._warned = False
        """Ctrl-C was pressed since the last line: the next one ends."""

    def interrupt(self) -> None:
        """Ctrl-C was pressed. Safe in a signal handler of the loop."""
        self._interrupted.set()

    async def run(self) -> int:
        """Take turns until somebody ends it; returns the exit code.

        Raises `ConnectionLostError` when the connection ends it, `UserError` for input that cannot be read.
        """
        code = 0
        try:
            async with asyncio.TaskGroup() as group:
                beside = (
                    group.create_task(self._mind_interrupts(), name="chat: interrupts"),
                    group.create_task(self._take_turns(), name="chat: turns"),
                    group.create_task(self._chat.wait_over(), name="chat: end"),
                )
                await asyncio.wait(beside[1:], return_when=asyncio.FIRST_COMPLETED)
                for task in beside:
                    task.cancel()
        except* _LeftError:
            code = INTERRUPTED
        end = self._chat.end
        cause = "left" if end is None else end.cause
        detail = "You ended the conversation." if end is None else end.detail
        self._screen.over(cause, detail, asdict(self._chat.usage))
        if cause == "disconnected":
            raise ConnectionLostError(detail)
        return code

    async def _take_turns(self) -> None:
        await self._answer(self._chat.greet())
        while self._chat.end is None:
            self._screen.prompt()
            line = await self._lines.next()
            self._warned = False
            if line is None or line.strip() == "/quit":
                return
            self._screen.typed()
            if line.startswith("/") and not line.startswith("//"):
                self._obey(line.strip())
            elif line.strip():
                text = line.removeprefix("/").strip()
                self._screen.heard(text)
                await self._answer(self._chat.say(text))

    async def _answer(self, turn: Awaitable[None]) -> None:
        self._answering = True
        try:
            await turn
        except ConnectionLostError:
            return  # the chat's end says why
        finally:
            self._answering = False
        self._screen.settled(self._chat.agent.name)

    async def _mind_interrupts(self) -> None:
        while True:
            await self._interrupted.wait()
            self._interrupted.clear()
            if self._warned:
                raise _LeftError
            self._warned = True
            if self._answering:
                await self._chat.interrupt()
            else:
                self._screen.note("Ctrl-C again ends, and so do Ctrl-D and /quit")
                self._screen.prompt()

    # Commands --------------------------------------------------------------------------------------

    def _obey(self, command: str) -> None:
        screen, chat = self._screen, self._chat
        match command:
            case "/history":
                lines = chat.history
                said = [(str(line.speaker), line.text + _CUT * line.interrupted) for line in lines]
                screen.show("history", [asdict(line) for line in lines], said)
            case "/usage":
                used = asdict(chat.usage)
                counts = [(name.replace("_", " "), str(count)) for name, count in used.items() if count]
                screen.show("usage", used, counts)
            case "/agent":
                agent = chat.agent
                parts = {
                    "agent": agent.name,
                    "model": agent.model,
                    "tools": ", ".join(agent.tools) or "none",
                    "hands over to": ", ".join(agent.handoffs) or "nobody",
                }
                screen.show("agent", asdict(agent), list(parts.items()))
            case "/help":
                screen.show("help", dict(COMMANDS), list(COMMANDS.items()))
                screen.note("Ctrl-C cuts an answer off. A line that begins with // is said with one slash.")
            case _:
                screen.note(f"There is no command {command}. {suggestion(command, tuple(COMMANDS))}")
