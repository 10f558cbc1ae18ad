"""A thousand reloads, half of them of something broken, while calls come and go."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

import aiohttp
import pytest

from sipagent.identifiers import CallId
from sipagent.store import CallRecord, ConfigurationLoaded, open_store
from tests.bench.wire import SECRET
from tests.journeys.plain_api import PlainApi, Told
from tests.support.ports import free_port

pytestmark = pytest.mark.journey

RELOADS = 1000
WARM_UP = 200
"""Reloads until pools and the allocator have what they want."""
FIRST_CALLS = 200
"""Calls until the caches of addresses are full: each call has addresses of its own, and `yarl` and `urllib`
remember the last 128 of everything they do with one."""
COUNTED = range(WARM_UP, RELOADS + 1, 160)
"""The reloads after which memory and objects are counted, while no call is up."""
CALLERS = 12
"""Calls at once."""
SHORTEST_S, LONGEST_S = 0.05, 3.0
MOST_OBJECTS_PER_RELOAD, MOST_BYTES_PER_RELOAD = 0.05, 16 * 1024
"""From one count to the next, in the median: what reloads leave behind shows between any two counts, while a
thread or a connection that a pool opens late, or a step of the allocator, shows between two of them. Every
other reload is a configuration of some 240 objects and 52 KiB: one object that stayed of each tenth would be
too many, and a third of its memory."""
MOST_MORE_OBJECTS, MOST_MORE_MEMORY = 1.05, 1.10
"""From the first count to the last, whatever the reason."""

CONFIGURATION = """\
version: 1
variables: {{number: "{number}"}}
defaults:
  speed: {speed}
agents:
  front-desk:
    instructions_file: prompt.md
    greeting: Generation {number} speaking.
    tools: [hang_up, transfer, {{python: "reloading_shop:price"}}]
    transfer: {{billing: {{to: "tel:+1555{number:07d}", description: Bills of generation {number}.}}}}
  night: {{instructions: "Night of generation {number}, {{{{caller}}}}."}}
routes: [{{agent: front-desk}}]
"""
PROMPT = "You are of generation {number}; the caller is {{{{caller}}}}, and the file says {{{{number}}}}.\n"
TOOL = '''
def price(item: str) -> str:
    """The price, in generation {number}."""
    return "{number}"
'''


def speed(number: int) -> float:
    """One that names the number, as far as three digits can."""
    return round(0.5 + number % 1000 / 1000, 3)


def put(folder: Path, number: int, *, broken: str = "") -> None:
    """The files of generation ``number``, or one of them broken."""
    files = {
        "prompt.md": PROMPT.format(number=number),
        "reloading_shop.py": TOOL.format(number=number),
        "sipagent.yaml": CONFIGURATION.format(number=number, speed=speed(number)),
    }
    if broken in files:
        files[broken] = {
            "prompt.md": "",
            "reloading_shop.py": TOOL.format(number=number) + "raise RuntimeError('not today')\n",
            "sipagent.yaml": files["sipagent.yaml"].replace("routes:", "rotues:"),
        }[broken]
    elif broken == "half":
        files["sipagent.yaml"] = files["sipagent.yaml"][: len(files["sipagent.yaml"]) // 2]
    elif broken == "nobody":
        files["sipagent.yaml"] = files["sipagent.yaml"].replace("agent: front-desk}", "agent: nobody}")
    for name, text in files.items():
        new = folder / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.rename(folder / name)


BROKEN = ("prompt.md", "reloading_shop.py", "sipagent.yaml", "half", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What the service holds."""

    memory_bytes: int
    objects: int


