"""Deletes the files of recordings whose time is over, and writes that down.

A file may lie on the disk of another machine, or on one that several share. So every worker looks for every
file that is due: where it is, it is deleted; where it is not, only the machine that wrote it may say that it
is gone. What is written down comes after what was done: a process that dies between the two finds the file
missing when it starts again, and says so.

A process that is killed may leave a file of which no record tells, and so may a database that forgets. In the
folders of the configuration such files go when they are as old as recordings there may become.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import socket
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sipagent.calls.profile import AgentProfile
from sipagent.errors import StoreError
from sipagent.store import CallStore, DeletionReason, RecordingDeleted, RecordingFile
from sipagent.telemetry import CarrierMetrics

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 3600.0
LOOK_AGAIN_S = 60.0
"""After the database did not answer."""
STORE_TIMEOUT_S = 5.0
SUFFIX = ".wav"
"""Nothing else is deleted, whatever the database names."""
OURS = re.compile(r"\d{8}T\d{6}Z_[A-Za-z0-9_-]*\.wav")
"""How the files of recordings are called; what else lies in their folders is left alone."""
_PAGE = 100


def folders_of(profiles: Iterable[AgentProfile]) -> dict[Path, int]:
    """The folders into which recordings go, and for how many days at most they stay there."""
    days: dict[Path, int] = {}
    for profile in profiles:
        if (recording := profile.recording) is not None:
            folder = recording.folder.absolute()
            days[folder] = max(recording.keep_days, days.get(folder, 0))
    return days


def this_host() -> str:
    """The name of this machine, as `RecordingKept.host` has it."""
    return socket.gethostname()


@dataclass(slots=True)
class Sweep:
    """What became of the recordings that were due."""

    expired: int = 0
    """Deleted now."""
    missing: int = 0
    """Gone before."""
    failed: int = 0
    """Here, and not deleted."""
    elsewhere: int = 0
    """Not here, and written by another machine."""
    unknown: int = 0
    """Deleted now, though no record tells of them."""


class RecordingRetention:
    """Run `run` in the service's task group, end it with `stop`."""

    def __init__(
        self,
        store: CallStore,
        metrics: CarrierMetrics,
        *,
        utc_now: Callable[[], datetime],
        folders: Callable[[], Mapping[Path, int]] = dict,
        host: str | None = None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """``folders`` gives those of the present configuration, see `folders_of`. ``host`` is this machine,
        by default as it calls itself."""
        self._store = store
        self._metrics = metrics
        self._utc_now = utc_now
        self._folders = folders
        self._host = host or this_host()
        self._look_every_s = look_every_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look at once, and then from time to time, until `stop`.

        Cancelling is safe, but a file that is being deleted then may be gone without a word in its record,
        which will say that it was missing; `stop` lets what is under way be done.
        """
        while not self._stopping.is_set():
            pause_s = self._look_every_s
            try:
                await self.sweep()
            except (StoreError, TimeoutError) as error:
                words = str(error) or "the database did not answer in time"
                logger.warning("Recordings whose time is over are looked for again soon: %s", words)
                pause_s = min(pause_s, LOOK_AGAIN_S)
            try:
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    def stop(self) -> None:
        """Let `run` return after the file it is at. Idempotent."""
        self._stopping.set()

    async def sweep(self) -> Sweep:
        """Delete what is due now, or until `stop`. Raises `StoreError`, and `TimeoutError` when the database
        does not answer; what is due then is still due."""
        sweep = Sweep()
        last: RecordingFile | None = None
        now = self._utc_now()
        while page := await self._due(now, last):
            for recording in page:
                if self._stopping.is_set():
                    return sweep
                await self._end(recording, sweep)
            last = page[-1]
        for folder, days in self._folders().items():
            await self._sweep_folder(folder, now - timedelta(days=days), sweep)
        self._metrics.recordings_overdue(here=sweep.failed, elsewhere=sweep.elsewhere)
        if sweep.expired:
            logger.info("%d recordings were deleted, whose time was over", sweep.expired)
        return sweep

    async def _sweep_folder(self, folder: Path, before: datetime, sweep: Sweep) -> None:
        """Delete what is older than ``before`` and is in no record, or in one that says that it is gone."""
        try:
            old = await asyncio.to_thread(_written_before, folder, before.timestamp())
        except OSError as error:
            logger.error("The folder of recordings %s cannot be read: %s", folder, error)
            return
        if not old:
            return
        async with asyncio.timeout(STORE_TIMEOUT_S):
            known = await self._store.recordings_at(old)
        kept = {recording.path for recording in known if recording.deleted_at is None}
        for path in old:
            if self._stopping.is_set():
                return
            if path in kept:
                continue
            try:
                was_here = await asyncio.to_thread(_delete, Path(path))
            except OSError as error:
                logger.error("A recording of which no record tells cannot be deleted: %s", error)
                sweep.failed += 1
                self._metrics.recording_ended("failed")
                continue
            if was_here:
                logger.warning("The recording %s was deleted, of which no record tells", path)
                sweep.unknown += 1
                self._metrics.recording_ended("unknown")

    async def _due(self, now: datetime, last: RecordingFile | None) -> tuple[RecordingFile, ...]:
        async with asyncio.timeout(STORE_TIMEOUT_S):
            return await self._store.recordings_due(now, limit=_PAGE, after=last)

    async def _end(self, recording: RecordingFile, sweep: Sweep) -> None:
        try:
            was_here = await asyncio.to_thread(_delete, Path(recording.path))
        except OSError as error:
            # Told every time: somebody was promised that it would be gone.
            logger.error(
                "The recording of call %s should be gone since %s, and cannot be deleted: %s",
                recording.call_id,
                recording.keep_until.isoformat(timespec="seconds"),
                error,
            )
            sweep.failed += 1
            self._metrics.recording_ended("failed")
            return
        if was_here:
            sweep.expired += 1
            await self._gone(recording, "expired")
        elif recording.host == self._host:
            logger.warning("The recording of call %s was gone before its time", recording.call_id)
            sweep.missing += 1
            await self._gone(recording, "missing")
        else:
            sweep.elsewhere += 1

    async def _gone(self, recording: RecordingFile, reason: DeletionReason) -> None:
        self._metrics.recording_ended(reason)
        gone = RecordingDeleted(
            call_id=recording.call_id, path=recording.path, at=self._utc_now(), reason=reason
        )
        async with asyncio.timeout(STORE_TIMEOUT_S):
            await self._store.apply([gone])


def _delete(path: Path) -> bool:
    """Delete a recording; False when there is none. Raises `OSError` for what cannot be deleted, and for what
    is no recording."""
    if not path.is_absolute() or path.suffix != SUFFIX:
        raise OSError(errno.EINVAL, "not the path of a recording", str(path))
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _written_before(folder: Path, unix_s: float) -> list[str]:
    """The recordings in ``folder`` that nobody has written to since then; none where there is no folder yet.
    Raises `OSError`."""
    old = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not OURS.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                    continue
                try:
                    if entry.stat(follow_symlinks=False).st_mtime < unix_s:
                        old.append(entry.path)
                except FileNotFoundError:
                    continue  # another worker was faster
    except FileNotFoundError:
        return []
    return sorted(old)
