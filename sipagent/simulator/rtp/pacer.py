"""One metronome for the audio of all calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sipagent.audio.pacing import PaceWheel


class Pacer:
    """Calls every registered function once per 20 ms, on absolute deadlines, from one task.

    Use as an async context manager; leaving it stops the beat and waits until it stopped. A function that
    raises is reported to the loop's exception handler and dropped, so that one broken call silences no
    other.
    """

    def __init__(self) -> None:
        self._wheel: PaceWheel[Callable[[], None]] = PaceWheel()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        assert self._task is None, "a pacer runs once"
        self._task = asyncio.create_task(self._run(), name="rtp pacer")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    def add(self, beat: Callable[[], None]) -> None:
        """Call ``beat`` every 20 ms from now on."""
        self._wheel.add(beat, asyncio.get_running_loop().time())
        self._wake.set()

    def remove(self, beat: Callable[[], None]) -> None:
        """Stop calling ``beat``; effective at once, unknown functions are ignored."""
        self._wheel.remove(beat)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            next_due_s = self._wheel.next_due_s()
            if next_due_s is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            # Also when late: everyone else's turn on the loop comes before the next beat.
            await asyncio.sleep(max(0.0, next_due_s - loop.time()))
            for beat in self._wheel.due(loop.time()):
                if beat not in self._wheel:
                    continue
                try:
                    beat()
                except Exception as error:  # noqa: BLE001 - the wall between calls
                    self._wheel.remove(beat)
                    loop.call_exception_handler(
                        {"message": "a call's audio stopped after an error", "exception": error}
                    )
