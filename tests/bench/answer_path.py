"""The answer path beside its floor: webhook → accept, webhook → greeting, processor time a call.

Starts the floor (`tests.bench.floor`) and the service (`sipagent serve`, with its SQLite store) as processes
and sends them the same webhooks by turns: one call at a time, then 20, 100 and 300 at once. The sender has a
processor of its own, where there are two; the other is the measured process's, while its rivals wait.

A second service has a full configuration (`tests.bench.full`): what its calls cost more is the price of
deciding.

    python -m tests.bench.answer_path [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sipagent.clock import unix_s
from tests.bench.full import VARIABLES, write_full
from tests.bench.wire import SECRET, FakeApi, Moments, webhook_request
from tests.support.ports import free_port

HERE = Path(__file__).parent
BURSTS = (1, 20, 100, 300)
SINGLE_CALLS = 40
SETTLE_S = 0.6
"""After the last greeting, so that what is written behind the answer counts as processor time too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One kind of load on one service. Times in milliseconds."""

    name: str
    burst: int
    accept_p50: float
    accept_p99: float
    greeting_p50: float
    greeting_p99: float
    accepted_per_second: float
    cpu_per_call: float
    cpu_of_rounds: tuple[float, ...] = ()
    """The same, round by round: rounds are by turns, so those of two services can be compared."""


def added_cpu_ms(full: Result, plain: Result) -> float:
    """What a call costs more with the full configuration than with the plain one, in milliseconds of
    processor time: the median over the rounds."""
    pairs = zip(full.cpu_of_rounds, plain.cpu_of_rounds, strict=True)
    return statistics.median(more - less for more, less in pairs)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_ms(pid: int) -> float:
    """User and system time of a process so far, all threads."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e6