@dataclass(slots=True, kw_only=True)
class Serving:
    """A running service, whose log is read."""

    process: asyncio.subprocess.Process
    port: int
    lines: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    """Lines that tell of the configuration, or of objects."""
    complaints: list[str] = field(default_factory=list)
    """Lines that should not be there."""

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode()
            if "onfiguration" in text or text.startswith("objects "):
                self.lines.put_nowait(text)
            elif re.search(r" (ERROR|CRITICAL) |Traceback", text):
                self.complaints.append(text)

    async def said(self, part: str) -> str:
        """The next line that tells something; it must hold ``part``."""
        async with asyncio.timeout(30):
            line = await self.lines.get()
        assert part in line, line
        return line

    async def reloaded(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        await self.said("serves from the next call on")

    async def refused(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        await self.said("goes on serving")

    async def idle(self) -> str:
        """The metrics, once no call is up."""
        async with asyncio.timeout(30), aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
                    metrics = await answer.text()
                if "sipagent_live_calls 0.0" in metrics:
                    return metrics
                await asyncio.sleep(0.1)

    async def size(self) -> Size:
        """Memory and objects, once two counts in a row are the same."""
        objects, before = await self.objects(), -1
        async with asyncio.timeout(30):
            while objects != before:
                await asyncio.sleep(0.5)
                objects, before = await self.objects(), objects
        statm = await asyncio.to_thread(Path(f"/proc/{self.process.pid}/statm").read_text)
        return Size(memory_bytes=int(statm.split()[1]) * resource.getpagesize(), objects=objects)

    async def objects(self) -> int:
        self.process.send_signal(signal.SIGUSR1)
        return int((await self.said("objects ")).split()[1])


@asynccontextmanager
async def serving(folder: Path, api: PlainApi) -> AsyncIterator[Serving]:
    port = free_port()
    words = ("serve", "--config", str(folder / "sipagent.yaml"), "--port", str(port), "--no-reload")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.journeys.counted", *words),
        env={
            **os.environ,
            "OPENAI_API_KEY": "journey",
            "OPENAI_WEBHOOK_SECRET": SECRET,
            "OPENAI_BASE_URL": api.base_url,
            "SIPAGENT_DATABASE_URL": f"sqlite:///{folder}/calls.db",
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    service = Serving(process=process, port=port)
    log = asyncio.ensure_future(service.read_log())
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    assert process.returncode is None, "the service ended before it answered"
                await asyncio.sleep(0.05)
        yield service
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await log


class Crowd:
    """Callers who ring again and again until they are told to stop."""

    def __init__(self, api: PlainApi, port: int) -> None:
        self._api = api
        self._port = port
        self._stop = asyncio.Event()
        self._calling = asyncio.Event()
        self._calling.set()
        self._count = 0

    async def one_caller(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            await self._calling.wait()
            told = await self._ring()
            await asyncio.sleep(chance.uniform(SHORTEST_S, LONGEST_S) * chance.random())
            if not told.refused:
                await self._api.hang_up(told)

    async def ring_in_turn(self, calls: int) -> None:
        """So many calls, each over before the next comes."""
        for _ in range(calls):
            await self._api.hang_up(await self._ring())

    async def _ring(self) -> Told:
        self._count += 1
        return await self._api.ring(f"rtc_{self._count}", self._port)

    def pause(self) -> None:
        self._calling.clear()

    def go_on(self) -> None:
        self._calling.set()

    def stop(self) -> None:
        self._stop.set()
        self.go_on()


def numbers_in(text: str) -> set[int]:
    return {int(found) for found in re.findall(r"[Gg]eneration (\d+)", text)}


def generation_of(told: Told) -> int:
    """The one generation that everything which was said about a call is of."""
    assert told.accepted is not None
    assert told.updated is not None
    found = numbers_in(json.dumps(told.accepted)) | numbers_in(json.dumps(told.updated))
    found |= numbers_in(told.asked)
    assert len(found) == 1, f"settings of several generations: {found}"
    (number,) = found
    for session in (told.accepted, told.updated):
        written = re.search(r"the file says \W?(\d+)", session["instructions"])
        assert written is not None
        assert int(written[1]) == number, "a variable of another generation"
        assert session["audio"]["output"]["speed"] == speed(number)
    assert f"Generation {number} speaking." in told.asked
    return number


def growth(counts: list[int]) -> float:
    """For each reload, from one count to the next; the median."""
    return median((later - earlier) / COUNTED.step for earlier, later in pairwise(counts))


async def remembered(url: str, calls: list[str]) -> tuple[list[CallRecord], list[ConfigurationLoaded]]:
    store = open_store(url)
    await store.open()
    try:
        records = [await store.call(CallId(call_id)) for call_id in calls]
        known = await store.configurations(limit=10 * RELOADS)
    finally:
        await store.aclose()
    assert None not in records
    return [record for record in records if record is not None], list(known)


@pytest.mark.timeout(600)
async def test_a_thousand_reloads_under_a_running_load_of_calls(tmp_path: Path) -> None:
    put(tmp_path, 0)
    chance = random.Random(4)
    sizes: dict[int, Size] = {}
    async with PlainApi() as api, serving(tmp_path, api) as service:
        crowd = Crowd(api, service.port)
        await crowd.ring_in_turn(FIRST_CALLS)
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(crowd.one_caller(chance))
            for number in range(1, RELOADS + 1):
                if number % 2:
                    put(tmp_path, number, broken=BROKEN[number // 2 % len(BROKEN)])
                    await service.refused()
                else:
                    put(tmp_path, number)
                    await service.reloaded()
                if number in COUNTED:
                    crowd.pause()
                    await service.idle()
                    await api.close_connections()
                    sizes[number] = await service.size()
                    crowd.go_on()
            crowd.stop()
        metrics = await service.idle()
        service.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await service.process.wait() == 0
        calls = list(api.calls)

        assert service.complaints == []
        assert not [call_id for call_id, told in api.calls.items() if told.refused or told.hung_up]
        served = {call_id: generation_of(told) for call_id, told in api.calls.items()}
    records, known = await remembered(f"sqlite:///{tmp_path}/calls.db", calls)
    texts = {one.fingerprint: one for one in known}

    assert Counter(record.summary.end_reason for record in records) == {"caller_hung_up": len(calls)}
    for record in records:
        number = served[record.summary.call_id]
        assert record.configuration is not None
        assert numbers_in(texts[record.configuration].text) == {number}, "the record names another one"
        for note in record.notes:
            if note.kind == "reload":
                assert json.loads(note.data)["keeps"] == record.configuration
    assert len(set(served.values())) > RELOADS // 20, "the calls met many generations"
    assert len(known) == RELOADS // 2 + 1
    assert {one.number for one in known} == set(range(1, RELOADS // 2 + 2))
    assert f"sipagent_configuration_generation {RELOADS // 2 + 1}.0" in metrics
    assert "sipagent_configuration_generations_in_use 1.0" in metrics
    assert f'sipagent_configuration_reloads_total{{result="loaded"}} {RELOADS // 2}.0' in metrics
    assert f'sipagent_configuration_reloads_total{{result="failed"}} {RELOADS // 2}.0' in metrics
    counts = [sizes[number] for number in COUNTED]
    assert growth([size.objects for size in counts]) < MOST_OBJECTS_PER_RELOAD, counts
    assert growth([size.memory_bytes for size in counts]) < MOST_BYTES_PER_RELOAD, counts
    # What is first needed late, such as by something that a slow machine makes happen, is loaded once.
    steps = sorted(after.objects - before.objects for before, after in pairwise(counts))
    assert sum(steps[:-1]) < counts[0].objects * (MOST_MORE_OBJECTS - 1), counts
    assert counts[-1].memory_bytes < counts[0].memory_bytes * MOST_MORE_MEMORY, counts
