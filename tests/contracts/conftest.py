"""Every kind of database, for whatever is to hold for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sipagent.store import Store, open_store
from tests.contracts.places import KINDS, Place, open_place


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    urls = {"sqlite": f"sqlite:///{tmp_path / 'calls.db'}", "memory": "memory:"}
    url = urls.get(request.param) or request.getfixturevalue("postgres_url")
    store = open_store(url)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(request, tmp_path) as place:
        yield place
