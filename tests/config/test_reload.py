"""Reading a configuration again: when, how often, and what nothing comes of."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sipagent.carrier.settings import AnswerBySip
from sipagent.config import ConfigurationWatcher, FilesRead, Loaded, Reload, load_configuration
from sipagent.config.reload import MOST_READINGS, Load
from sipagent.errors import UserError
from tests.config.carriers import VARIABLES, WHOLE

CONFIGURATION = """
version: 1
agents:
  front-desk: {{instructions: "{words}"}}
routes: [{{agent: front-desk}}]
"""
WITH_PROMPT = """
version: 1
agents:
  front-desk: {instructions_file: prompt.md, tools: [{python: "reloaded_shop:price"}]}
routes: [{agent: front-desk}]
"""
TOOL = "def price(item: str) -> str:\n    '''{words}'''\n    return item\n"


class Desk:
    """A watcher, what it let serve, and how every reload went."""

    def __init__(
        self, file: Path, *, load: Load = load_configuration, refuse: bool = False, settle_s: float = 0.02
    ) -> None:
        self.file = file
        self.served: list[Loaded] = [load_configuration(file)]
        self.outcomes: list[Reload] = []
        self.refuse = refuse
        self._more = asyncio.Event()
        self.watcher = ConfigurationWatcher(
            file,
            self.served[0],
            on_loaded=self._serve,
            on_outcome=self._hear,
            load=load,
            poll_s=0.02,
            settle_s=settle_s,
        )

    async def _serve(self, loaded: Loaded) -> None:
        if self.refuse:
            raise UserError("No session can be made of it.")
        self.served.append(loaded)

    def _hear(self, outcome: Reload) -> None:
        self.outcomes.append(outcome)
        self._more.set()

    @property
    def results(self) -> list[str]:
        return [outcome.result for outcome in self.outcomes]

    def words(self) -> str:
        """What the agent that serves now is told."""
        return str(self.served[-1].door.profiles["front-desk"].agent.instructions)

    async def outcome(self, count: int) -> Reload:
        """The reload with this number, from 1, once it was tried."""
        async with asyncio.timeout(20):
            while len(self.outcomes) < count:
                self._more.clear()
                await self._more.wait()
        return self.outcomes[count - 1]


@asynccontextmanager
async def watching(desk: Desk, *, poll: bool = True) -> AsyncIterator[Desk]:
    task = asyncio.ensure_future(desk.watcher.run(poll=poll))
    try:
        yield desk
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def put(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def write(file: Path, words: str) -> None:
    put(file, CONFIGURATION.format(words=words))


def rename(file: Path, to: Path) -> None:
    file.rename(to)


@pytest.fixture(autouse=True)
def own_imports() -> Iterator[None]:
    """Whatever a test imports is forgotten after it."""
    finders, path = list(sys.meta_path), list(sys.path)
    yield
    sys.modules.pop("reloaded_shop", None)
    sys.meta_path[:], sys.path[:] = finders, path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "sipagent.yaml"
    write(file, "one")
    return file


async def test_a_file_that_changes_serves_and_one_that_does_not_is_left_alone(file: Path) -> None:
    async with watching(Desk(file)) as desk:
        await asyncio.sleep(0.2)
        assert desk.outcomes == []
        write(file, "two")
        outcome = await desk.outcome(1)
        assert (outcome.result, outcome.fingerprint) == ("loaded", desk.served[1].fingerprint)
        assert desk.words() == "two"
        await asyncio.sleep(0.2)
        assert desk.results == ["loaded"]


async def test_the_same_words_written_again_change_nothing(file: Path) -> None:
    async with watching(Desk(file)) as desk:
        write(file, "one")
        os.utime(file, ns=(1, 1))
        assert (await desk.outcome(1)).result == "unchanged"
        await asyncio.sleep(0.2)
        assert desk.results == ["unchanged"]
        assert len(desk.served) == 1
        write(file, "two")
        assert (await desk.outcome(2)).result == "loaded"


async def test_a_broken_file_is_reported_by_line_and_changes_nothing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(Desk(file)) as desk:
        put(file, "version: 2\nagents: {}\nroutes: []\n")
        outcome = await desk.outcome(1)
        assert outcome.result == "failed"
        assert {problem.line for problem in outcome.problems} >= {1, 2, 3}
        assert outcome.fingerprint == desk.served[0].fingerprint
        said = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(said) == 1
        assert all(str(problem) in said[0].getMessage() for problem in outcome.problems)
        await asyncio.sleep(0.2)
        assert len(desk.outcomes) == 1, "and reported once"
        write(file, "one")
        assert (await desk.outcome(2)).result == "unchanged"
        assert len(desk.served) == 1


async def test_a_file_that_went_away_and_came_back(file: Path) -> None:
    async with watching(Desk(file)) as desk:
        os.unlink(file)
        assert (await desk.outcome(1)).result == "failed"
        write(file, "two")
        assert (await desk.outcome(2)).result == "loaded"


async def test_an_editor_that_writes_another_file_and_renames_it(file: Path) -> None:
    async with watching(Desk(file)) as desk:
        for number in range(3):
            backup, new = file.with_suffix(".bak"), file.with_suffix(".new")
            rename(file, backup)
            write(new, f"words {number}")
            rename(new, file)
            assert (await desk.outcome(number + 1)).result == "loaded"
            assert desk.words() == f"words {number}"


async def test_a_link_that_points_elsewhere_is_another_file(tmp_path: Path) -> None:
    """As a mounted volume is swapped: same name, same size, and times that may be the same."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "sipagent.yaml", name)
        os.utime(tmp_path / name / "sipagent.yaml", ns=(1, 1))
    (tmp_path / "data").symlink_to("one")
    file = tmp_path / "sipagent.yaml"
    file.symlink_to("data/sipagent.yaml")
    async with watching(Desk(file)) as desk:
        (tmp_path / "data.new").symlink_to("two")
        (tmp_path / "data.new").rename(tmp_path / "data")
        assert (await desk.outcome(1)).result == "loaded"
        assert desk.words() == "two"