@contextmanager
def process(
    command: list[str], environment: dict[str, str], processor: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A process pinned to one processor, ended at the end."""
    pin = ["taskset", "-c", str(processor)] if len(os.sched_getaffinity(0)) > 1 else []
    running = subprocess.Popen(
        [*pin, *command], env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        assert running.stderr is not None
        running.stderr.close()


async def ready(port: int, running: subprocess.Popen[bytes]) -> None:
    """Return when the process answers on its port."""
    for _ in range(400):
        if running.poll() is not None:
            assert running.stderr is not None
            raise SystemExit(f"the process ended with {running.returncode}: {running.stderr.read().decode()}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise SystemExit("the process never listened")


class Sender:
    """Sends webhooks over connections that are open already, as a busy platform's are."""

    def __init__(self, api: FakeApi, port: int) -> None:
        self._api = api
        self._port = port
        self._count = 0
        self._connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def burst(self, count: int) -> list[Moments]:
        """``count`` calls at once; returns when every greeting has been asked for."""
        while len(self._connections) < count:
            self._connections.append(await asyncio.open_connection("127.0.0.1", self._port))
        loop = asyncio.get_running_loop()
        timestamp = int(unix_s())
        calls = []
        for number in range(count):
            self._count += 1
            call_id = f"rtc_bench_{self._count}"
            calls.append((call_id, webhook_request(call_id, timestamp=timestamp, port=self._port), number))
        begun = []
        for call_id, request, number in calls:
            moments = self._api.calls[call_id.encode()] = Moments(loop.time())
            begun.append(moments)
            self._connections[number][1].write(request)
        async with asyncio.timeout(60):
            for number in range(count):
                status = await self._connections[number][0].readuntil(b"\r\n\r\n")
                assert b" 200 " in status.splitlines()[0], status
            for moments in begun:
                await moments.done.wait()
        return begun

    async def close(self) -> None:
        for _, writer in self._connections:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in self._connections))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One service under load."""

    name: str
    pid: int
    sender: Sender


async def measure(targets: Sequence[Target], api: FakeApi, rounds: int) -> list[list[Result]]:
    """Every kind of load, ``rounds`` times each, on each target in turn, so that whatever else the machine
    does hits all alike; the medians of the rounds."""
    for target in targets:
        for _ in range(3):
            await _round(target, api, 20)
    results: list[list[Result]] = [[] for _ in targets]
    for burst in BURSTS:
        measured: list[list[tuple[float, ...]]] = [[] for _ in targets]
        for _ in range(rounds):
            for number, target in enumerate(targets):
                measured[number].append(await _round(target, api, burst))
        for number, target in enumerate(targets):
            results[number].append(_result(target.name, burst, measured[number]))
    return results


def _result(name: str, burst: int, rounds: Sequence[tuple[float, ...]]) -> Result:
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    accept_p50, accept_p99, greeting_p50, greeting_p99, accepted_per_second, cpu_per_call = medians
    return Result(
        name=name,
        burst=burst,
        accept_p50=accept_p50,
        accept_p99=accept_p99,
        greeting_p50=greeting_p50,
        greeting_p99=greeting_p99,
        accepted_per_second=accepted_per_second,
        cpu_per_call=cpu_per_call,
        cpu_of_rounds=tuple(one[-1] for one in rounds),
    )


async def _round(target: Target, api: FakeApi, burst: int) -> tuple[float, ...]:
    before = cpu_ms(target.pid)
    calls: list[Moments] = []
    for _ in range(SINGLE_CALLS if burst == 1 else 1):
        calls += await target.sender.burst(burst)
    await asyncio.sleep(SETTLE_S)
    cpu = (cpu_ms(target.pid) - before) / len(calls)
    accepts = [(one.accept or 0.0) - one.sent for one in calls]
    greetings = [(one.greeting or 0.0) - one.sent for one in calls]
    assert min(accepts) > 0
    span = max((one.accept or 0.0) for one in calls) - min(one.sent for one in calls)
    api.end_calls()
    await asyncio.sleep(SETTLE_S)
    return (
        percentile(accepts, 0.5) * 1e3,
        percentile(accepts, 0.99) * 1e3,
        percentile(greetings, 0.5) * 1e3,
        percentile(greetings, 0.99) * 1e3,
        len(calls) / span,
        cpu,
    )


async def run(rounds: int) -> list[list[Result]]:
    """The results of the floor, of our service, and of our service with a full configuration."""
    processors = sorted(os.sched_getaffinity(0))
    api = FakeApi()
    base_url = f"http://127.0.0.1:{await api.start()}/v1"
    if len(processors) > 1:
        os.sched_setaffinity(0, {processors[0]})
    floor = [sys.executable, "-m", "tests.bench.floor"]
    serve = [sys.executable, "-m", "sipagent", "serve", "--config"]
    floor_port, our_port, full_port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "OPENAI_API_KEY": "bench",
            "OPENAI_WEBHOOK_SECRET": SECRET,
            "OPENAI_BASE_URL": base_url,
            "SIPAGENT_DATABASE_URL": f"sqlite:///{folder}/bench.db",
            "SIPAGENT_LOG_LEVEL": "WARNING",
        }
        ours = [*serve, str(HERE / "bench.yaml"), "--port", str(our_port)]
        full = [*serve, str(write_full(Path(folder) / "full")), "--port", str(full_port)]
        of_full = {**environment, **VARIABLES, "SIPAGENT_DATABASE_URL": f"sqlite:///{folder}/full.db"}
        with (
            process([*floor, str(floor_port), base_url, SECRET], environment, processors[-1]) as low,
            process(ours, environment, processors[-1]) as own,
            process(full, of_full, processors[-1]) as all_in,
        ):
            await ready(floor_port, low)
            await ready(our_port, own)
            await ready(full_port, all_in)
            targets = (
                Target(name="floor", pid=low.pid, sender=Sender(api, floor_port)),
                Target(name="sipagent", pid=own.pid, sender=Sender(api, our_port)),
                Target(name="full", pid=all_in.pid, sender=Sender(api, full_port)),
            )
            results = await measure(targets, api, rounds)
            for target in targets:
                await target.sender.close()
    await api.stop()
    return results


def show(results: Sequence[Sequence[Result]]) -> None:
    table = Table(title="Answer path beside its floor (ms; × is the ratio to the floor)")
    for column in (
        "calls at once",
        "",
        "accept p50",
        "accept p99",
        "greeting p50",
        "greeting p99",
        "accepted/s",
        "CPU ms a call",
    ):
        table.add_column(column, justify="right")
    for low, own, full in zip(*results, strict=True):
        for one in (low, own, full):
            cells = [str(one.burst) if one is low else "", one.name]
            for key in (
                "accept_p50",
                "accept_p99",
                "greeting_p50",
                "greeting_p99",
                "accepted_per_second",
                "cpu_per_call",
            ):
                value, base = getattr(one, key), getattr(low, key)
                cells.append(f"{value:.2f}" + ("" if one is low else f" ×{value / base:.2f}"))
            table.add_row(*cells, end_section=one is full)
    console = Console(width=130)
    console.print(table)
    for _, own, full in zip(*results, strict=True):
        added = added_cpu_ms(full, own)
        console.print(
            f"Deciding by the full configuration adds {added:.2f} ms of CPU a call, {own.burst} at once."
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    results = asyncio.run(run(arguments.rounds))
    if arguments.json:
        rows = [asdict(one) for of_one in results for one in of_one]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        show(results)


if __name__ == "__main__":
    main()
