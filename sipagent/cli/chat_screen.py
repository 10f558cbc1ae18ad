"""What a chat looks like: words and tools for people, one JSON object a line for machines."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from sipagent.cli.lines import Lines
from sipagent.cli.output import print_json_line
from sipagent.cli.record import SPEAKER_STYLES

YOU = "you"
_LONGEST_SHOWN = 600
"""Characters of a tool's arguments or output that people see; machines get all of them."""
_YES, _NO = frozenset({"y", "yes"}), frozenset({"n", "no"})


class Screen(abc.ABC):
    """A `ChatView`, and whatever else a chat shows. Nothing here raises but for a terminal that is gone."""

    def __init__(self, lines: Lines) -> None:
        """``lines`` is asked when a tool needs an approval."""
        self._lines = lines

    @abc.abstractmethod
    def opened(self, agent: Mapping[str, Any], where: str) -> None:
        """The chat begins: with whom, and at which address."""

    @abc.abstractmethod
    def prompt(self) -> None:
        """It is your turn."""

    @abc.abstractmethod
    def typed(self) -> None:
        """A line has come."""

    @abc.abstractmethod
    def heard(self, text: str) -> None:
        """You have said ``text``."""

    @abc.abstractmethod
    def said(self, agent: str, words: str) -> None:
        """See `ChatView.said`."""

    @abc.abstractmethod
    def line(self, agent: str, text: str, *, interrupted: bool) -> None:
        """See `ChatView.line`."""

    @abc.abstractmethod
    def tool_started(self, name: str, arguments: str) -> None:
        """See `ChatView.tool_started`."""

    @abc.abstractmethod
    def tool_ended(
        self, name: str, arguments: str, output: str, *, is_error: bool, duration_ms: float
    ) -> None:
        """See `ChatView.tool_ended`."""

    @abc.abstractmethod
    def handed_off(self, from_agent: str, to_agent: str) -> None:
        """See `ChatView.handed_off`."""

    @abc.abstractmethod
    def guardrail_tripped(self, guardrail: str, words: str) -> None:
        """See `ChatView.guardrail_tripped`."""

    @abc.abstractmethod
    def failed(self, message: str) -> None:
        """See `ChatView.failed`."""

    @abc.abstractmethod
    async def approve(self, name: str, arguments: str) -> bool:
        """See `ChatView.approve`."""

    @abc.abstractmethod
    def note(self, text: str) -> None:
        """A word of the command itself."""

    @abc.abstractmethod
    def show(self, what: str, value: object, rows: Sequence[tuple[str, str]]) -> None:
        """The answer to a command such as ``/usage``, which ``what`` names: for machines and for people."""

    @abc.abstractmethod
    def settled(self, agent: str) -> None:
        """An answer is over, and ``agent`` leads."""

    @abc.abstractmethod
    def over(self, cause: str, detail: str, usage: Mapping[str, Any]) -> None:
        """The chat has ended."""


class JsonScreen(Screen):
    """Everything as one JSON object on a line of its own, named by its ``type``."""

    def opened(self, agent: Mapping[str, Any], where: str) -> None:
        """See `Screen.opened`."""
        self._tell("opened", agent=agent, api=where)

    def prompt(self) -> None:
        """Nothing: machines read `settled`."""

    def typed(self) -> None:
        """Nothing: it will be told what it was."""

    def heard(self, text: str) -> None:
        """See `Screen.heard`."""
        self._tell("you", text=text)

    def said(self, agent: str, words: str) -> None:
        """See `ChatView.said`."""
        self._tell("words", agent=agent, words=words)

    def line(self, agent: str, text: str, *, interrupted: bool) -> None:
        """See `ChatView.line`."""
        self._tell("line", agent=agent, text=text, interrupted=interrupted)

    def tool_started(self, name: str, arguments: str) -> None:
        """See `ChatView.tool_started`."""
        self._tell("tool_started", name=name, arguments=arguments)

    def tool_ended(
        self, name: str, arguments: str, output: str, *, is_error: bool, duration_ms: float
    ) -> None:
        """See `ChatView.tool_ended`."""
        self._tell(
            "tool_ended",
            name=name,
            arguments=arguments,
            output=output,
            is_error=is_error,
            duration_ms=round(duration_ms, 3),
        )

    def handed_off(self, from_agent: str, to_agent: str) -> None:
        """See `ChatView.handed_off`."""
        self._tell("handoff", from_agent=from_agent, to_agent=to_agent)

    def guardrail_tripped(self, guardrail: str, words: str) -> None:
        """See `ChatView.guardrail_tripped`."""
        self._tell("guardrail_tripped", guardrail=guardrail, words=words)

    def failed(self, message: str) -> None:
        """See `ChatView.failed`."""
        self._tell("error", message=message)

    async def approve(self, name: str, arguments: str) -> bool:
        """See `ChatView.approve`; the next line of the input is the answer, and anything but yes is no."""
        self._tell("approval_required", name=name, arguments=arguments)
        return (await self._lines.next() or "").strip().lower() in _YES

    def note(self, text: str) -> None:
        """See `Screen.note`."""
        self._tell("note", text=text)

    def show(self, what: str, value: object, rows: Sequence[tuple[str, str]]) -> None:
        """See `Screen.show`."""
        self._tell(what, **{what: value})

    def settled(self, agent: str) -> None:
        """See `Screen.settled`."""
        self._tell("settled", agent=agent)

    def over(self, cause: str, detail: str, usage: Mapping[str, Any]) -> None:
        """See `Screen.over`."""
        self._tell("over", cause=cause, detail=detail, usage=usage)

    def _tell(self, kind: str, **fields: Any) -> None:
        print_json_line({"type": kind, **fields})