async def test_every_file_that_was_pulled_in_counts(file: Path) -> None:
    prompt, shop = file.parent / "prompt.md", file.parent / "reloaded_shop.py"
    put(prompt, "Be kind.")
    put(shop, TOOL.format(words="The price."))
    put(file, WITH_PROMPT)

    async with watching(Desk(file)) as desk:

        def description() -> str:
            (tool,) = desk.served[-1].door.profiles["front-desk"].agent.tools
            return str(getattr(tool, "description", ""))

        assert description() == "The price."
        put(prompt, "Be brief.")
        assert (await desk.outcome(1)).result == "loaded"
        assert desk.words() == "Be brief."
        put(shop, TOOL.format(words="What it is."))
        assert (await desk.outcome(2)).result == "loaded"
        assert description() == "What it is."
        put(shop, "def price(:\n")
        assert (await desk.outcome(3)).result == "failed"
        put(shop, TOOL.format(words="Mended."))
        assert (await desk.outcome(4)).result == "loaded"
        assert description() == "Mended."


@pytest.mark.parametrize("missing", ["prompt.md", "reloaded_shop.py"])
async def test_putting_down_what_was_missing_is_enough(file: Path, missing: str) -> None:
    contents = {"prompt.md": "Be kind.", "reloaded_shop.py": TOOL.format(words="The price.")}
    async with watching(Desk(file)) as desk:
        for name, content in contents.items():
            if name != missing:
                put(file.parent / name, content)
        put(file, WITH_PROMPT)
        assert (await desk.outcome(1)).result == "failed"
        put(file.parent / missing, contents[missing])
        assert (await desk.outcome(2)).result == "loaded"


async def test_a_file_that_is_being_written_is_read_when_it_holds_still(file: Path) -> None:
    whole = CONFIGURATION.format(words="two " * 200)
    async with watching(Desk(file, settle_s=1.0)) as desk:
        with file.open("w") as stream:
            for start in range(0, len(whole), 40):
                stream.write(whole[start : start + 40])
                stream.flush()
                await asyncio.sleep(0.005)
        await desk.outcome(1)
        assert desk.results == ["loaded"]


class Interrupted:
    """Loads, while somebody writes: ``meanwhile`` runs after each reading of the files."""

    def __init__(self, meanwhile: Callable[[int], None]) -> None:
        self.readings = 0
        self._meanwhile = meanwhile

    def __call__(self, path: Path, *, read: FilesRead) -> Loaded:
        try:
            return load_configuration(path, read=read)
        finally:
            self.readings += 1
            self._meanwhile(self.readings)


async def test_what_changes_while_it_is_read_is_read_again(file: Path) -> None:
    desk = Desk(file, load=Interrupted(lambda count: write(file, "final") if count == 1 else None))
    write(file, "half of it")
    outcome = await desk.watcher.reload()
    assert outcome.result == "loaded"
    assert desk.words() == "final"
    assert len(desk.served) == 2, "the half never served"


async def test_a_broken_half_is_not_reported_when_the_rest_follows(file: Path) -> None:
    desk = Desk(file, load=Interrupted(lambda count: write(file, "whole") if count == 1 else None))
    put(file, "version: 1\nagents: {front-")
    assert (await desk.watcher.reload()).result == "loaded"
    assert desk.words() == "whole"


