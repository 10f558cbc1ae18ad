"""A media bridge: what it adds to the way of a caller's voice, and how many calls one core carries.

Callers with media streams and a realtime API stand around each contender (`tests.bench.bridge_world`, which
shares no code with any of them), in a process on one processor; the contender runs on the other. Every call
sends 50 frames a second each way.

*Quality* is one call, ours: delay by direction, frames lost, how evenly frames come, and callers who cut the
agent off: how soon their carrier is told, and how far the model's idea of what they heard is from what their
telephone had played. *Capacity* raises the number of calls until a frame in a hundred comes more than 20 ms
late, for each contender whose packages are here. Speed is reported, and asserted by nobody; frames that our
bridge loses are a failure.

    python -m tests.bench.bridge [--seconds 10] [--only NAME] [--quality] [--capacity] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import hashlib
import hmac
import importlib.util
import json
import os
import random
import re
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from html import unescape
from urllib.parse import urlencode

import aiohttp
from rich.console import Console
from rich.table import Table

from tests.bench.answer_path import cpu_ms
from tests.bench.bridge_contenders import ACCOUNT, CONTENDERS, NEEDS, TOKEN
from tests.bench.bridge_world import Call, Interruption, Ring, Way, World, connect, no_parameters
from tests.bench.engine import ALL_PROCESSORS, machine

OURS = "sipagent"
WARM_UP_S = 2.0
LONGEST_S = 60.0
"""For all calls of one load to come up, and to hang up."""
INTERRUPTIONS = 20
TARGET_P99_MS, TARGET_SILENCE_MS, TARGET_TRUNCATION_MS = 20.0, 60.0, 40.0
STEPS = (1, 10, 25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """All calls in one direction."""

    sent: int
    came: int
    lost: int | None
    """None where frames could not be told apart."""
    p50_ms: float
    p99_ms: float
    uneven_p99_ms: float
    """How far from 20 ms one frame came after the other, where each comes by itself."""
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One contender with so many calls."""

    name: str
    calls: int
    to_model: Direction
    to_caller: Direction
    cores: float
    world_cores: float
    """What the callers and the model needed: near one, they are what was slow."""

    @property
    def worst_p99_ms(self) -> float:
        """Of both directions."""
        return max(self.to_model.p99_ms, self.to_caller.p99_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A contender that serves."""

    pid: int
    said: dict[str, str]


@asynccontextmanager
async def contender(name: str, world: World) -> AsyncIterator[Started]:
    """``name`` in a fresh process, on the last processor where there are two; ended at the end."""
    pin = ["taskset", "-c", str(ALL_PROCESSORS[-1])] if len(ALL_PROCESSORS) > 1 else []
    process = await asyncio.create_subprocess_exec(
        *pin,
        *(sys.executable, "-W", "ignore", "-m", "tests.bench.bridge_contenders", name, str(world.port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        if not line:
            raise SystemExit(f"{name} ended too early; see above")
        yield Started(pid=process.pid, said=json.loads(line))
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# Ours is reached as a carrier reaches it ------------------------------------------------------------

_URL = re.compile(r'<Stream[^>]* url="([^"]+)"')
_PARAMETER = re.compile(r'<Parameter name="([^"]+)" value="([^"]*)"')


def voice_webhook(http: aiohttp.ClientSession, said: dict[str, str]) -> Ring:
    """Calls that begin with a signed webhook, as Twilio sends it. A proxy would bring it to the service."""
    path = said["voice"].partition(said["origin"])[2]

    async def ring(call: Call) -> tuple[str, dict[str, str]]:
        sid = f"CA{call.number:032x}"
        fields = {
            "AccountSid": ACCOUNT, "CallSid": sid, "From": f"+1555010{call.number:04d}",
            "To": "+15550100100", "CallStatus": "ringing", "Direction": "inbound", "ApiVersion": "2010-04-01",
        }  # fmt: skip
        signed = said["public"] + path + "".join(name + fields[name] for name in sorted(fields))
        signature = base64.b64encode(hmac.digest(TOKEN.encode(), signed.encode(), hashlib.sha1)).decode()
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        async with http.post(said["voice"], data=urlencode(fields), headers=headers) as response:
            text = await response.text()
        found = _URL.search(text)
        if found is None:
            raise SystemExit(f"the voice webhook was answered {response.status}: {text[:300]}")
        parameters = {name: unescape(value) for name, value in _PARAMETER.findall(text)}
        url = unescape(found[1]).replace(said["public"].replace("https", "wss"), f"ws://{said['origin']}")
        return url, {**parameters, "CallSid": sid}

    return ring


@asynccontextmanager
async def calls_up(name: str, calls: int) -> AsyncIterator[tuple[World, Started]]:
    """So many calls that go through ``name``."""
    world = World(calls)
    await world.start()
    try:
        async with contender(name, world) as started, aiohttp.ClientSession() as http:
            said = started.said
            ring = no_parameters(said["stream"]) if "stream" in said else voice_webhook(http, said)
            # One at a time where audio is converted: nothing else tells whose session is whose.
            await connect(world, ring, at_once=10 if name.startswith(OURS) else 1)
            yield world, started
            await world.stop()
    finally:
        await world.stop()


# Measuring ------------------------------------------------------------------------------------------


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which ``share`` of all lie; nan without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def _direction(ways: Sequence[Way]) -> Direction:
    late = [ms for way in ways for ms in way.late_ms]
    uneven = [abs(ms - 20.0) for way in ways for ms in way.apart_ms]
    return Direction(
        sent=sum(way.sent for way in ways),
        came=sum(way.came for way in ways),
        lost=sum(way.lost for way in ways) if all(way.exact for way in ways) else None,
        p50_ms=percentile(late, 0.5),
        p99_ms=percentile(late, 0.99),
        uneven_p99_ms=percentile(uneven, 0.99),
        samples=len(late),
    )


async def load(name: str, calls: int, seconds: float) -> Load:
    """One contender with so many calls at once."""
    async with calls_up(name, calls) as (world, started):
        for call in world.calls:
            call.speaks = True
        await world.speak(WARM_UP_S)
        for call in world.calls:
            call.to_model.measure()
            call.to_caller.measure()
        began, spent, own = time.perf_counter(), cpu_ms(started.pid), time.process_time()
        await world.speak(seconds)
        wall_s = time.perf_counter() - began
        cores = (cpu_ms(started.pid) - spent) / 1e3 / wall_s
        world_cores = (time.process_time() - own) / wall_s
        await asyncio.sleep(0.5)
        return Load(
            name=name,
            calls=calls,
            to_model=_direction([call.to_model for call in world.calls]),
            to_caller=_direction([call.to_caller for call in world.calls]),
            cores=cores,
            world_cores=world_cores,
        )


async def interruptions(name: str, count: int) -> list[Interruption]:
    """Callers who cut the agent off, at moments that nobody can foresee."""
    moments = random.Random(20)
    async with calls_up(name, 1) as (world, _):
        (call,) = world.calls
        return [await call.interrupt(moments.uniform(0.4, 3.0), 6.0) for _ in range(count)]


async def capacity(name: str, seconds: float) -> list[Load]:
    """More and more calls, until too many come late."""
    found: list[Load] = []
    for calls in STEPS:
        try:
            async with asyncio.timeout(LONGEST_S + seconds):
                one = await load(name, calls, seconds)
        except TimeoutError:
            Console().print(f"{name}: {calls} calls did not come up")
            break
        found.append(one)
        if not one.worst_p99_ms < TARGET_P99_MS or one.cores > 0.97:
            break
    return found


# Showing --------------------------------------------------------------------------------------------


def show_loads(loads: Sequence[Load]) -> None:
    """One line for each."""
    table = Table(
        title=f"Media bridges, 50 frames a second each way and call\n{machine()}\n"
        "late: of frames from caller to model and from model to caller, beyond the way itself",
        title_justify="left",
    )
    names = ("calls", "", "to model p50 ms", "p99", "lost", "to caller p50 ms", "p99", "lost", "uneven p99",
             "cores", "world's cores")  # fmt: skip
    for column in names:
        table.add_column(column, justify="right", no_wrap=not column)
    for one in loads:
        table.add_row(
            str(one.calls),
            one.name,
            *(f"{one.to_model.p50_ms:.2f}", f"{one.to_model.p99_ms:.2f}", _lost(one.to_model)),
            *(f"{one.to_caller.p50_ms:.2f}", f"{one.to_caller.p99_ms:.2f}", _lost(one.to_caller)),
            f"{one.to_caller.uneven_p99_ms:.1f}",
            *(f"{one.cores:.2f}", f"{one.world_cores:.2f}"),
        )
    Console(width=150).print(table)


def show_capacity(loads: Sequence[Load]) -> None:
    """How many calls each contender carries in a core."""
    console = Console(width=150)
    for name in dict.fromkeys(one.name for one in loads):
        good = [one for one in loads if one.name == name and one.worst_p99_ms < TARGET_P99_MS]
        if not good:
            console.print(f"{name}: not one call under {TARGET_P99_MS:g} ms")
            continue
        best = good[-1]
        console.print(
            f"{name}: {best.calls} calls with p99 {best.worst_p99_ms:.1f} ms on {best.cores:.2f} of a core: "
            f"{best.calls / best.cores:.0f} calls a core",
            highlight=False,
        )


def show_interruptions(name: str, found: Sequence[Interruption]) -> None:
    """Worst and middle."""
    console = Console(width=150)
    silence = [one.to_clear_ms for one in found if one.to_clear_ms is not None]
    errors = [abs(one.truncated_ms - one.heard_ms) for one in found if one.truncated_ms is not None]
    after = sum(one.after_clear for one in found)
    console.print(
        f"{name}, {len(found)} callers cut the agent off: silence p50 {percentile(silence, 0.5):.1f} ms, "
        f"most {max(silence, default=float('nan')):.1f} (target {TARGET_SILENCE_MS:g}); "
        f"{len(found) - len(silence)} without; {after} frames after the clear; what was heard is known to "
        f"p50 {percentile(errors, 0.5):.1f} ms, worst {max(errors, default=float('nan')):.1f} "
        f"(target {TARGET_TRUNCATION_MS:g}); {len(found) - len(errors)} unknown",
        highlight=False,
    )


def _lost(direction: Direction) -> str:
    return "?" if direction.lost is None else str(direction.lost)


def able() -> list[str]:
    """The contenders whose packages are here."""
    return [name for name in CONTENDERS if importlib.util.find_spec(NEEDS[name]) is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", choices=able(), action="append")
    parser.add_argument("--quality", action="store_true", help="only that")
    parser.add_argument("--capacity", action="store_true", help="only that")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    # Pipecat does not come to an end here with several calls, or after an interruption: by name only.
    names = options.only or [name for name in able() if name != "pipecat"]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if len(ALL_PROCESSORS) > 1:
        os.sched_setaffinity(0, {ALL_PROCESSORS[0]})
    gc.collect()
    gc.freeze()
    everything = not (options.quality or options.capacity)
    report: dict[str, object] = {}
    ours_lost = 0
    if options.quality or everything:
        loads = [asyncio.run(load(name, 1, options.seconds)) for name in names]
        show_loads(loads)
        for name in names:
            if name.startswith(f"{OURS},"):
                continue
            found = asyncio.run(interruptions(name, INTERRUPTIONS if name == OURS else 5))
            show_interruptions(name, found)
            report[f"interruptions {name}"] = [asdict(one) for one in found]
        report["quality"] = [asdict(one) for one in loads]
        ours_lost += _ours_lost(loads)
    if options.capacity or everything:
        loads = [one for name in names for one in asyncio.run(capacity(name, options.seconds))]
        show_loads(loads)
        show_capacity(loads)
        report["capacity"] = [asdict(one) for one in loads]
        ours_lost += _ours_lost([one for one in loads if one.worst_p99_ms < TARGET_P99_MS])
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    if ours_lost:
        raise SystemExit(f"our bridge lost {ours_lost} frames")


def _ours_lost(loads: Sequence[Load]) -> int:
    return sum(
        (one.to_model.lost or 0) + (one.to_caller.lost or 0) for one in loads if one.name.startswith(OURS)
    )


if __name__ == "__main__":
    main()
