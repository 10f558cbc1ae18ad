"""Shows calls while they go: words as they are spoken, and what the service remembers of them.

On a terminal, lines grow at the bottom while somebody speaks; what is finished stands above them. Elsewhere
lines appear whole.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import assert_never

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sipagent.app import SpokenWords
from sipagent.cli.record import speech, tool_run
from sipagent.clock import utc_now
from sipagent.identifiers import CallId, ItemId
from sipagent.store.carrier_records import CarrierReported, RecordingDeleted, RecordingKept
from sipagent.store.records import (
    CallCheckpointed,
    CallEnded,
    CallNoted,
    CallOpened,
    ConfigurationLoaded,
    Fact,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
)


class LiveView:
    """Prints the facts of calls as they come, and knows which call was the first and whether it is over."""

    def __init__(self, out: Console | None) -> None:
        """``out`` None prints nothing."""
        self.first_call: CallId | None = None
        self._first_ended = asyncio.Event()
        self._out = out
        self._began: dict[CallId, datetime] = {}
        self._shown: dict[tuple[CallId, ItemId], tuple[str, bool]] = {}
        self._growing: dict[tuple[CallId, ItemId], Text] = {}
        self._live: Live | None = None
        """The bottom of the terminal, while lines grow there."""

    async def first_call_ended(self) -> None:
        """Return when the first call has its terminal record. Cancelling is safe."""
        await self._first_ended.wait()

    def hear(self, spoken: SpokenWords) -> None:
        """Let a line grow by a few words; does nothing where there is no terminal."""
        if self._out is None or not self._out.is_terminal:
            return
        key = (spoken.call_id, spoken.item_id)
        if key in self._shown:
            return
        if key not in self._growing:
            self._growing[key] = self._start(spoken.call_id, utc_now())
            self._growing[key].append_text(speech(spoken.role, "", interrupted=False))
        self._growing[key].append(spoken.words)
        if self._live is None:
            self._live = Live(console=self._out, auto_refresh=False, transient=True)
            self._live.start()
        self._refresh()

    def close(self) -> None:
        """Give the terminal back. Idempotent."""
        self._growing.clear()
        self._refresh()

    def show(self, fact: Fact) -> None:
        """Take in one fact, and print it if it is news."""
        match fact:
            case CallOpened():
                self.first_call = self.first_call or fact.call_id
                self._began[fact.call_id] = fact.at
                agent = f"{fact.agent} answers" if fact.agent else "nobody is to answer"
                caller, dialled = fact.caller or "somebody", fact.dialled or "this number"
                self._print(fact.call_id, fact.at, Text(f"{caller} calls {dialled}: {agent}", style="dim"))
            case StateChanged():
                self._print(fact.call_id, fact.at, Text(fact.state, style="dim"))
            case TranscriptLineSaid():
                self._show_line(fact)
            case ToolRan():
                if fact.output is not None:
                    run = tool_run(fact)
                    self._print(
                        fact.call_id, fact.started_at, Text("tool    ", style="magenta").append_text(run)
                    )
            case CallEnded():
                ending = Text(f"{fact.reason}: {fact.detail}" if fact.detail else fact.reason, style="dim")
                self._print(fact.call_id, fact.at, ending)
                self._forget(fact.call_id)
                if fact.call_id == self.first_call:
                    self._first_ended.set()
            case TokensUsed() | LatencyMeasured() | CallNoted() | CallCheckpointed() | ConfigurationLoaded():
                pass
            case CarrierReported() | RecordingKept() | RecordingDeleted():
                pass
            case _:
                assert_never(fact)

    def _show_line(self, fact: TranscriptLineSaid) -> None:
        key, news = (fact.call_id, fact.item_id), (fact.text, fact.interrupted)
        if not fact.text or self._shown.get(key) == news:
            return
        self._shown[key] = news
        if self._growing.pop(key, None) is not None:
            self._refresh()
        self._print(fact.call_id, fact.at, speech(fact.role, fact.text, interrupted=fact.interrupted))

    def _print(self, call_id: CallId, at: datetime, text: Text) -> None:
        if self._out is None:
            return
        self._out.print(self._start(call_id, at).append_text(text))

    def _start(self, call_id: CallId, at: datetime) -> Text:
        """How a line begins: the time since the call's first ring, and which call, if there are several."""
        began = self._began.get(call_id, at)
        start = Text(f"{max(0.0, (at - began).total_seconds()):6.1f} s  ", style="dim")
        if len(self._began) > 1:
            start.append(f"{call_id[-6:]}  ")
        return start

    def _refresh(self) -> None:
        if self._live is None:
            return
        if self._growing:
            self._live.update(Group(*self._growing.values()), refresh=True)
        else:
            self._live.stop()
            self._live = None

    def _forget(self, call_id: CallId) -> None:
        self._began.pop(call_id, None)
        self._growing = {key: line for key, line in self._growing.items() if key[0] != call_id}
        self._refresh()
        for key in [key for key in self._shown if key[0] == call_id]:
            del self._shown[key]
