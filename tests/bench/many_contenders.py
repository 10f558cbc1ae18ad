"""One contender with many sessions, in a process of its own.

    python -m tests.bench.many_contenders NAME PORT SESSIONS

Says ``imported`` and then, once it was told ``attach``, ``attached``; whoever started it reads memory and
processor time from outside. Every ``report`` is answered with one line of JSON (see `Report`). The end of its
input is its own end.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.contenders import INSTRUCTIONS, imported
from tests.bench.crowd import Ear
from tests.bench.recorded import AUDIO_DELTA, DELTA, END

AT_ONCE = 10
"""So many sessions connect at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a contender has heard so far."""

    events: int
    """All it reported, in its own terms."""
    heard: dict[str, list[int]]
    """Of each counted kind, how many by session."""
    waited_us: dict[str, int]
    """From the server's send to the listener: at least so many µs → how many words."""


Reading = Coroutine[Any, Any, None]
Attach = Callable[[str, int, Ear], Awaitable[Reading]]
"""Attaches one session, and gives what reads it to its end. Made after importing, by a `Library`."""
Library = Callable[[], Attach]


def floor() -> Attach:
    """The least that any reader of events must do: `websockets`, `orjson`, nothing else."""
    orjson = importlib.import_module("orjson")
    websockets = importlib.import_module("websockets")
    imported("websockets.asyncio.client")
    counted = {AUDIO_DELTA: AUDIO_DELTA, END: END}

    async def attach(url: str, number: int, ear: Ear) -> Reading:
        socket = await websockets.connect(url, compression=None, proxy=None, max_size=None)
        await socket.send('{"type":"session.update","session":{"type":"realtime"}}')

        async def read() -> None:
            async for text in socket:
                message = orjson.loads(text)
                if (kind := message["type"]) == DELTA:
                    ear.word(number, message["delta"])
                else:
                    ear.note(number, counted.get(kind))

        return read()

    return attach


def frames(*, decoded: bool) -> Attach:
    """`picows` alone: frames come, and are thrown away; or become our events first."""
    picows = importlib.import_module("picows")
    read = imported("sipagent.realtime.wire_frequent").read

    class Listener(picows.WSListener):  # type: ignore[misc,name-defined]
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, '{"type":"session.update","session":{"type":"realtime"}}')

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if decoded:
                read(frame.get_payload_as_bytes())

    async def attach(url: str, number: int, ear: Ear) -> Reading:
        transport, _ = await picows.ws_connect(Listener, url)

        async def watch() -> None:
            await transport.wait_disconnected()

        return watch()

    return attach


def our_session(transport: str, *, read_by_somebody: bool = True) -> Attach:
    """`sipagent.realtime`: sessions, each with somebody who reads its events; or with nobody, and room for
    them all."""
    if transport == "picows":
        importlib.import_module("sipagent.realtime.picows_connection")
    realtime = imported("sipagent.realtime")
    kinds = {realtime.RealtimeAudio: AUDIO_DELTA, realtime.RealtimeResponseEnded: END}
    word = realtime.RealtimeTranscriptDelta
    agent = realtime.RealtimeAgent(name="practice", instructions=INSTRUCTIONS)

    async def attach(url: str, number: int, ear: Ear) -> Reading:
        model = realtime.OpenAIRealtimeSIPModel(transport_config={"library": transport})
        config = {"url": url, "api_key": "bench", "call_id": f"rtc_bench_{number}"}
        session = await realtime.RealtimeSession(model, agent, None, config).enter()

        async def read() -> None:
            if not read_by_somebody:
                await asyncio.Event().wait()
            async for event in session:
                kind = type(event)
                if kind is word and event.role == "agent":
                    ear.word(number, event.delta)
                else:
                    ear.note(number, kinds.get(kind))

        return read()

    return attach


def sdk_session() -> Attach:
    """`openai-agents`: sessions, each with somebody who reads its events."""
    realtime = imported("agents.realtime")
    kinds = {"audio": AUDIO_DELTA, "turn_ended": END}
    agent = realtime.RealtimeAgent(name="practice", instructions=INSTRUCTIONS)

    async def attach(url: str, number: int, ear: Ear) -> Reading:
        runner = realtime.RealtimeRunner(agent, model=realtime.OpenAIRealtimeSIPModel())
        config = {"url": url, "api_key": "bench", "call_id": f"rtc_bench_{number}"}
        session = await (await runner.run(model_config=config)).enter()

        async def read() -> None:
            async for event in session:
                if event.type != "raw_model_event":
                    ear.note(number, None)
                elif event.data.type == "transcript_delta":
                    ear.word(number, event.data.delta)
                else:
                    ear.note(number, kinds.get(event.data.type))

        return read()

    return attach


OURS = "our sessions"
LIBRARIES: dict[str, Library] = {
    "floor": floor,
    f"{OURS}, websockets": lambda: our_session("websockets"),
    f"{OURS}, picows": lambda: our_session("picows"),
    f"{OURS}, picows, uvloop": lambda: our_session("picows"),
    "SDK sessions": sdk_session,
}
STEPS: dict[str, Library] = {
    "frames, picows": lambda: frames(decoded=False),
    "events, picows": lambda: frames(decoded=True),
    "sessions that nobody reads, picows": lambda: our_session("picows", read_by_somebody=False),
    f"{OURS}, picows": LIBRARIES[f"{OURS}, picows"],
}
"""Each does all that the one before does, and one thing more."""
ON_UVLOOP = ", uvloop"
NEEDS = {"picows": "picows", "uvloop": "uvloop", "SDK": "agents", "floor": "orjson"}
"""Part of a name → the package without which it cannot run."""


async def run(name: str, port: int, sessions: int) -> None:
    """Attach, listen, and answer what is asked."""
    # Asked while the sessions keep the loop busy: what comes in is a pipe of the same loop.
    asked = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    attach = (LIBRARIES.get(name) or STEPS[name.removesuffix(ON_UVLOOP)])()
    ear = Ear(sessions)
    gc.collect()
    _say("imported")
    assert await asked.readline() == b"attach\n"
    async with asyncio.TaskGroup() as group:
        for first in range(0, sessions, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, sessions))
            readings = await asyncio.gather(
                *(
                    attach(f"ws://127.0.0.1:{port}/v1/realtime?call_id=rtc_bench_{number}", number, ear)
                    for number in numbers
                )
            )
            for reading in readings:
                group.create_task(reading)
        gc.collect()
        _say("attached")
        while await asked.readline() == b"report\n":
            report = Report(
                events=ear.events,
                heard={kind: list(many) for kind, many in ear.heard.items()},
                waited_us={str(us): many for us, many in ear.waited_us.items()},
            )
            _say(json.dumps(asdict(report)))
        # Closing a thousand sessions in order is no part of this bench; whoever started us waits.
        sys.stdout.flush()
        os._exit(0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    name, port, sessions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    factory = importlib.import_module("uvloop").new_event_loop if "uvloop" in name else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run(name, port, sessions))


if __name__ == "__main__":
    main()
