"""Whatever the database, the disk and the process go through, the records are those of a quiet day."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.calls.recorder import Recorder, RecorderSettings
from sipagent.calls.spill import Spill
from sipagent.errors import SpillError, StoreAwayError, StoreError
from sipagent.identifiers import CallId
from sipagent.store import Fact, MemoryCallStore
from sipagent.telemetry import Metrics
from tests.store import facts
from tests.support.virtual_time import run_virtually

T = TypeVar("T")
Mood: TypeAlias = Literal["well", "away", "refuses", "hangs", "forgets to answer", "slow"]
CALLS = 2
ITEMS = 2
PATIENCE = RecorderSettings(
    gather_s=0.2,
    batch_facts=4,
    capacity=1000,
    spill_after_s=2.0,
    longest_retry_s=2.0,
    apply_timeout_s=10.0,
    opinion_pause_s=1.0,
    close_timeout_s=5.0,
    look_every_s=15.0,
)
LONGEST_UNSAFE_S = PATIENCE.spill_after_s + 3 * PATIENCE.gather_s
"""Facts older than this survive the death of the process."""


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is virtual, so nothing may happen elsewhere; the loop turns where a thread would work."""

    async def here(function: Callable[..., T], *arguments: Any) -> T:
        await asyncio.sleep(0.001)
        result = function(*arguments)
        await asyncio.sleep(0.001)
        return result

    monkeypatch.setattr("sipagent.calls.backlog.asyncio.to_thread", here)


class FitfulStore(MemoryCallStore):
    """Has moods, and remembers every fact that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Mood = "well"
        self.given: list[Fact] = []

    async def ping(self) -> None:
        if self.mood == "away":
            raise StoreAwayError("away", serves_nobody=True)

    async def apply(self, facts: Sequence[Fact]) -> None:
        await asyncio.sleep(0.01)
        match self.mood:
            case "away":
                raise StoreAwayError("away", serves_nobody=True)
            case "refuses":
                raise StoreError("read-only")
            case "hangs":
                await asyncio.sleep(3600)
            case "slow":
                await asyncio.sleep(3)
            case "well" | "forgets to answer":
                pass
        # What was begun in one mood ends in it: a slow one writes, even if others have begun to refuse.
        self.given.extend(facts)
        await super().apply(facts)
        if self.mood == "forgets to answer":
            raise StoreError("the connection was lost")


class MortalSpill(Spill):
    """Does nothing any more once its process is dead."""

    dead = False
    full = False

    def append(self, facts: Sequence[Fact]) -> None:
        if self.dead or self.full:
            raise SpillError("no")
        super().append(facts)


@dataclass(frozen=True, slots=True)
class Record:
    count: int


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Feel:
    mood: Mood


@dataclass(frozen=True, slots=True)
class Fill:
    """The disk is full, or has room again."""

    full: bool


@dataclass(frozen=True, slots=True)
class Restart:
    """The process is stopped, or killed, and starts again."""

    killed: bool


Step: TypeAlias = Record | Wait | Feel | Fill | Restart
RECORD = st.builds(Record, st.integers(1, 30))
WAIT = st.builds(Wait, st.sampled_from([0.05, 0.3, 1.0, 2.5, 6.0, 20.0]))
FEEL = st.builds(Feel, st.sampled_from(["well", "away", "refuses", "hangs", "forgets to answer", "slow"]))
EVENT = st.one_of(FEEL, st.builds(Fill, st.booleans()), st.builds(Restart, st.booleans()))
STEPS = st.lists(st.tuples(EVENT, RECORD, WAIT), max_size=12)


@dataclass(slots=True)
class Life:
    """One process, from start to end."""

    recorder: Recorder
    spill: MortalSpill
    task: asyncio.Task[None]
    recorded: list[Fact] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    disk_was_full: bool = False
    safe: int = 0
    """Facts that must arrive: all of an orderly end, those that had time to get to disk of the others."""


class World:
    """One database, one folder, one process after the other; a fact has its number in its text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FitfulStore()
        self.number = 0
        self.lives: list[Life] = []

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def start(self) -> None:
        began_at = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=len(self.lives))
        spill = MortalSpill(self.folder, began_at=began_at, segment_bytes=3000)
        recorder = Recorder(self.store, Metrics(), spill=spill, settings=PATIENCE)
        task = asyncio.ensure_future(recorder.run())
        self.lives.append(Life(recorder=recorder, spill=spill, task=task))

    def record(self, count: int) -> None:
        life = self.life
        for _ in range(count):
            self.number += 1
            # Each line is said again and again, so that a wrong order leaves an old text behind.
            item, call = self.number % ITEMS, self.number // ITEMS % CALLS
            fact = facts.line(f"item_{item}", item, str(self.number), call_id=f"rtc_{call}")
            life.recorder.record(fact)
            life.recorded.append(fact)
            life.moments.append(asyncio.get_running_loop().time())

    async def end(self, *, killed: bool) -> None:
        life = self.life
        life.disk_was_full = life.disk_was_full or life.spill.full
        if killed:
            now = asyncio.get_running_loop().time()
            if not life.disk_was_full:
                life.safe = sum(now - moment > LONGEST_UNSAFE_S for moment in life.moments)
            life.spill.dead = True
            life.task.cancel()
        else:
            if not life.spill.full:
                life.safe = len(life.recorded)
            await life.recorder.aclose()
        await asyncio.wait({life.task})
        if not killed:
            life.task.result()
        life.spill.close()

    async def play(self, steps: Sequence[Step]) -> None:
        self.start()
        for step in steps:
            match step:
                case Record(count):
                    self.record(count)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Feel(mood):
                    self.store.mood = mood
                case Fill(full):
                    self.life.spill.full = full
                    self.life.disk_was_full = self.life.disk_was_full or full
                case Restart(killed):
                    await self.end(killed=killed)
                    self.start()
        self.store.mood = "well"
        self.life.spill.full = False
        assert await self.life.recorder.flush(120)
        self.life.disk_was_full = False
        await self.end(killed=False)

    async def check(self) -> None:
        quiet = MemoryCallStore()
        given = {text(fact) for fact in self.store.given}
        for life in self.lives:
            arrived = [fact for fact in life.recorded if text(fact) in given]
            assert arrived == life.recorded[: len(arrived)], "something in the middle is lost"
            assert len(arrived) >= life.safe
            await quiet.apply(arrived)
        for number in range(CALLS):
            call_id = CallId(f"rtc_{number}")
            expected, found = await quiet.call(call_id), await self.store.call(call_id)
            assert (expected and expected.transcript) == (found and found.transcript)
        left = [path.name for path in self.folder.iterdir()]
        assert left == []


def text(fact: Fact) -> str:
    return str(getattr(fact, "text", ""))


@settings(max_examples=150)
@given(STEPS)
def test_whatever_happens_what_was_safe_arrives_in_an_order_that_makes_no_difference(
    rounds: list[tuple[Step, Step, Step]],
) -> None:
    async def live() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            await world.play([step for one in rounds for step in one])
            await world.check()

    run_virtually(live())
