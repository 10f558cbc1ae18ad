"""One contender of the engine bench, in a process of its own: attach, read a call, say what it cost.

    python -m tests.bench.contenders NAME PORT RESPONSES

Prints one line of JSON (see `Cost`). The clock runs from the first event to the last one that is counted;
connecting and importing are not in it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from tests.bench.recorded import AUDIO_DELTA, DELTA, END

INSTRUCTIONS = "You answer the phone of a dental practice. Be brief and kind."


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one contender needed for one call."""

    cpu_s: float
    counts: dict[str, int]
    events: int
    """All it reported, in its own terms."""
    collection_ms: float
    """The longest full garbage collection: under load, or the one asked for at the end."""


class Collections:
    """Times full garbage collections, from the first event on."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._began_s = 0.0

    def start(self) -> None:
        """From now on."""
        gc.callbacks.append(self._collection)

    def stop(self) -> None:
        """No longer."""
        gc.callbacks.remove(self._collection)

    def _collection(self, phase: str, information: dict[str, int]) -> None:
        if information["generation"] == 2:
            if phase == "start":
                self._began_s = time.perf_counter()
            else:
                self.longest_s = max(self.longest_s, time.perf_counter() - self._began_s)


@dataclass(slots=True)
class Tally:
    """Counts what a contender reports, and stops the clock at the last response."""

    responses: int
    collections: Collections
    counts: Counter[str] = field(default_factory=Counter)
    events: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, kind: str | None) -> None:
        """One more event; ``kind`` where it is of a counted one."""
        if self.events == 0:
            self.collections.start()
            self.began_s = time.process_time()
        self.events += 1
        if kind is not None:
            self.counts[kind] += 1
            if kind is END and self.counts[END] == self.responses:
                self.ended_s = time.process_time()
                self.over.set()


async def floor(url: str, tally: Tally) -> None:
    """The least that any reader of events must do: `websockets`, `orjson`, nothing else."""
    orjson = imported("orjson")
    websockets = imported("websockets")

    counted = {DELTA: DELTA, AUDIO_DELTA: AUDIO_DELTA, END: END}
    async with websockets.connect(url, compression=None, proxy=None, max_size=None) as socket:
        await socket.send('{"type":"session.update","session":{"type":"realtime"}}')
        async for text in socket:
            tally.note(counted.get(orjson.loads(text)["type"]))
            if tally.over.is_set():
                return


def imported(name: str) -> Any:
    """Import a library, and treat the garbage collector as ``sipagent serve`` does at its start, whoever's
    library it is: what was imported is left out of every later collection, and these are rarer. Only who owns
    the process can decide that; what collections cost without it stands in the table of imports."""
    library = importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    return library


async def our_model(url: str, tally: Tally, **transport: Any) -> None:
    """`sipagent.realtime`: the model with one listener."""
    realtime = imported("sipagent.realtime")
    kinds = {
        realtime.RealtimeModelTranscriptDeltaEvent: DELTA,
        realtime.RealtimeModelAudioEvent: AUDIO_DELTA,
        realtime.RealtimeModelTurnEndedEvent: END,
    }

    class Listener(realtime.RealtimeModelListener):  # type: ignore[misc,name-defined]
        async def on_event(self, event: object) -> None:
            tally.note(kinds.get(type(event)))

    model = realtime.OpenAIRealtimeSIPModel(transport_config=transport)
    model.add_listener(Listener())
    await model.connect({"url": url, "api_key": "bench", "call_id": "rtc_bench"})
    await tally.over.wait()
    await model.close()


async def our_session(url: str, tally: Tally, **transport: Any) -> None:
    """`sipagent.realtime`: a session, and somebody who reads its events."""
    realtime = imported("sipagent.realtime")
    kinds = {realtime.RealtimeAudio: AUDIO_DELTA, realtime.RealtimeResponseEnded: END}
    agent = realtime.RealtimeAgent(name="practice", instructions=INSTRUCTIONS)
    config = {"url": url, "api_key": "bench", "call_id": "rtc_bench"}
    model = realtime.OpenAIRealtimeSIPModel(transport_config=transport)
    async with realtime.RealtimeSession(model, agent, None, config) as session:
        async for event in session:
            kind = kinds.get(type(event))
            if kind is None and type(event) is realtime.RealtimeTranscriptDelta and event.role == "agent":
                kind = DELTA
            tally.note(kind)
            if tally.over.is_set():
                return


async def sdk_model(url: str, tally: Tally) -> None:
    """`openai-agents`: the model with one listener."""
    realtime = imported("agents.realtime")
    kinds = {"transcript_delta": DELTA, "audio": AUDIO_DELTA, "turn_ended": END}

    class Listener(realtime.RealtimeModelListener):  # type: ignore[misc,name-defined]
        async def on_event(self, event: Any) -> None:
            tally.note(kinds.get(event.type))

    model = realtime.OpenAIRealtimeSIPModel()
    model.add_listener(Listener())
    await model.connect({"url": url, "api_key": "bench", "call_id": "rtc_bench"})
    await tally.over.wait()
    await model.close()


async def sdk_session(url: str, tally: Tally) -> None:
    """`openai-agents`: a session, and somebody who reads its events."""
    realtime = imported("agents.realtime")
    kinds = {"transcript_delta": DELTA, "audio": AUDIO_DELTA, "turn_ended": END}
    agent = realtime.RealtimeAgent(name="practice", instructions=INSTRUCTIONS)
    runner = realtime.RealtimeRunner(agent, model=realtime.OpenAIRealtimeSIPModel())
    config = {"url": url, "api_key": "bench", "call_id": "rtc_bench"}
    async with await runner.run(model_config=config) as session:
        async for event in session:
            tally.note(kinds.get(event.data.type) if event.type == "raw_model_event" else None)
            if tally.over.is_set():
                return


Contender = Callable[[str, Tally], Awaitable[None]]
CONTENDERS: dict[str, Contender] = {
    "floor": floor,
    "our model": our_model,
    "our session": our_session,
    "our model, picows": lambda url, tally: our_model(url, tally, library="picows"),
    "our session, picows": lambda url, tally: our_session(url, tally, library="picows"),
    "SDK model": sdk_model,
    "SDK session": sdk_session,
}
NEEDS = {"picows": "picows", "SDK": "agents"}
"""Part of a name → the package without which it cannot run."""


async def run(name: str, port: int, responses: int) -> Cost:
    """Let one contender read one call."""
    collections = Collections()
    tally = Tally(responses, collections)
    async with asyncio.timeout(60):
        await CONTENDERS[name](f"ws://127.0.0.1:{port}/v1/realtime?call_id=rtc_bench", tally)
    gc.collect()
    collections.stop()
    return Cost(
        cpu_s=tally.ended_s - tally.began_s,
        counts=cast(dict[str, int], dict(tally.counts)),
        events=tally.events,
        collection_ms=collections.longest_s * 1e3,
    )


if __name__ == "__main__":
    cost = asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")
