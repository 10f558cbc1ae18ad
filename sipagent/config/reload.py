"""Reads a configuration again when one of its files changes, or when somebody asks.

A file is looked at once a second, by its stamp: time, size and inode, links followed, which is what editors,
``mv``, ``git checkout`` and mounted volumes all change, on every file system. An editor writes in steps, so a
file that changes is read when it has held still for a moment; and what changed while it was read is read
again.

A configuration that cannot be used changes nothing. Neither does one that says the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from sipagent.config.files import FilesRead
from sipagent.config.loading import Loaded, load_configuration
from sipagent.errors import ConfigurationError, Problem, UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_READINGS = 5
"""How often one reload reads files that change while they are read."""
MOST_SETTLING_STEPS = 50
"""After so many moments a file that never holds still is read as it is."""

ReloadResult = Literal["loaded", "unchanged", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What became of reading the configuration again."""

    result: ReloadResult
    fingerprint: str
    """Of the configuration that serves now."""
    problems: tuple[Problem, ...] = ()
    """Why it failed, where that has a place in a file."""
    message: str = ""
    """Why it failed."""


class Load(Protocol):
    """Reads a configuration; see `load_configuration`."""

    def __call__(self, path: Path, *, read: FilesRead) -> Loaded:
        """Load ``path`` and note every file in ``read``."""


class ConfigurationWatcher:
    """Watches the files of one configuration. `run` in a task group, `reload` from anywhere."""

    def __init__(
        self,
        path: Path,
        loaded: Loaded,
        *,
        on_loaded: Callable[[Loaded], Awaitable[None]],
        on_outcome: Callable[[Reload], None],
        load: Load = load_configuration,
        poll_s: float = 1.0,
        settle_s: float = 0.2,
    ) -> None:
        """``loaded`` is what serves now. ``on_loaded`` makes another one serve, whole or not at all: it may
        raise `UserError`. ``on_outcome`` hears of every reload that was tried.
        """
        self._path = path
        self._on_loaded = on_loaded
        self._on_outcome = on_outcome
        self._load = load
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._serving = loaded
        self._read = loaded.read
        """Of the last attempt, which may have failed: mending any of its files is worth another one."""
        self._failing = False
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        loaded.read.keep()

    def ask(self) -> None:
        """Let `run` read the files again now. Safe from a signal handler."""
        self._asked.set()

    async def run(self, *, poll: bool = True) -> None:
        """Reload whenever a file changes or `ask` was called; with ``poll`` off only when it was. Returns
        never; cancelling is safe."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s if poll else None):
                    await self._asked.wait()
            if self._asked.is_set():
                self._asked.clear()
                await self.reload()
            elif await asyncio.to_thread(self._changed):
                await self._settled()
                await self.reload()

    async def reload(self) -> Reload:
        """Read the files now, and let what they say serve if it can and is news. Raises nothing.

        Cancelling is safe: what serves is then the old or the new, whole.
        """
        async with self._one_at_a_time:
            outcome = await self._reload()
        self._on_outcome(outcome)
        return outcome

    async def _reload(self) -> Reload:
        try:
            loaded, same = await self._read_while_it_moves()
            if not same:
                await self._serve(loaded)
        except ConfigurationError as error:
            return self._failed(error, error.problems)
        except UserError as error:
            return self._failed(error)
        except Exception as error:  # a defect of ours must not end the calls that are served
            logger.exception("The configuration could not be loaded")
            return self._failed(error)
        self._failing = False
        if same:
            self._serving.read.read_again(loaded.read)
            self._read = self._serving.read
            logger.info("The configuration says what it said before: %s goes on serving", self._fingerprint)
            return Reload(result="unchanged", fingerprint=self._fingerprint)
        self._serving = loaded
        logger.info("Configuration %s (%s) serves from the next call on", loaded.fingerprint, loaded.summary)
        return Reload(result="loaded", fingerprint=self._fingerprint)

    async def _read_while_it_moves(self) -> tuple[Loaded, bool]:
        """What the files say, and whether that is what serves."""
        for readings_left in reversed(range(MOST_READINGS)):
            read = FilesRead(self._path.parent)
            try:
                loaded = await _in_thread(partial(self._load, self._path, read=read))
            except Exception:
                # Half of a file may well be wrong.
                if not readings_left or not await asyncio.to_thread(read.changed, with_missing=True):
                    raise
            else:
                if not readings_left or not await asyncio.to_thread(read.changed, with_missing=False):
                    break
                read.take_back()
            finally:
                self._read = read
            await self._settled()
        same = await asyncio.to_thread(read.same_as, self._serving.read)
        if same:
            read.take_back()
        return loaded, same

    async def _serve(self, loaded: Loaded) -> None:
        try:
            await self._on_loaded(loaded)
        except BaseException:
            loaded.read.take_back()
            raise
        loaded.read.keep()

    def _failed(self, error: Exception, problems: tuple[Problem, ...] = ()) -> Reload:
        self._failing = True
        if problems:
            lines = "\n".join(f"  {problem}" for problem in problems)
            logger.error(
                "The configuration has %d problems, so %s goes on serving:\n%s",
                len(problems),
                self._fingerprint,
                lines,
            )
        else:
            logger.error(
                "The configuration cannot be used, so %s goes on serving: %s", self._fingerprint, error
            )
        return Reload(result="failed", fingerprint=self._fingerprint, problems=problems, message=str(error))

    @property
    def _fingerprint(self) -> str:
        return self._serving.fingerprint

    def _changed(self) -> bool:
        return self._read.changed(with_missing=self._failing)

    async def _settled(self) -> None:
        """Return when the files have held still for a moment."""
        now = await asyncio.to_thread(self._read.stamps_now, with_missing=True)
        for _ in range(MOST_SETTLING_STEPS):
            await asyncio.sleep(self._settle_s)
            before, now = now, await asyncio.to_thread(self._read.stamps_now, with_missing=True)
            if now == before:
                return


async def _in_thread(function: Callable[[], T]) -> T:
    """What ``function`` gives or raises, run in a thread that nobody waits for when the process ends: an
    operator's module may hang."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def give(result: T) -> None:
        if not answer.done():
            answer.set_result(result)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def work() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            _tell(loop, fail, error)
        else:
            _tell(loop, give, result)

    threading.Thread(target=work, name="configuration", daemon=True).start()
    return await answer


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], value: T) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        loop.call_soon_threadsafe(callback, value)
