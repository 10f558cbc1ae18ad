"""The sound of a call as a file: the caller on the left, the agent on the right, as the caller heard it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, TypeVar, TypeVarTuple

from sipagent.audio.g711 import pcma_to_pcmu
from sipagent.calls.profile import Recording
from sipagent.carrier.converting import SessionFormat
from sipagent.carrier.heard import BYTES_PER_S
from sipagent.carrier.recording_tracks import (
    HEADER_BYTES,
    SIZES_AT,
    Track,
    interleaved,
    wav_header,
    wav_sizes,
)
from sipagent.clock import utc_now
from sipagent.identifiers import CallId

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
DISK_WITHIN_S = 10.0
"""A disk that takes longer for a second of sound will not catch up: that one recording is given up."""
SETTLED_S = 1.5
"""What was said so long ago is known: nothing of it is still to come, or to be cut off again."""
LONGEST_S = 4 * 3600
"""As long as carriers let a call be."""
_NAME_MOST = 80
Given = TypeVarTuple("Given")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecording:
    """A file that holds the sound of a call."""

    call_id: CallId
    path: Path
    """Absolute."""
    started_at: datetime
    seconds: float | None
    """None until it is whole."""
    consent: str
    """What the caller was told before."""
    keep_until: datetime


class CallRecorder:
    """Records one call from when it is made until `finish`; a `Tap` of its bridge. Needs a running loop.

    The disk is written to in a thread, every second, and the sizes in the header with it: a file that was
    left by a crash plays up to there. When the disk refuses, or hangs, the call goes on without a recording.
    """

    def __init__(
        self,
        call_id: CallId,
        recording: Recording,
        *,
        consent: str,
        formats: tuple[SessionFormat, SessionFormat],
        kept: Callable[[KeptRecording], None] | None = None,
        disk: Executor | None = None,
    ) -> None:
        """``consent`` is what the caller was told; ``formats`` are theirs and the agent's. ``kept`` hears of
        the file when it is begun, and when it is whole. ``disk`` has the threads that write, by default those
        of the loop."""
        started_at = utc_now()
        self._loop = asyncio.get_running_loop()
        self._zero_at_s = self._loop.time()
        self._caller, self._agent = Track(), Track()
        self._linear = tuple(spoken == "g711_alaw" for spoken in formats)
        self._kept = kept
        self._disk = disk
        self._file = KeptRecording(
            call_id=call_id,
            path=recording.folder.absolute() / file_name(call_id, started_at),
            started_at=started_at,
            seconds=None,
            consent=consent,
            keep_until=started_at + timedelta(days=recording.keep_days),
        )
        self._samples = 0
        """Written of both sides."""
        self._ending = asyncio.Event()
        self._open = True
        """Whether what is heard will be written."""
        self._writing = asyncio.create_task(self._write(), name=f"recording of {call_id}")

    # Tap ---------------------------------------------------------------------------------------------

    def caller_said(self, audio: bytes, at_s: float) -> None:
        """See `Tap.caller_said`."""
        if self._open:
            self._caller.put(self._sample(at_s), pcma_to_pcmu(audio) if self._linear[0] else audio)

    def agent_said(self, audio: bytes, at_s: float) -> None:
        """See `Tap.agent_said`."""
        if self._open:
            self._agent.put(self._sample(at_s), pcma_to_pcmu(audio) if self._linear[1] else audio)

    def agent_cut(self, at_s: float) -> None:
        """See `Tap.agent_cut`."""
        self._agent.cut(self._sample(at_s))

    # The end -----------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Write what is left, and close the file. Raises nothing; cancelling leaves the file as it was last
        written."""
        self._ending.set()
        try:
            await asyncio.wait([self._writing])
        finally:
            if not self._writing.done():
                self._writing.cancel()

    # Inside ------------------------------------------------------------------------------------------

    def _sample(self, at_s: float) -> int:
        return round((at_s - self._zero_at_s) * BYTES_PER_S)

    async def _write(self) -> None:
        try:
            await self._write_file()
        finally:
            self._open = False

    async def _write_file(self) -> None:
        try:
            file = await self._on_disk(_begin, self._file.path)
        except OSError as error:
            logger.error("The call is not recorded, although it was to be: %s", error)
            return
        try:
            self._tell(self._file)
            await self._write_on(file)
            await self._on_disk(_sync, file)
            self._tell(replace(self._file, seconds=self._samples / BYTES_PER_S))
        except OSError as error:
            logger.error("The recording of the call ends early: %s", error)
        finally:
            self._open = False
            await self._close(file)

    async def _close(self, file: BinaryIO) -> None:
        try:
            closing = self._loop.run_in_executor(self._disk, _close, file)
        except RuntimeError:
            _close(file)  # the threads are gone: the service has ended, and its calls were cut off
        else:
            # Not broken off: behind a disk that hangs, the thread closes it when it can.
            await asyncio.wait([closing], timeout=DISK_WITHIN_S)

    async def _on_disk(self, act: Callable[[*Given], Outcome], *given: *Given) -> Outcome:
        """Do something in a thread. Raises `OSError`, and so it does for a disk that does not answer, which
        keeps the thread."""
        try:
            async with asyncio.timeout(DISK_WITHIN_S):
                return await self._loop.run_in_executor(self._disk, act, *given)
        except TimeoutError as error:
            raise OSError(f"the disk did not answer within {DISK_WITHIN_S:g} s") from error

    async def _write_on(self, file: BinaryIO) -> None:
        tracks = (self._caller, self._agent)
        ending = False
        while not ending and self._samples < LONGEST_S * BYTES_PER_S:
            try:
                async with asyncio.timeout(WRITE_EVERY_S):
                    await self._ending.wait()
                ending = True
            except TimeoutError:
                pass
            now = self._sample(self._loop.time())
            end = min(now if ending else now - round(SETTLED_S * BYTES_PER_S), LONGEST_S * BYTES_PER_S)
            if end <= self._samples:
                continue
            late = [(side, *piece) for side, track in enumerate(tracks) for piece in track.take_late()]
            stereo = interleaved(*(track.take(end) for track in tracks))
            await self._on_disk(_append, file, stereo, end, late)
            self._samples = end

    def _tell(self, kept: KeptRecording) -> None:
        if self._kept is not None:
            self._kept(kept)


