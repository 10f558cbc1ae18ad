"""The engine beside its floor: processor time an event, what importing costs, how long collections pause.

What our session's time is made of stands in a table of its own, measured in the same run
(`tests.bench.parts`): a target that is missed is explained by it.

The same recorded call is replayed to every contender (`tests.bench.contenders`), by turns, each time in a
fresh process; one that did not report every word, sound and response of it fails the bench. The floor is
`websockets` with `orjson`. The SDK takes part where `openai-agents` is installed, `picows` likewise.

    python -m tests.bench.engine [--rounds 3] [--per-second 0] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.contenders import CONTENDERS, NEEDS, Cost
from tests.bench.player import Player, frame
from tests.bench.recorded import RECORDINGS, Recording

ALL_PROCESSORS = tuple(sorted(os.sched_getaffinity(0)))
IMPORTS = {
    "aiohttp, websockets, openai": "import aiohttp, websockets, websockets.asyncio.client, openai",
    "sipagent.realtime": "import sipagent.realtime",
    "agents.realtime": "import agents.realtime",
}
MEASURE_IMPORT = """
import sys, time
began = time.process_time()
{statement}
took = time.process_time() - began
import resource
pages = int(open('/proc/self/statm').read().split()[1])
import gc
pauses = []
for _ in range(3):
    began = time.perf_counter()
    gc.collect()
    pauses.append(time.perf_counter() - began)
print(took, pages * resource.getpagesize() / 1e6, min(pauses) * 1e3)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One contender and one recording: medians of the rounds, but the longest of all collections."""

    recording: str
    name: str
    cpu_us: float
    """For one message of the server."""
    ratio: float
    """Beside the floor: the median over the rounds of each round's ratio."""
    messages: int
    reported: int
    collection_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What our session's time is made of for one recording; the quickest of all runs, in µs a message."""

    recording: str
    parts_us: dict[str, float]
    """Each by what it adds to the one before."""
    sockets_us: dict[str, float]
    """By our sessions, each with another transport: what the whole takes beyond the parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCost:
    """A process that imports something and does nothing else."""

    what: str
    cpu_s: float
    megabytes: float
    collection_ms: float
    """A full garbage collection, with the collector as it comes."""


async def in_process(*arguments: str) -> str:
    """What a fresh Python prints; on the last processor, where there are two."""
    pin = ["taskset", "-c", str(ALL_PROCESSORS[-1])] if len(ALL_PROCESSORS) > 1 else []
    process = await asyncio.create_subprocess_exec(
        *pin, sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    if process.returncode != 0:
        what = " ".join(arguments[-4:])
        raise SystemExit(f"{what} ended with {process.returncode}: {error.decode()[-800:]}")
    return out.decode()


def able() -> list[str]:
    """The contenders whose packages are here."""
    missing = [part for part, package in NEEDS.items() if importlib.util.find_spec(package) is None]
    return [name for name in CONTENDERS if not any(part in name for part in missing)]


async def play(player: Player, name: str, what: Recording) -> Cost:
    """One contender, one recording, once. Fails unless everything was delivered."""
    player.frames = [frame(text) for text in what.messages]
    responses = str(what.counts["response.done"])
    line = await in_process("-m", "tests.bench.contenders", name, str(player.port), responses)
    cost = Cost(**json.loads(line))
    missing = {kind: (many, cost.counts.get(kind, 0)) for kind, many in what.counts.items()}
    if any(sent != heard for sent, heard in missing.values()):
        raise SystemExit(f"{name} did not report what it was sent (sent, reported): {missing}")
    return cost


async def measure(rounds: int, per_second: int) -> tuple[list[Result], list[Made]]:
    """Every recording: all contenders by turns, ``rounds`` times, and the parts of our session."""
    names = able()
    player = Player()
    player.per_second = per_second
    await player.start()
    results, made = [], []
    for number, what in enumerate(RECORDINGS):
        costs: dict[str, list[Cost]] = defaultdict(list)
        for _ in range(rounds):
            for name in names:
                costs[name].append(await play(player, name, what))
        lowest = [cost.cpu_s for cost in costs["floor"]]
        for name in names:
            mine = [cost.cpu_s for cost in costs[name]]
            results.append(
                Result(
                    recording=what.name,
                    name=name,
                    cpu_us=statistics.median(mine) / len(what.messages) * 1e6,
                    ratio=statistics.median(one / low for one, low in zip(mine, lowest, strict=True)),
                    messages=len(what.messages),
                    reported=costs[name][0].events,
                    collection_ms=max(cost.collection_ms for cost in costs[name]),
                )
            )
        wholes = {name: min(cost.cpu_s for cost in costs[name]) for name in names if "our session" in name}
        made.append(await take_apart(number, wholes, rounds))
    await player.stop()
    return results, made


async def take_apart(number: int, wholes: dict[str, float], rounds: int) -> Made:
    """What a session is made of for one of the `RECORDINGS`, which took ``wholes`` in all."""
    what = RECORDINGS[number]
    printed = [await in_process("-m", "tests.bench.parts", str(number)) for _ in range(rounds)]
    every: list[dict[str, float]] = [json.loads(line) for line in printed]
    below, parts = 0.0, {}
    for name in every[0]:
        rung = min(one[name] for one in every) / len(what.messages) * 1e6
        parts[name], below = rung - below, rung
    sockets = {name: cpu_s / len(what.messages) * 1e6 - below for name, cpu_s in wholes.items()}
    return Made(recording=what.name, parts_us=parts, sockets_us=sockets)


async def measure_imports(rounds: int) -> list[ImportCost]:
    """What importing costs, by turns."""
    costs: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    wanted = [what for what in IMPORTS if importlib.util.find_spec(what.split(".")[0].split(",")[0])]
    for _ in range(rounds):
        for what in wanted:
            printed = await in_process("-c", MEASURE_IMPORT.format(statement=IMPORTS[what]))
            cpu_s, megabytes, collection_ms = map(float, printed.split())
            costs[what].append((cpu_s, megabytes, collection_ms))
    return [
        ImportCost(
            what=what,
            cpu_s=statistics.median(cpu_s for cpu_s, _, _ in costs[what]),
            megabytes=statistics.median(megabytes for _, megabytes, _ in costs[what]),
            collection_ms=statistics.median(collection_ms for _, _, collection_ms in costs[what]),
        )
        for what in wanted
    ]


def machine() -> str:
    """What this was measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {len(ALL_PROCESSORS)} processors, Python {platform.python_version()}"


