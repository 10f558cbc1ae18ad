from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from rich.console import Console

from sipagent.app import SpokenWords
from sipagent.calls.watched import WatchedStore
from sipagent.cli.watching import LiveView
from sipagent.errors import StoreError
from sipagent.identifiers import CallId, ItemId, ToolCallId
from sipagent.store import MemoryCallStore
from sipagent.store.records import CallEnded, CallOpened, Fact, StateChanged, ToolRan, TranscriptLineSaid

BEGAN = datetime(2026, 11, 20, 9, tzinfo=UTC)


def opened(call: str) -> CallOpened:
    return CallOpened(
        call_id=CallId(call),
        at=BEGAN,
        webhook_id="wh_1",
        caller=None,
        dialled="+15550100000",
        agent="front-desk",
        model=None,
        sip_call_id=None,
        configuration=None,
    )


def said(text: str, *, call: str = "rtc_1", interrupted: bool = False) -> TranscriptLineSaid:
    return TranscriptLineSaid(
        call_id=CallId(call),
        item_id=ItemId("item_1"),
        position=1.0,
        role="agent",
        text=text,
        interrupted=interrupted,
        at=BEGAN + timedelta(seconds=2.5),
    )


def tool(output: str | None) -> ToolRan:
    return ToolRan(
        call_id=CallId("rtc_1"),
        tool_call_id=ToolCallId("call_1"),
        name="look",
        arguments="{}",
        started_at=BEGAN,
        output=output,
    )


def ended(call: str) -> CallEnded:
    return CallEnded(
        call_id=CallId(call), at=BEGAN, reason="agent_hung_up", fault_owner="none", detail="Goodbye."
    )


def shown(*facts: Fact) -> list[str]:
    target = io.StringIO()
    view = LiveView(Console(file=target, width=200, markup=False, highlight=False))
    for fact in facts:
        view.show(fact)
    return target.getvalue().splitlines()


def test_a_call_is_told_as_it_goes() -> None:
    state = StateChanged(call_id=CallId("rtc_1"), sequence=1, state="accepting", at=BEGAN)
    assert shown(opened("rtc_1"), state, said("Hello."), tool(None), tool("Tuesday"), ended("rtc_1")) == [
        "   0.0 s  somebody calls +15550100000: front-desk answers",
        "   0.0 s  accepting",
        "   2.5 s  agent   Hello.",
        "   0.0 s  tool    look({}) → Tuesday",
        "   0.0 s  agent_hung_up: Goodbye.",
    ]


def test_a_line_is_told_again_only_when_it_changed() -> None:
    lines = shown(opened("rtc_1"), said("Hello."), said("Hello."), said("Hello.", interrupted=True), said(""))
    assert lines[1:] == ["   2.5 s  agent   Hello.", "   2.5 s  agent   Hello.  (interrupted)"]


def test_two_calls_at_once_are_told_apart() -> None:
    lines = shown(opened("rtc_000001"), opened("rtc_000002"), said("Hi.", call="rtc_000001"))
    assert lines[-1] == "   2.5 s  000001  agent   Hi."


async def test_it_knows_when_the_first_call_is_over() -> None:
    view = LiveView(None)
    view.show(opened("rtc_1"))
    view.show(opened("rtc_2"))
    waiting = asyncio.ensure_future(view.first_call_ended())
    view.show(ended("rtc_2"))
    await asyncio.sleep(0)
    assert not waiting.done()
    view.show(ended("rtc_1"))
    await asyncio.wait_for(waiting, 30)
    assert view.first_call == "rtc_1"


async def test_only_what_was_kept_is_told() -> None:
    class Refusing(MemoryCallStore):
        async def apply(self, facts: object) -> None:
            raise StoreError("no")

    told: list[Fact] = []
    refusing = WatchedStore(Refusing(), told.append)
    await refusing.open()
    with pytest.raises(StoreError):
        await refusing.apply([opened("rtc_1")])
    assert told == []
    await refusing.aclose()

    store = WatchedStore(MemoryCallStore(), told.append)
    await store.open()
    await store.ping()
    await store.apply([opened("rtc_1"), ended("rtc_1")])
    assert told == [opened("rtc_1"), ended("rtc_1")]
    record = await store.call(CallId("rtc_1"))
    assert record is not None
    assert [summary.call_id for summary in await store.calls(agent="front-desk")] == ["rtc_1"]
    await store.aclose()


def spoken(words: str, *, item: str = "item_1", role: Literal["caller", "agent"] = "agent") -> SpokenWords:
    return SpokenWords(call_id=CallId("rtc_1"), item_id=ItemId(item), role=role, words=words)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def written(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_line_grows_on_a_terminal_until_it_is_whole() -> None:
    out = terminal()
    view = LiveView(out)
    view.show(opened("rtc_1"))
    view.hear(spoken("Good"))
    assert "agent   Good" in written(out)
    view.hear(spoken(" morning."))
    view.show(StateChanged(call_id=CallId("rtc_1"), sequence=1, state="talking", at=BEGAN))
    view.show(said("Good morning."))
    view.hear(spoken(" too late"))
    view.close()
    assert "Good morning." in written(out)
    assert "too late" not in written(out)
    assert written(out).endswith("agent   Good morning.\n")


def test_closing_gives_the_terminal_back_with_a_line_half_grown() -> None:
    out = terminal()
    view = LiveView(out)
    view.hear(spoken("Good"))
    view.close()
    assert "\x1b[?25h" in written(out), "the cursor is back"


def test_where_there_is_no_terminal_words_do_not_grow() -> None:
    out = Console(file=io.StringIO(), width=100)
    view = LiveView(out)
    view.hear(spoken("Good"))
    assert written(out) == ""
