"""Many sessions in one process: what is delivered, how late, and what it costs.

A crowd of 1, 200 and 1,000 sessions is played a recorded call, 20 messages a second to each, by one server
(`tests.bench.crowd`) on a processor of its own; each contender (`tests.bench.many_contenders`) hears it in a
fresh process on another. The words that the agent says carry the moment at which they were sent. Fails when
one of our sessions lost a message; speed is reported, not asserted.

    python -m tests.bench.many [--sessions 1 200 1000] [--seconds 10]
        [--only NAME] [--parts] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.answer_path import cpu_ms
from tests.bench.crowd import Crowd, Sent, cues
from tests.bench.engine import ALL_PROCESSORS, machine
from tests.bench.many_contenders import LIBRARIES, NEEDS, OURS, Report
from tests.bench.many_parts import show_parts, steps_of
from tests.bench.recorded import COUNTED, recording

PER_SECOND = 20
WARM_UP_S = 3.5
IN_TIME_S = 1.0
"""What is reported by then after the last send counts as delivered."""
LOST_AFTER_S = 15.0
"""What one of ours has not reported by then is lost."""
TARGET_SESSIONS, TARGET_P99_MS, TARGET_CPU, TARGET_KB = 1000, 20.0, 0.5, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One contender with one crowd."""

    name: str
    sessions: int
    sent: int
    """Messages in the measured seconds; all sessions, every kind."""
    delivered: float
    """Share of the counted messages that was reported in time; counts are by session and kind."""
    lost: int
    """Counted messages that never came; for the others than ours, that did not come in time."""
    cpu: float
    """Processor time over the measured seconds, as a share of one core."""
    kernel: float
    """The part of it that the kernel spent."""
    held_up: float
    """Share of the measured seconds in which it could have run, had the machine not been busy otherwise."""
    attached_kb: float
    """Memory that attaching added, by session."""
    steady_kb: float
    """The same at the end of the measured seconds."""
    p50_ms: float
    p99_ms: float
    """From the server's send to the listener, of the words of the measured seconds."""
    samples: int
    player_late_p99_ms: float
    """How late the server itself sent; not contained in the two above."""
    player_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Moments, or their distance, on four clocks."""

    wall_s: float
    cpu_s: float
    """Processor time of the contender."""
    kernel_s: float
    """The part of it that the kernel spent, in hundredths of a second."""
    held_up_s: float
    """Time in which it was ready to run and others had the processor."""
    server_cpu_s: float

    def since(self, earlier: Clocks) -> Clocks:
        """How far it is from ``earlier``."""
        return Clocks(
            wall_s=self.wall_s - earlier.wall_s,
            cpu_s=self.cpu_s - earlier.cpu_s,
            kernel_s=self.kernel_s - earlier.kernel_s,
            held_up_s=self.held_up_s - earlier.held_up_s,
            server_cpu_s=self.server_cpu_s - earlier.server_cpu_s,
        )


class Contender:
    """A process that runs one contender."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def clocks(self) -> Clocks:
        """Its clocks now, and ours."""
        # schedstat of Linux: nanoseconds on a processor, and ready to run without one.
        _, waited_ns, _ = Path(f"/proc/{self._process.pid}/schedstat").read_text().split()
        kernel_ticks = int(Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[12])
        return Clocks(
            wall_s=time.perf_counter(),
            cpu_s=cpu_ms(self._process.pid) / 1e3,
            kernel_s=kernel_ticks / os.sysconf("SC_CLK_TCK"),
            held_up_s=int(waited_ns) / 1e9,
            server_cpu_s=time.process_time(),
        )

    @property
    def resident_kb(self) -> float:
        """Memory that it occupies."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e3

    async def ask(self, what: str) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(what.encode() + b"\n")
        await self._process.stdin.drain()

    async def said(self) -> str:
        """The next line it says."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("a contender ended too early; see above")
        return line.decode().rstrip("\n")

    async def report(self) -> Report:
        """What it has heard so far."""
        await self.ask("report")
        return Report(**json.loads(await self.said()))


