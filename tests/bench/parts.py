"""What the time of our session is made of, in a process of its own and without a network.

The same recording goes through more and more of the library, rung by rung; what a rung costs beyond the one
below is a part. What a real session costs beyond the last rung is the socket: kernel, event loop, frames.

    python -m tests.bench.parts NUMBER-OF-THE-RECORDING

Prints one line of JSON: the rungs in seconds, each with those below it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeModelListener,
    RealtimeSession,
    RunContextWrapper,
)
from sipagent.realtime.agent_events import RealtimeEventInfo
from sipagent.realtime.connection import Address, Closed, Socket
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelTranscriptDeltaEvent
from sipagent.realtime.translation import Translation
from sipagent.realtime.wire_frequent import read
from tests.bench.contenders import INSTRUCTIONS, imported
from tests.bench.recorded import RECORDINGS

REPETITIONS = 7
READ_AT_ONCE = 64
"""Messages that one read of the socket brings in a flood."""
CONFIG: Any = {"url": "ws://bench.invalid/", "api_key": "bench", "call_id": "rtc_bench"}

Offer = Callable[[bytes], bool]


class Memory(Socket):
    """A socket whose messages are handed in by the bench."""

    def __init__(self) -> None:
        self.offer: Offer = lambda message: False
        self._closed = asyncio.Event()

    async def send(self, text: str) -> None:
        return

    async def receive(self) -> bytes | Closed:
        await self._closed.wait()
        return Closed(code=1000, reason="")

    def offer_to(self, taker: Offer | None) -> None:
        assert taker is not None
        self.offer = taker

    async def close(self) -> None:
        self._closed.set()


class Model(OpenAIRealtimeSIPModel):
    """Attached to a `Memory`."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()

    async def _open(self, address: Address) -> Socket:
        return self.memory


class Deaf(RealtimeModelListener):
    """Takes every event and does nothing."""

    async def on_event(self, event: RealtimeModelEvent) -> None:
        raise AssertionError("every event is taken at once")

    def take_now(self, event: RealtimeModelEvent) -> bool:
        return True


class Historian(Deaf):
    """Makes of every event what a session makes of it, and tells nobody."""

    def __init__(self) -> None:
        info = RealtimeEventInfo(context=RunContextWrapper(None))
        self._translation = Translation(info, raw=False)
        self._agent: RealtimeAgent[Any] = RealtimeAgent(name="practice", instructions=INSTRUCTIONS)

    def take_now(self, event: RealtimeModelEvent) -> bool:
        if type(event) is RealtimeModelTranscriptDeltaEvent:
            self._translation.take_words(event, self._agent)
        else:
            self._translation.take(event, self._agent)
        return True


class Mute(RealtimeSession):
    """A session, whose events are dropped where they would be queued."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, RealtimeAgent(name="practice"), None, CONFIG)
        self._events.end()


async def decoding(messages: Sequence[bytes]) -> float:
    began = time.process_time()
    for message in messages:
        read(message)
    return time.process_time() - began


async def listening(listener: Deaf, messages: Sequence[bytes]) -> float:
    model = Model()
    model.add_listener(listener)
    await model.connect(CONFIG)
    took = await offered(model.memory, messages)
    await model.close()
    return took


async def mute(messages: Sequence[bytes]) -> float:
    model = Model()
    async with Mute(model):
        return await offered(model.memory, messages)


async def offered(memory: Memory, messages: Sequence[bytes]) -> float:
    await asyncio.sleep(0)  # the reader says who takes them
    offer = memory.offer
    began = time.process_time()
    for message in messages:
        if not offer(message):
            raise SystemExit(f"nobody took {message[:80]!r}")
    return time.process_time() - began


async def whole(messages: Sequence[bytes]) -> float:
    model = Model()
    async with RealtimeSession(model, RealtimeAgent(name="practice"), None, CONFIG) as one:

        async def reads() -> None:
            async for _ in one:
                pass

        reading = asyncio.create_task(reads())
        await asyncio.sleep(0)
        began = time.process_time()
        for start in range(0, len(messages), READ_AT_ONCE):
            for message in messages[start : start + READ_AT_ONCE]:
                if not model.memory.offer(message):
                    raise SystemExit(f"nobody took {message[:80]!r}")
            await asyncio.sleep(0)
        took = time.process_time() - began
    await reading
    return took


RUNGS: dict[str, Callable[[Sequence[bytes]], Awaitable[float]]] = {
    "decode": decoding,
    "model: turn, tools": lambda messages: listening(Deaf(), messages),
    "history, values": lambda messages: listening(Historian(), messages),
    "guardrails, metrics": mute,
    "queue, waking": whole,
}
"""Each with what it adds to the one before."""


async def run(messages: Sequence[bytes]) -> dict[str, float]:
    """Every rung, by turns; the quickest of each counts, since whatever disturbs only adds."""
    quickest = dict.fromkeys(RUNGS, float("inf"))
    for _ in range(REPETITIONS):
        for name, rung in RUNGS.items():
            quickest[name] = min(quickest[name], await rung(messages))
    return quickest


if __name__ == "__main__":
    imported("sipagent.realtime")
    recorded = [text.encode() for text in RECORDINGS[int(sys.argv[1])].messages]
    sys.stdout.write(json.dumps(asyncio.run(run(recorded))) + "\n")
