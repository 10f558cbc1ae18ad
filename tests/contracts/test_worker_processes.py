"""Workers that are processes: killed, frozen and woken up, on every database that processes can share."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sipagent.identifiers import CallId, WorkerId
from sipagent.store import Store, open_store

ROOT = Path(__file__).parents[2]
A, B = WorkerId("a"), WorkerId("b")

WORKER = """
import asyncio, sys
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import open_store

async def work(url, lease_s):
    store = open_store(url)
    await store.open()
    me = WorkerId("a")
    await store.join(me, name="a", lease_s=lease_s)
    calls = {CallId(f"rtc_{number}"): "" for number in range(5)}
    assert len(await store.claim_all(me, calls)) == 5
    print("claimed", flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline) == "renew\\n":
        print(await store.renew(me, lease_s=lease_s), flush=True)
    await store.aclose()

asyncio.run(work(sys.argv[1], float(sys.argv[2])))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'calls.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    await store.join(B, name="b", lease_s=600)
    yield store
    await store.aclose()


@asynccontextmanager
async def worker(url: str, *, lease_s: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has claimed five calls."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, url, str(lease_s), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert await told(process) == "claimed"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


async def renew(process: asyncio.subprocess.Process) -> str:
    assert process.stdin is not None
    process.stdin.write(b"renew\n")
    await process.stdin.drain()
    return await told(process)


async def adopt_all(store: Store, *, quiet_s: float) -> set[CallId]:
    """Adopt until there are five calls."""
    adopted: set[CallId] = set()
    async with asyncio.timeout(30):
        while len(adopted) < 5:
            adopted |= {one.call_id for one in await store.adopt(B, limit=9, quiet_s=quiet_s)}
            await asyncio.sleep(0.05)
    return adopted


async def test_the_calls_of_a_killed_worker_can_be_had_long_before_its_lease_ends(
    url: str, store: Store
) -> None:
    async with worker(url, lease_s=600) as process:
        assert await store.adopt(B, limit=9, quiet_s=0) == ()  # it lives
        assert await renew(process) == "True"
        process.kill()
        await process.wait()
        adopted = await adopt_all(store, quiet_s=0)
    assert adopted == {f"rtc_{number}" for number in range(5)}
    assert await store.claims(A) == ()
    assert {one.worker: one.state for one in await store.workers()} == {A: "gone", B: "up"}


async def test_a_frozen_worker_wakes_up_and_learns_that_its_calls_are_gone(url: str, store: Store) -> None:
    async with worker(url, lease_s=1.5) as process:
        assert await renew(process) == "True"
        process.send_signal(signal.SIGSTOP)
        adopted = await adopt_all(store, quiet_s=600)
        assert len(adopted) == 5
        process.send_signal(signal.SIGCONT)
        assert await renew(process) == "False"
        assert await renew(process) == "False"
    assert len(await store.claims(B)) == 5


async def test_a_worker_that_slept_and_was_not_missed_goes_on(url: str, store: Store) -> None:
    async with worker(url, lease_s=600) as process:
        process.send_signal(signal.SIGSTOP)
        assert await store.adopt(B, limit=9, quiet_s=0) == ()
        process.send_signal(signal.SIGCONT)
        assert await renew(process) == "True"
        assert len(await store.claims(A)) == 5
