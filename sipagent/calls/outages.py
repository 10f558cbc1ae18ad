"""What a worker does while the database is away, and how nothing of it is done twice.

A side effect is entered into the database before it begins; whoever takes a call over begins nothing that is
entered. While the database serves nobody there is nowhere to enter it, and the caller is not to wait for an
hour. So it begins without an entry, under rules that keep it the only time:

1. Not before the database has refused everybody for `UNMISSED_S`. Until then it is asked again, and the tool
   waits. Every other worker that runs has missed a heartbeat by then, and remembers that.
2. The worker is not seen again before it has told: it renews no lease, claims nothing and hands nothing over
   while it has an effect that is not entered, and none begins without an entry while it does one of these.
   So whoever finds it dead or frozen finds that it was last seen before the outage.
3. Whoever adopts a call of a worker that was last seen before an outage begins none of the tool calls that
   wait in it unless the database knows better: the model is told that nobody knows. An outage is seen by the
   time for which the database has been up, or by heartbeats of one's own that failed.
4. Doubt is inherited: who adopts a call without doubt enters so, and who adopts from one that has not is in
   doubt.
5. Whoever did not run for a while begins nothing without an entry before the database has answered a
   heartbeat: others may have adopted the call before the outage, and do the same.

Where only we may be cut off, nothing begins: others may hold the call already. What nobody can know without
a database stays unknown: an effect that had begun, or had not, when its process died in an outage is not
carried out again, and the agent says that it does not know.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallLeases, EffectAnswer, EffectFenced

logger = logging.getLogger(__name__)

ASK_S = 1.0
"""How long one answer of the database is waited for."""
ASK_AGAIN_S = 0.25
UNMISSED_S = 2.0
"""Longer than any worker goes between two heartbeats."""
MOST_UNENTERED = 1000
"""Effects of one worker that wait for the database; beyond them nothing begins."""


def clear_key(epoch: int) -> str:
    """The key under which the holder of a call in ``epoch`` enters that it adopted it without doubt."""
    return f"clear {epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectUnderWay:
    """An effect that the database does not know as we do."""

    worker: WorkerId
    epoch: int
    """By what right it began."""
    output: str | None = None
    """What came of it; None while it runs."""
    is_error: bool = False


class Outages:
    """What one process knows of the database being away, and what it did meanwhile."""

    def __init__(self) -> None:
        self._disturbed_at = -math.inf
        """Until when, in ``loop.time()``, it cannot say whether the database was there."""
        self._slept = False
        """Whether others may have our calls without our knowing it."""
        self._refused_since: float | None = None
        """Since when every answer was that nobody is served."""
        self._untold: dict[tuple[CallId, str], EffectUnderWay] = {}
        self._telling = asyncio.Lock()
        """Held while something is asked that must not cross with a beginning without an entry."""

    # What is known of the database -----------------------------------------------------------------

    @property
    def undisturbed_s(self) -> float:
        """For how long nothing has spoken against the database being there."""
        return asyncio.get_running_loop().time() - self._disturbed_at

    def disturbed(self) -> None:
        """Nobody here can say whether the database was there until now: this process did not run."""
        self._disturbed_at = asyncio.get_running_loop().time()

    def slept(self) -> None:
        """This process did not run for a while."""
        self.disturbed()
        self._slept = True

    def failed(self, error: Exception) -> None:
        """A heartbeat, or the question whether an effect may begin, was not answered."""
        self.disturbed()
        if isinstance(error, StoreAwayError) and error.serves_nobody:
            self._refused_since = self._refused_since or self._disturbed_at
        else:
            self._refused_since = None

    def served(self) -> None:
        """The database has answered."""
        self._refused_since = None

    def renewed(self) -> None:
        """A heartbeat that was sent since was answered, so we know whose our calls are."""
        self._slept = False

    @property
    def _unmissed(self) -> bool:
        now, since = asyncio.get_running_loop().time(), self._refused_since
        return since is not None and now - since >= UNMISSED_S

    # What is done meanwhile ------------------------------------------------------------------------

    async def begin(
        self, memory: CallLeases, call_id: CallId, key: str, *, worker: WorkerId, epoch: int
    ) -> EffectAnswer | None:
        """Ask whether an effect may begin, as `CallLeases.begin_effect`; None: it may, and is entered later.

        Raises `StoreError` and `TimeoutError` when it may not. Cancelled, it has not begun.
        """
        while True:
            may_begin = self._unmissed
            crossing: AbstractAsyncContextManager[None] = self._telling if may_begin else nullcontext()
            try:
                async with asyncio.timeout(ASK_S), crossing:
                    try:
                        answer = await memory.begin_effect(call_id, key, worker, epoch)
                    except StoreAwayError as error:
                        unknown = self._slept or len(self._untold) >= MOST_UNENTERED
                        if unknown or not error.serves_nobody:
                            raise
                        self.failed(error)
                        if may_begin:
                            logger.warning("A side effect begins without being entered: %s", error)
                            self._untold[call_id, key] = EffectUnderWay(worker=worker, epoch=epoch)
                            return None
                    else:
                        self.served()
                        return answer
            except (StoreAwayError, TimeoutError) as error:
                self.failed(error)
                raise
            await asyncio.sleep(ASK_AGAIN_S)

    async def end(
        self,
        memory: CallLeases,
        call_id: CallId,
        key: str,
        ended: EffectUnderWay,
    ) -> None:
        """Enter what came of an effect, later if the database is away. Raises nothing of its own."""
        name = (call_id, key)
        if name in self._untold:
            self._untold[name] = ended
        try:
            async with asyncio.timeout(ASK_S):
                await self._enter(memory, name, ended)
        except (StoreAwayError, TimeoutError) as error:
            logger.warning("The end of a side effect is entered later: %s", error)
            if len(self._untold) < MOST_UNENTERED:
                self._untold[name] = ended
        except StoreError as error:
            # It stays without an end: an adopter would say that the outcome is unknown, which is safe.
            logger.warning("The end of a side effect could not be entered: %s", error)

    @asynccontextmanager
    async def told(self, memory: CallLeases) -> AsyncIterator[None]:
        """Enter all that was done, and let nothing begin without an entry meanwhile. Raises `StoreError` when
        that cannot be. Cancel-safe: what was not entered is entered the next time."""
        async with self._telling:
            while self._untold:
                name, effect = next(iter(self._untold.items()))
                await self._enter(memory, name, effect)
            yield

    async def _enter(self, memory: CallLeases, name: tuple[CallId, str], effect: EffectUnderWay) -> None:
        call_id, key = name
        output = effect.output
        if output is not None:
            try:
                await memory.finish_effect(call_id, key, output, effect.is_error)
            except StoreAwayError:
                raise
            except StoreError as error:
                logger.warning("What came of a side effect is refused by the database: %s", error)
                output = None
        if output is None:
            found = await memory.begin_effect(call_id, key, effect.worker, effect.epoch)
            if isinstance(found, EffectFenced):
                logger.warning("A side effect was begun in call %s, which is another's by now", call_id)
        if self._untold.get(name) is effect:  # else it has ended meanwhile
            del self._untold[name]
