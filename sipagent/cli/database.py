"""A question to the database of remembered calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from sipagent.config import read_database_url
from sipagent.errors import StoreError
from sipagent.store import Store, open_store

T = TypeVar("T")


def ask_database(url: str | None, question: Callable[[Store], Awaitable[T]]) -> T:
    """The answer of the database at ``url``, by default the environment's. Raises `StoreError`."""
    url = url or read_database_url()
    file = url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        # Opening would create it, and an empty database answers "no calls" to a mistyped name.
        raise StoreError(f"there is no database {file}; name one with --database or SIPAGENT_DATABASE_URL")

    async def ask() -> T:
        store = open_store(url)
        await store.open()
        try:
            return await question(store)
        finally:
            await store.aclose()

    return asyncio.run(ask())
