"""Databases of every kind, each with means to open it several times, as several processes do, and to let time
pass for it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from sipagent.identifiers import WorkerId
from sipagent.store import MemoryCallStore, MemoryDatabase, Store, open_store
from tests.support.postgres import PostgresServer

KINDS = ("memory", "sqlite", "postgresql")
LEASE_S = 30.0

_AGE = "UPDATE workers SET seen_unix_s = seen_unix_s - {0}, expires_unix_s = expires_unix_s - {0}"


class _Database(Protocol):
    def store(self) -> Store: ...

    async def age(self, seconds: float) -> None: ...


class _Memory:
    def __init__(self) -> None:
        self._now_s = 1_772_355_600.0
        self._database = MemoryDatabase(now_s=lambda: self._now_s)

    def store(self) -> Store:
        return MemoryCallStore(database=self._database)

    async def age(self, seconds: float) -> None:
        self._now_s += seconds


class _Sqlite:
    def __init__(self, file: Path) -> None:
        self._file = file

    def store(self) -> Store:
        return open_store(f"sqlite:///{self._file}")

    async def age(self, seconds: float) -> None:
        with sqlite3.connect(self._file) as connection:
            connection.execute(_AGE.format(seconds))
        connection.close()


class _Postgres:
    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._url = url

    def store(self) -> Store:
        return open_store(self._url)

    async def age(self, seconds: float) -> None:
        name = self._url.rpartition("/")[2]
        await asyncio.to_thread(self._server.query, name, _AGE.format(seconds))


class Place:
    """One database. Stores that it opens are closed with it."""

    def __init__(self, kind: str, database: _Database) -> None:
        self.kind = kind
        self._database = database
        self._stores: list[Store] = []

    async def open(self) -> Store:
        """Another store on the database, as another process would have."""
        store = self._database.store()
        await store.open()
        self._stores.append(store)
        return store

    async def worker(self, name: str) -> tuple[Store, WorkerId]:
        """A store of its own with a worker that has joined."""
        store = await self.open()
        await store.join(WorkerId(name), name=f"host of {name}", lease_s=LEASE_S)
        return store, WorkerId(name)

    async def pass_time(self, seconds: float) -> None:
        """Let workers be as if they had not been heard of for ``seconds`` more."""
        await self._database.age(seconds)

    async def aclose(self) -> None:
        for store in self._stores:
            await store.aclose()


@asynccontextmanager
async def open_place(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Place]:
    """The place whose kind is the parameter of the fixture that asks."""
    database: _Database
    match request.param:
        case "memory":
            database = _Memory()
        case "sqlite":
            database = _Sqlite(folder / "calls.db")
        case _:
            server = request.getfixturevalue("postgres_server")
            database = _Postgres(server, request.getfixturevalue("postgres_url"))
    place = Place(request.param, database)
    try:
        yield place
    finally:
        await place.aclose()
