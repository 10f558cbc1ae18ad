"""One call, workers that come and go, and answers of the database that are lost one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import pytest

from sipagent.calls import Generation
from sipagent.errors import StoreAwayError
from sipagent.identifiers import CallId
from sipagent.store import CallRecord
from tests.calls.outliving import SHIFT, ImaginedLine, Worker, World, generation_of
from tests.support.processes import run_processes

CALL = CallId("rtc_0")
IN_GOOD_STANDING_S = SHIFT.lease_s + 1.0


class CountingLine(ImaginedLine):
    """A line that counts how often somebody wants to answer it."""

    asked_to_accept = 0

    def accept(self) -> None:
        self.asked_to_accept += 1
        super().accept()


class LosesAnswers:
    """A worker's way to the database. The answers to ``loses`` are lost, the first ``times`` of each."""

    def __init__(self, worker: Worker) -> None:
        self._reached = worker.store
        self.loses: dict[str, int] = {}
        self.lost = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        ask = getattr(self._reached, name)

        async def asked(*arguments: Any, **options: Any) -> Any:
            found = await ask(*arguments, **options)
            if self.loses.get(name, 0) and (found or name != "adopt"):
                self.loses[name] -= 1
                self.lost.set()
                raise StoreAwayError("the answer was lost", serves_nobody=False)
            return found

        return asked


@dataclass(kw_only=True)
class Scene:
    """Workers, one call, and who attends it."""

    world: World
    generation: Generation
    workers: list[Worker]
    line: CountingLine

    def worker(self) -> tuple[Worker, LosesAnswers]:
        """Another worker, and its way to the database."""
        worker = Worker(self.world, self.generation)
        self.workers.append(worker)
        way = LosesAnswers(worker)
        for one in (worker.shift, worker.shift._adopter, worker.shift._claims, worker.shift._leaving):
            one._memory = cast(Any, way)
        return worker, way

    async def until(self, holds: Callable[[], bool], within_s: float) -> None:
        """Return when it holds, which must be soon."""
        until = self.world.loop.time() + within_s
        while not holds():
            await asyncio.sleep(0.001)
            assert self.world.loop.time() < until, "in time"

    async def end(self) -> CallRecord:
        """The caller hangs up after a while; the record of the call, which has one end."""
        await asyncio.sleep(2.0)
        self.line.hang_up("caller")
        await asyncio.sleep(5.0)
        for worker in self.workers:
            worker.leaves.set()
        for worker in self.workers:
            if worker.process.killed:
                await worker.process.clear_away()
            else:
                await worker.task
        assert not self.world.database.claims
        record = self.world.database.calls.record(CALL)
        assert record is not None
        assert record.summary.end_reason == "caller_hung_up"
        assert len([state for state in record.states if state.state == "ended"]) == 1
        return record


Play: TypeAlias = Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]


def stage(monkeypatch: pytest.MonkeyPatch) -> Play:
    """What plays a story from its beginning to its end, in virtual time."""

    async def told(story: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        world = World()
        monkeypatch.setattr("websockets.connect", world.connect)
        line = CountingLine(CALL, one_socket=False)
        world.lines[CALL] = line
        scene = Scene(world=world, generation=await generation_of(world), workers=[], line=line)
        try:
            await story(scene)
        except BaseException:
            for worker in scene.workers:
                worker.kill()
                await worker.process.clear_away()
            raise

    return lambda story: run_processes(told(story))
