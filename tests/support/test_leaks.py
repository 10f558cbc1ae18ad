from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.leaks import describe, leaked_tasks, stop

ROOT = Path(__file__).parents[2]


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_task_that_waits_is_a_leak_and_says_where() -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(wait_for_ever(), name="forgotten")
    assert await leaked_tasks(before) == [task]
    assert describe(task).startswith("  forgotten: wait_for_ever at ")
    assert "test_leaks.py:" in describe(task)
    await stop([task])
    assert task.cancelled()
    assert await leaked_tasks(before) == []


async def test_a_task_from_before_and_one_that_is_ending_are_no_leaks() -> None:
    earlier = asyncio.create_task(wait_for_ever())
    before = asyncio.all_tasks()
    ending = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    ending.cancel()
    assert await leaked_tasks(before) == []
    await stop([earlier])


async def test_an_abandoned_generator_may_finish_its_clean_up() -> None:
    cleaned = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0.05)
            cleaned.set()

    before = asyncio.all_tasks()
    generator = numbers()
    assert await anext(generator) == 1
    del generator
    gc.collect()
    assert await leaked_tasks(before) == []
    assert cleaned.is_set()


LEAK = "asyncio.get_running_loop().leak = asyncio.create_task(asyncio.sleep(60), name='forgotten')"


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (LEAK, "forgotten: sleep at "),
        ("await asyncio.create_task(asyncio.sleep(0), name='fine')", "1 passed"),
        ("import os; assert 'OPENAI_API_KEY' not in os.environ", "1 passed"),
    ],
    ids=["leak", "no leak", "empty environment"],
)
def test_the_watch_is_on_for_every_asynchronous_test(
    body: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_it.py").write_text(f"import asyncio\nasync def test_it():\n    {body}\n")
    monkeypatch.setenv("OPENAI_API_KEY", "a key that no test may see")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.conftest",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    done = subprocess.run(
        [*command, "--rootdir", ".", "test_it.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert (done.returncode == 0) == (outcome == "1 passed"), done.stdout
