"""Every test starts from an empty environment and leaves no task behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from tests.support.leaks import describe, leaked_tasks, stop

pytest_plugins = ["tests.support.postgres"]

# A busy machine makes examples slow; that says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove our variables, so that a developer's key or database never reaches a test."""
    for name in tuple(os.environ):
        if name.startswith(("OPENAI_", "SIPAGENT_")):
            monkeypatch.delenv(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every asynchronous test under the watch below, and spare the others an event loop.

    First in means last out: the check comes after the clean-up of all other fixtures.
    """
    for item in items:
        if pytest_asyncio.is_async_test(item) and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "no_leaked_tasks")


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail a test after which tasks are still pending on its loop, and name them."""
    before = asyncio.all_tasks()
    yield
    leaked = await leaked_tasks(before)
    if leaked:
        report = "\n".join(describe(task) for task in leaked)
        await stop(leaked)
        pytest.fail(f"{len(leaked)} task(s) still pending after the test:\n{report}", pytrace=False)
