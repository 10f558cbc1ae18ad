"""Workers on one machine: locked files and sockets beside the database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import WorkerId
from sipagent.store import open_store
from sipagent.store.sqlite import BUSY_TIMEOUT_MS, SqliteBackend, WorkerFolder
from tests.store.facts import opened
from tests.support.eventually import eventually

A, B = WorkerId("a"), WorkerId("b/../b")
NAME_THAT_FITS = "calls.db.workers"
NAME_TOO_LONG_FOR_A_SOCKET = f"{'x' * 120}.workers"


@pytest.fixture(params=[NAME_THAT_FITS, NAME_TOO_LONG_FOR_A_SOCKET], ids=["short", "long"])
async def folders(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[WorkerFolder]]:
    """The folder as two processes see it."""
    folders = [WorkerFolder(tmp_path / request.param) for _ in range(2)]
    yield folders
    for folder in folders:
        await folder.aclose()


async def test_liveness_is_held_until_the_worker_leaves_or_its_store_closes(
    folders: list[WorkerFolder], tmp_path: Path
) -> None:
    mine, theirs = folders
    assert await theirs.free([A, B]) == {A, B}
    await mine.join(A)
    await mine.join(A)
    await mine.join(B)
    assert await theirs.free([A, B]) == await mine.free([A, B]) == set()
    await mine.leave(A)
    await mine.leave(A)
    assert await theirs.free([A, B]) == {A}
    await mine.aclose()
    assert await theirs.free([A, B]) == {A, B}
    check_folder(tmp_path)


def check_folder(parent: Path) -> None:
    """Nothing is left in it, and it is nobody else's."""
    (folder,) = parent.iterdir()
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_worker_of_another_process_cannot_be_impersonated(folders: list[WorkerFolder]) -> None:
    mine, theirs = folders
    await mine.join(A)
    with pytest.raises(StoreError, match="cannot lock"):
        await theirs.join(A)
    await theirs.leave(A)
    assert await theirs.free([A]) == set()


async def test_many_may_look_at_the_same_time(folders: list[WorkerFolder]) -> None:
    mine, theirs = folders
    await mine.join(A)
    found = await asyncio.gather(*(folder.free([A, B]) for folder in folders for _ in range(20)))
    assert set(found) == {frozenset({B})}
    await theirs.join(B)


async def test_signals_are_heard_by_whom_they_concern(folders: list[WorkerFolder]) -> None:
    mine, theirs = folders
    heard: list[tuple[WorkerId, str]] = []
    await mine.join(A)
    await theirs.join(B)
    mine.listen(A, lambda kind: heard.append((A, kind)))
    theirs.listen(B, lambda kind: heard.append((B, kind)))
    await theirs.signal("command", A)
    await eventually(lambda: heard == [(A, "command")])
    await mine.signal("orphans", None)
    await eventually(lambda: sorted(heard[1:]) == [(A, "orphans"), (B, "orphans")])
    await mine.leave(A)
    await theirs.signal("command", A)
    await theirs.signal("command", WorkerId("nobody"))
    for _ in range(1000):  # nobody empties a socket that long; the rest is lost and no error
        await mine.signal("orphans", None)
    await eventually(lambda: len(heard) > 3)
    assert {worker for worker, _ in heard[3:]} == {B}


async def test_a_socket_that_a_dead_worker_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    folder = WorkerFolder(tmp_path)
    folder._socket_file(A).write_text("left behind")
    await folder.join(A)
    heard: list[str] = []
    folder.listen(A, heard.append)
    await folder.signal("command", A)
    await eventually(lambda: heard == ["command"])
    folder._socket_file(B).write_text("left behind")
    await folder.signal("command", B)
    folder.bury(B)
    folder.bury(B)
    assert not folder._socket_file(B).exists()
    await folder.aclose()


async def test_without_a_place_for_a_socket_no_signal_comes_and_nothing_fails(tmp_path: Path) -> None:
    folder = WorkerFolder(tmp_path / "missing")
    folder.listen(A, pytest.fail)
    await folder.signal("orphans", None)
    await folder.aclose()


async def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "calls.db.workers").write_text("a file")
    store = open_store(f"sqlite:///{tmp_path / 'calls.db'}")
    await store.open()
    with pytest.raises(StoreError, match=r"calls\.db\.workers"):
        await store.join(A, name="a", lease_s=30)
    assert await store.workers() == ()
    await store.aclose()


async def test_the_folder_is_found_again_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///calls.db")
    await store.open()
    await store.join(A, name="a", lease_s=30)
    monkeypatch.chdir(tmp_path / "elsewhere")
    other = open_store(f"sqlite:///{tmp_path / 'calls.db'}")
    await other.open()
    await other.join(B, name="b", lease_s=30)
    assert await other.adopt(B, limit=1, quiet_s=0) == ()
    assert await store.renew(A, lease_s=30)
    await store.aclose()
    await other.aclose()


def test_only_a_database_that_others_write_to_for_too_long_is_away() -> None:
    backend = SqliteBackend(make_url("sqlite:///calls.db"))
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    assert backend.serves_nobody(busy) is False
    assert backend.serves_nobody(sqlite3.OperationalError("no such table")) is None


async def test_whoever_waits_for_too_long_hears_that_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BUSY_TIMEOUT_MS == 5000
    monkeypatch.setattr("sipagent.store.sqlite.BUSY_TIMEOUT_MS", 50)
    store = open_store(f"sqlite:///{tmp_path / 'calls.db'}")
    await store.open()
    other = sqlite3.connect(tmp_path / "calls.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreAwayError, match="locked") as caught:
        await store.apply([opened()])
    assert not caught.value.serves_nobody
    other.rollback()
    other.close()
    await store.apply([opened()])
    await store.aclose()
