"""Shows calls while they go: what the service remembers, printed the moment it is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import assert_never

from rich.console import Console
from rich.text import Text

from sipagent.cli.record import speech, tool_run
from sipagent.identifiers import CallId, ItemId
from sipagent.store import CallStore
from sipagent.store.records import (
    CallEnded,
    CallOpened,
    CallRecord,
    CallSummary,
    Fact,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
)


class WatchedStore:
    """A `CallStore` that tells ``watch`` of every fact it has kept, and is otherwise ``store``."""

    def __init__(self, store: CallStore, watch: Callable[[Fact], None]) -> None:
        self._store = store
        self._watch = watch

    async def open(self) -> None:
        """As `CallStore.open`."""
        await self._store.open()

    async def aclose(self) -> None:
        """As `CallStore.aclose`."""
        await self._store.aclose()

    async def ping(self) -> None:
        """As `CallStore.ping`."""
        await self._store.ping()

    async def apply(self, facts: Sequence[Fact]) -> None:
        """As `CallStore.apply`; only what was kept is told."""
        await self._store.apply(facts)
        for fact in facts:
            self._watch(fact)

    async def call(self, call_id: CallId) -> CallRecord | None:
        """As `CallStore.call`."""
        return await self._store.call(call_id)

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """As `CallStore.calls`."""
        return await self._store.calls(limit=limit, before=before, agent=agent, reason=reason)


class LiveView:
    """Prints the facts of calls as they come, and knows which call was the first and whether it is over."""

    def __init__(self, out: Console | None) -> None:
        """``out`` None prints nothing."""
        self.first_call: CallId | None = None
        self._first_ended = asyncio.Event()
        self._out = out
        self._began: dict[CallId, datetime] = {}
        self._shown: dict[tuple[CallId, ItemId], tuple[str, bool]] = {}

    async def first_call_ended(self) -> None:
        """Return when the first call has its terminal record. Cancelling is safe."""
        await self._first_ended.wait()

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
                news = (fact.text, fact.interrupted)
                if fact.text and self._shown.get((fact.call_id, fact.item_id)) != news:
                    self._shown[fact.call_id, fact.item_id] = news
                    line = speech(fact.role, fact.text, interrupted=fact.interrupted)
                    self._print(fact.call_id, fact.at, line)
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
            case TokensUsed() | LatencyMeasured():
                pass
            case _:
                assert_never(fact)

    def _print(self, call_id: CallId, at: datetime, text: Text) -> None:
        if self._out is None:
            return
        began = self._began.get(call_id, at)
        start = Text(f"{max(0.0, (at - began).total_seconds()):6.1f} s  ", style="dim")
        if len(self._began) > 1:
            start.append(f"{call_id[-6:]}  ")
        self._out.print(start.append_text(text))

    def _forget(self, call_id: CallId) -> None:
        self._began.pop(call_id, None)
        for key in [key for key in self._shown if key[0] == call_id]:
            del self._shown[key]