def file_name(call_id: CallId, started_at: datetime) -> str:
    """A name that is safe on every disk, tells when, and is another one for every call."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", call_id).strip("-")[:_NAME_MOST]
    digest = hashlib.blake2s(call_id.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{started_at:%Y%m%dT%H%M%SZ}_{safe}_{digest}.wav"


# In a thread ---------------------------------------------------------------------------------------------


def _begin(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Voices are nobody's business but the owner's.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    file = os.fdopen(descriptor, "w+b")
    try:
        file.write(wav_header(0))
        file.flush()
    except OSError:
        file.close()
        raise
    return file


def _append(file: BinaryIO, stereo: bytes, samples: int, late: Sequence[tuple[int, int, bytes]]) -> None:
    """Write what follows, up to so many ``samples``; and what came ``late``: of which side, from which sample
    on, and what it is."""
    for side, start, audio in late:
        file.seek(HEADER_BYTES + 2 * start)
        written = bytearray(file.read(2 * len(audio)))
        written[side::2] = audio
        file.seek(HEADER_BYTES + 2 * start)
        file.write(written)
    file.seek(0, os.SEEK_END)
    file.write(stereo)
    for position, size in zip(SIZES_AT, wav_sizes(samples), strict=True):
        file.seek(position)
        file.write(size)
    file.flush()


def _sync(file: BinaryIO) -> None:
    os.fsync(file.fileno())


def _close(file: BinaryIO) -> None:
    # What a full disk did not take is tried once more here, and fails once more.
    with suppress(OSError):
        file.close()