class TextScreen(Screen):
    """For people. On a terminal words appear as they come; elsewhere lines appear whole, yours too."""

    def __init__(self, out: Console, lines: Lines, *, asks: bool) -> None:
        """``asks`` says that somebody sits at the other end, who can be prompted."""
        super().__init__(lines)
        self._out = out
        self._asks = asks
        self._width = len(YOU)
        self._at_start = True
        """The cursor is where a line begins."""
        self._speaker: str | None = None
        """Whose words stand before the cursor."""
        self._streamed = False
        """Words of the line that is being written were shown."""

    def opened(self, agent: Mapping[str, Any], where: str) -> None:
        """See `Screen.opened`."""
        self._width = max(self._width, len("tool"), len(agent["name"]))
        self._print(Text(f"{agent['name']} ({agent['model']}) at {where}", style="dim"))
        if self._asks:
            self._print(Text("Ctrl-C cuts an answer off, Ctrl-D ends, /help says what else.", style="dim"))

    def prompt(self) -> None:
        """See `Screen.prompt`."""
        if self._asks:
            self._break()
            self._write(self._label(YOU, SPEAKER_STYLES["caller"]))

    def typed(self) -> None:
        """See `Screen.typed`."""
        if self._asks:
            self._at_start = True  # the terminal has shown the key that ended the line

    def heard(self, text: str) -> None:
        """See `Screen.heard`; a terminal shows by itself what is typed."""
        if not self._asks:
            self._print(self._label(YOU, SPEAKER_STYLES["caller"]).append(printable(text), style="default"))

    def said(self, agent: str, words: str) -> None:
        """See `ChatView.said`."""
        if not self._out.is_terminal:
            return
        if self._speaker != agent:
            self._break()
            self._write(self._label(agent, SPEAKER_STYLES["agent"]))
            self._speaker = agent
        self._write(Text(printable(words)))
        self._streamed = True

    def line(self, agent: str, text: str, *, interrupted: bool) -> None:
        """See `ChatView.line`."""
        mark = Text("  (interrupted)" if interrupted else "", style="dim")
        if not self._streamed:
            label = self._label(agent, SPEAKER_STYLES["agent"])
            self._print(label.append(printable(text), style="default").append_text(mark))
        elif mark:
            self._write(mark)
        self._break()
        self._streamed = False

    def tool_started(self, name: str, arguments: str) -> None:
        """Nothing: a tool is shown when it has run."""

    def tool_ended(
        self, name: str, arguments: str, output: str, *, is_error: bool, duration_ms: float
    ) -> None:
        """See `ChatView.tool_ended`."""
        text = self._label("tool", "magenta").append(f"{name}({shortened(arguments)})")
        text.append(" -> ", style="dim").append(shortened(output), style="red" if is_error else "default")
        self._print(text.append(f" ({duration_ms:.0f} ms)", style="dim"))

    def handed_off(self, from_agent: str, to_agent: str) -> None:
        """See `ChatView.handed_off`."""
        self._print(Text(f"{from_agent} hands over to {to_agent}", style="yellow"))

    def guardrail_tripped(self, guardrail: str, words: str) -> None:
        """See `ChatView.guardrail_tripped`."""
        self._print(Text(f"guardrail {guardrail} stops this: {shortened(words)}", style="red"))

    def failed(self, message: str) -> None:
        """See `ChatView.failed`."""
        self._print(Text(f"error: {shortened(message)}", style="red"))

    async def approve(self, name: str, arguments: str) -> bool:
        """See `ChatView.approve`. Somebody who can be asked again is; else anything but yes is no."""
        question = Text(f"May {name}({shortened(arguments)}) run? [y/n] ", style="yellow")
        while True:
            self._break()
            self._write(question)
            line = await self._lines.next()
            answer = (line or "").strip().lower()
            if line is not None:
                self.typed()
            if not self._asks:
                self._write(Text(printable(answer)))
            self._break()
            if answer in _YES | _NO or line is None or not self._asks:
                return answer in _YES

    def note(self, text: str) -> None:
        """See `Screen.note`."""
        self._print(Text(text, style="dim"))

    def show(self, what: str, value: object, rows: Sequence[tuple[str, str]]) -> None:
        """See `Screen.show`."""
        if not rows:
            self.note("nothing yet")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            line = Text(f"{printable(name):<{width}}  ", style="dim")
            self._print(line.append(printable(text), style="default"))

    def settled(self, agent: str) -> None:
        """The next prompt says it."""

    def over(self, cause: str, detail: str, usage: Mapping[str, Any]) -> None:
        """See `Screen.over`."""
        self._print(Text(detail, style="dim"))

    # How it gets there -----------------------------------------------------------------------------

    def _label(self, name: str, style: str) -> Text:
        return Text(f"{printable(name):<{self._width}}  ", style=style)

    def _print(self, text: Text) -> None:
        """``text`` on lines of its own."""
        self._break()
        self._write(text)
        self._break()

    def _write(self, text: Text) -> None:
        self._put(text)
        self._at_start = False

    def _break(self) -> None:
        self._speaker = None
        if not self._at_start:
            self._put(Text("\n"))
            self._at_start = True

    def _put(self, text: Text) -> None:
        with self._out.capture() as rendered:
            self._out.print(text, end="")
        # Written here, since rich leaves the process by itself when nobody reads any more.
        self._out.file.write(rendered.get())
        self._out.file.flush()


def printable(text: str) -> str:
    """``text`` without what could steer a terminal: models and tools say whatever they like."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)


def shortened(text: str) -> str:
    """``text`` on one line, and no longer than people read."""
    line = printable(" ".join(text.split()))
    left_out = len(line) - _LONGEST_SHOWN
    return line if left_out <= 0 else f"{line[:_LONGEST_SHOWN]}… ({left_out} characters more)"