@asynccontextmanager
async def contender(name: str, port: int, sessions: int) -> AsyncIterator[Contender]:
    """A contender in a fresh process, on the last processor where there are two; killed at the end."""
    pin = ["taskset", "-c", str(ALL_PROCESSORS[-1])] if len(ALL_PROCESSORS) > 1 else []
    process = await asyncio.create_subprocess_exec(
        *pin,
        *(sys.executable, "-m", "tests.bench.many_contenders", name, str(port), str(sessions)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Contender(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()


def able() -> list[str]:
    """The contenders whose packages are here."""
    missing = [part for part, package in NEEDS.items() if importlib.util.find_spec(package) is None]
    return [name for name in LIBRARIES if not any(part in name for part in missing)]


def percentile(histogram: Mapping[int, int], share: float) -> float:
    """The value below which ``share`` of all lie; 0 when there is none."""
    wanted = share * sum(histogram.values())
    passed = 0
    for value in sorted(histogram):
        passed += histogram[value]
        if passed >= wanted:
            return value
    return 0.0


def missing(sent: Sent, heard: Report) -> tuple[int, int]:
    """How many counted messages did not come to the session they were sent to, and how many came that were
    never sent."""
    too_few = too_many = 0
    for kind in COUNTED:
        for gone, came in zip(sent.counted[kind], heard.heard[kind], strict=True):
            too_few += max(0, gone - came)
            too_many += max(0, came - gone)
    return too_few, too_many


async def measure(name: str, sessions: int, seconds: float, warm_up_s: float = WARM_UP_S) -> Result:
    """One contender with one crowd."""
    turns = int((seconds + warm_up_s) * PER_SECOND / 50) + 2
    script = cues(recording("a call", turns=turns, stamped=True))
    crowd = Crowd(sessions)
    await crowd.start()
    try:
        async with contender(name, crowd.port, sessions) as process:
            assert await process.said() == "imported"
            empty_kb = process.resident_kb
            await process.ask("attach")
            async with asyncio.timeout(60):
                assert await process.said() == "attached"
                await crowd.attached.wait()
            attached_kb = process.resident_kb
            clocks: list[Clocks] = []
            sent = await crowd.play(
                script,
                per_second=PER_SECOND,
                warm_up_s=warm_up_s,
                measured_s=seconds,
                begun=lambda: clocks.append(process.clocks()),
            )
            spent = process.clocks().since(clocks[-1])
            steady_kb = process.resident_kb
            heard, lost = await _heard(process, sent, patient=name.startswith(OURS))
    finally:
        await crowd.stop()
    too_few, too_many = missing(sent, heard)
    if too_many:
        raise SystemExit(f"{name} reported {too_many} messages that were never sent")
    everything = sum(sum(each) for each in sent.counted.values())
    waited = {int(us): many for us, many in heard.waited_us.items()}
    return Result(
        name=name,
        sessions=sessions,
        sent=sent.measured,
        delivered=1 - too_few / everything,
        lost=lost,
        cpu=spent.cpu_s / spent.wall_s,
        kernel=spent.kernel_s / spent.wall_s,
        held_up=spent.held_up_s / spent.wall_s,
        attached_kb=(attached_kb - empty_kb) / sessions,
        steady_kb=(steady_kb - empty_kb) / sessions,
        p50_ms=percentile(waited, 0.5) / 1e3,
        p99_ms=percentile(waited, 0.99) / 1e3,
        samples=sum(waited.values()),
        player_late_p99_ms=percentile(sent.late_us, 0.99) / 1e3,
        player_cpu=spent.server_cpu_s / spent.wall_s,
    )


async def _heard(process: Contender, sent: Sent, *, patient: bool) -> tuple[Report, int]:
    """What was heard in time, and how much was lost; ``patient`` waits before it says so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOST_AFTER_S
    await asyncio.sleep(IN_TIME_S)
    in_time = latest = await process.report()
    while patient and missing(sent, latest)[0] and loop.time() < deadline:
        await asyncio.sleep(1)
        latest = await process.report()
    return in_time, missing(sent, latest)[0]


def show(results: Sequence[Result], seconds: float) -> None:
    """The table, and how far the targets were met."""
    console = Console(width=150)
    table = Table(
        title=f"Sessions in one process, {PER_SECOND} messages a second each, {seconds:g} s\n{machine()}\n"
        "memory: what a session adds to the process; held up: ready to run, but others had the processor\n"
        "server late: its own delay, not in p50 and p99\n"
        "everybody with the garbage collector as `sipagent serve` sets it",
        title_justify="left",
    )
    for column in (
        "sessions",
        "",
        "sent",
        "delivered",
        "cores",
        "held up",
        "KB attached",
        "KB at the end",
        "p50 ms",
        "p99 ms",
        "server late p99",
        "server cores",
    ):
        table.add_column(column, justify="right", no_wrap=not column)
    for number, one in enumerate(results):
        first = number == 0 or results[number - 1].sessions != one.sessions
        last = number + 1 == len(results) or results[number + 1].sessions != one.sessions
        alone = one.sessions == 1  # then it is what the first session loads, and no price of a session
        table.add_row(
            str(one.sessions) if first else "",
            one.name,
            str(one.sent),
            f"{one.delivered:.2%}" if one.delivered < 1 else "all",
            f"{one.cpu:.3f}",
            f"{one.held_up:.0%}",
            "" if alone else f"{one.attached_kb:.1f}",
            "" if alone else f"{one.steady_kb:.1f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.player_late_p99_ms:.2f}",
            f"{one.player_cpu:.2f}",
            end_section=last,
        )
    console.print(table)
    for one in results:
        if one.name.startswith(OURS) and one.sessions == TARGET_SESSIONS:
            busy = f" (others held its processor {one.held_up:.0%} of the time)" if one.held_up > 0.02 else ""
            busy += ": says little" if one.held_up > 0.2 else ""
            console.print(f"{one.name}, {one.sessions}{busy}: {'; '.join(_verdicts(one))}", highlight=False)


def _verdicts(one: Result) -> list[str]:
    met = {
        f"all delivered ({one.delivered:.2%})": one.delivered == 1,
        f"p99 under {TARGET_P99_MS:g} ms ({one.p99_ms:.1f})": one.p99_ms < TARGET_P99_MS,
        f"at most {TARGET_KB:g} KB a session ({one.steady_kb:.1f})": one.steady_kb <= TARGET_KB,
    }
    if "picows" in one.name:  # the fast transport
        met[f"at most {TARGET_CPU:g} of a core ({one.cpu:.2f})"] = one.cpu <= TARGET_CPU
    return [f"{what}: {'met' if yes else 'MISSED'}" for what, yes in met.items()]


async def run(crowds: Sequence[int], names: Sequence[str], seconds: float) -> list[Result]:
    """Every crowd: all contenders, one after the other."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if len(ALL_PROCESSORS) > 1:
        os.sched_setaffinity(0, {ALL_PROCESSORS[0]})
    # The server's own collections would be somebody's delay.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return [await measure(name, sessions, seconds) for sessions in crowds for name in names]
    finally:
        gc.enable()
        gc.unfreeze()
        os.sched_setaffinity(0, set(ALL_PROCESSORS))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 200, 1000])
    parser.add_argument("--seconds", type=float, default=10, help="measured, after the warm-up")
    parser.add_argument("--only", default="", help="contenders whose name contains this")
    parser.add_argument("--quick", action="store_true", help="1 and 200 sessions, 3 seconds")
    parser.add_argument("--parts", action="store_true", help="also say what our processor time is made of")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    chosen = parser.parse_args(arguments)
    crowds, seconds = ([1, 200], 3.0) if chosen.quick else (chosen.sessions, chosen.seconds)
    names = [name for name in able() if chosen.only in name]
    results = asyncio.run(run(crowds, names, seconds))
    steps = asyncio.run(run(crowds[-1:], steps_of(able()), seconds)) if chosen.parts else []
    if chosen.json:
        sys.stdout.write(json.dumps([asdict(one) for one in (*results, *steps)], indent=1) + "\n")
    else:
        show(results, seconds)
        show_parts(steps)
    bad = [f"{one.name}, {one.sessions}" for one in results if one.name.startswith(OURS) and one.lost]
    if bad:
        raise SystemExit(f"messages were lost: {'; '.join(bad)}")


if __name__ == "__main__":
    main()