def show(results: Sequence[Result], made: Sequence[Made], imports: Sequence[ImportCost]) -> None:
    console = Console(width=130)
    notes = "everybody with the garbage collector as `sipagent serve` sets it"
    table = Table(title=f"Processor time for each message of the server\n{machine()}\n{notes}")
    for column in ("recording", "", "µs a message", "× floor", "messages", "reported", "longest full GC, ms"):
        table.add_column(column, justify="right")
    for one in results:
        table.add_row(
            one.recording if one.name == "floor" else "",
            one.name,
            f"{one.cpu_us:.1f}",
            f"{one.ratio:.2f}",
            str(one.messages),
            str(one.reported),
            f"{one.collection_ms:.1f}",
        )
    console.print(table)
    show_parts(console, made)
    table = Table(title="Importing")
    for column in ("", "CPU s", "×", "MB", "×", "full GC, ms"):
        table.add_column(column, justify="right")
    for each in imports:
        cells = [f"{each.cpu_s:.2f}", f"{each.cpu_s / imports[0].cpu_s:.2f}"]
        cells += [f"{each.megabytes:.0f}", f"{each.megabytes / imports[0].megabytes:.2f}"]
        cells.append(f"{each.collection_ms:.1f}")
        table.add_row(each.what, *cells)
    console.print(table)


def show_parts(console: Console, made: Sequence[Made]) -> None:
    """What our session's time is made of."""
    note = "quickest runs; the socket is what the whole takes beyond the rest: kernel, event loop, frames"
    table = Table(title=f"What our session is made of, µs a message\n{note}")
    table.add_column("")
    for one in made:
        table.add_column(one.recording, justify="right")
    for name in made[0].sockets_us:
        table.add_row(f"socket, {name}", *(f"{one.sockets_us[name]:.2f}" for one in made))
    for part in made[0].parts_us:
        table.add_row(part, *(f"{one.parts_us[part]:.2f}" for one in made))
    console.print(table)


async def run(rounds: int, per_second: int) -> tuple[list[Result], list[Made], list[ImportCost]]:
    """Everything that is measured here."""
    if len(ALL_PROCESSORS) > 1:
        os.sched_setaffinity(0, {ALL_PROCESSORS[0]})
    try:
        return *await measure(rounds, per_second), await measure_imports(rounds)
    finally:
        os.sched_setaffinity(0, set(ALL_PROCESSORS))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=int, default=0, help="messages; 0 sends as fast as possible")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    chosen = parser.parse_args(arguments)
    results, made, imports = asyncio.run(run(chosen.rounds, chosen.per_second))
    if chosen.json:
        every = [*map(asdict, results), *map(asdict, made), *map(asdict, imports)]
        sys.stdout.write(json.dumps(every, indent=1) + "\n")
    else:
        show(results, made, imports)


if __name__ == "__main__":
    main()