async def test_a_file_that_never_holds_still_is_read_a_few_times(file: Path) -> None:
    load = Interrupted(lambda count: write(file, f"words {count}"))
    desk = Desk(file, load=load)
    write(file, "two")
    assert (await desk.watcher.reload()).result == "loaded"
    assert load.readings == MOST_READINGS


async def test_asking_reads_at_once_and_needs_no_polling(file: Path) -> None:
    async with watching(Desk(file), poll=False) as desk:
        write(file, "two")
        await asyncio.sleep(0.2)
        assert desk.outcomes == []
        desk.watcher.ask()
        assert (await desk.outcome(1)).result == "loaded"
        desk.watcher.ask()
        assert (await desk.outcome(2)).result == "unchanged"


async def test_many_who_ask_at_once_take_turns(file: Path) -> None:
    desk = Desk(file)
    write(file, "two")
    outcomes = await asyncio.gather(*(desk.watcher.reload() for _ in range(5)))
    assert [outcome.result for outcome in outcomes] == ["loaded", *["unchanged"] * 4]


async def test_what_cannot_be_served_is_a_failure_and_is_tried_again(file: Path) -> None:
    desk = Desk(file, refuse=True)
    put(file.parent / "prompt.md", "Be kind.")
    put(file.parent / "reloaded_shop.py", TOOL.format(words="The price."))
    put(file, WITH_PROMPT)
    outcome = await desk.watcher.reload()
    assert (outcome.result, outcome.message) == ("failed", "No session can be made of it.")
    assert "reloaded_shop" not in sys.modules, "what was imported for it is forgotten"
    desk.refuse = False
    assert (await desk.watcher.reload()).result == "loaded"


async def test_a_defect_of_ours_ends_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    def defect(path: Path, *, read: FilesRead) -> Loaded:
        raise ZeroDivisionError("by us")

    desk = Desk(file, load=defect)
    outcome = await desk.watcher.reload()
    assert (outcome.result, outcome.message) == ("failed", "by us")
    assert "ZeroDivisionError" in caplog.text


async def test_loading_keeps_nobody_waiting(file: Path) -> None:
    """Neither the event loop, nor the process when it ends: the operator's module may hang."""
    release, loading = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def slow(path: Path, *, read: FilesRead) -> Loaded:
        threads.append(threading.current_thread())
        loading.set()
        release.wait(20)
        return load_configuration(path, read=read)

    desk = Desk(file, load=slow)
    reload = asyncio.ensure_future(desk.watcher.reload())
    assert await asyncio.to_thread(loading.wait, 20)
    began = time.perf_counter()
    await asyncio.sleep(0)
    assert time.perf_counter() - began < 5
    assert threads[0].daemon
    reload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reload
    release.set()
    await asyncio.to_thread(threads[0].join, 20)
    await asyncio.sleep(0)
    assert len(desk.served) == 1
    write(file, "two")
    release.set()
    assert (await desk.watcher.reload()).result == "loaded", "and the next one is not held up"


async def test_cancelling_at_any_moment_leaves_the_old_or_the_new_whole(file: Path) -> None:
    desk = Desk(file)
    for number in range(20):
        write(file, f"words {number}")
        reload = asyncio.ensure_future(desk.watcher.reload())
        await asyncio.sleep(number * 0.001)
        reload.cancel()
        await asyncio.gather(reload, return_exceptions=True)
    write(file, "the end")
    assert (await desk.watcher.reload()).result == "loaded"
    assert desk.words() == "the end"


async def test_what_served_before_is_not_kept(file: Path) -> None:
    put(file.parent / "prompt.md", "Be kind.")
    shop = file.parent / "reloaded_shop.py"
    put(shop, TOOL.format(words="The first."))
    put(file, WITH_PROMPT)
    desk = Desk(file)
    first = weakref.ref(desk.served[0].read)
    module = weakref.ref(sys.modules["reloaded_shop"])
    put(shop, TOOL.format(words="The second."))
    assert (await desk.watcher.reload()).result == "loaded"
    desk.served.pop(0)
    gc.collect()
    assert first() is None
    assert module() is None


async def test_a_carrier_s_plan_that_changes_counts_from_the_next_call(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    put(file, WHOLE)
    desk = Desk(file)
    async with watching(desk):
        put(file, WHOLE.replace("timeout: 15s", "timeout: 40s"))
        assert (await desk.outcome(1)).result == "loaded"
        put(file, WHOLE.replace("timeout: 15s", "timeout: 40"))
        assert (await desk.outcome(2)).result == "failed"
    plans = [each.carriers.plan for each in desk.served if each.carriers is not None]
    assert [plan.steps[0] for plan in plans] == [
        AnswerBySip(answer_timeout_s=15),
        AnswerBySip(answer_timeout_s=40),
    ]
