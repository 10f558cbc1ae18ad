"""Recordings as real files, and what their records say."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from sipagent.calls.profile import AgentProfile, Recording
from sipagent.calls.retention import RecordingRetention, Sweep, folders_of, this_host
from sipagent.calls.template import Template
from sipagent.errors import StoreAwayError
from sipagent.identifiers import CallId
from sipagent.realtime import RealtimeAgent
from sipagent.store import Fact, MemoryCallStore, RecordingFile, Store, open_store
from sipagent.telemetry import Metrics
from tests.store.facts import CALL, at, opened, recording
from tests.support.eventually import eventually
from tests.telemetry.test_metrics import value

DAY_S = 86_400.0


class House:
    """A database, a folder of recordings, and a clock that is moved by hand."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.now = at(0)
        self.metrics = Metrics()

    def retention(
        self,
        *,
        host: str = "one",
        look_every_s: float = 3600.0,
        folders: Mapping[Path, int] | None = None,
    ) -> RecordingRetention:
        return RecordingRetention(
            self.store,
            self.metrics.carriers,
            utc_now=lambda: self.now,
            folders=lambda: folders or {},
            host=host,
            look_every_s=look_every_s,
        )

    async def record(self, name: str, *, days: float = 1, call_id: str = CALL, host: str = "one") -> Path:
        path = self.folder / name
        path.write_bytes(b"RIFF")
        kept = recording(str(path), call_id=call_id, second=0, keep_s=days * DAY_S, host=host)
        await self.store.apply([opened(call_id), kept])
        return path

    async def sweep(self, *, days: float, host: str = "one") -> Sweep:
        self.now = at(days * DAY_S)
        return await self.retention(host=host).sweep()

    async def file(self, path: Path, call_id: str = CALL) -> RecordingFile:
        record = await self.store.call(CallId(call_id))
        assert record is not None
        (file,) = [one for one in record.recordings if one.path == str(path)]
        return file

    def count(self, result: str) -> float | None:
        return value(self.metrics, "sipagent_recordings_ended_total", result=result)


@pytest.fixture
async def house(tmp_path: Path) -> House:
    store = MemoryCallStore()
    await store.open()
    return House(store, tmp_path)


async def test_a_recording_is_deleted_when_its_time_is_over_and_not_before(house: House) -> None:
    short, long = await house.record("a.wav", days=1), await house.record("b.wav", days=30)
    assert await house.sweep(days=0.99) == Sweep()
    assert short.exists()
    assert (await house.file(short)).deleted_at is None
    assert await house.sweep(days=1) == Sweep(expired=1)
    assert not short.exists()
    assert long.exists()
    gone = await house.file(short)
    assert (gone.deleted_at, gone.deleted_because) == (at(DAY_S), "expired")
    assert (await house.file(long)).deleted_at is None
    assert house.count("expired") == 1
    assert await house.sweep(days=2) == Sweep()


async def test_a_recording_that_was_never_finished_is_deleted_too(house: House) -> None:
    path = house.folder / "half.wav"
    path.write_bytes(b"")
    await house.store.apply([recording(str(path), seconds=None, second=0, keep_s=DAY_S)])
    assert await house.sweep(days=1) == Sweep(expired=1)
    assert not path.exists()


async def test_a_file_that_is_gone_before_its_time_is_said_to_be_missing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    path = await house.record("a.wav")
    path.unlink()
    with caplog.at_level(logging.WARNING):
        assert await house.sweep(days=1) == Sweep(missing=1)
    assert "was gone before its time" in caplog.text
    assert (await house.file(path)).deleted_because == "missing"
    assert house.count("missing") == 1


async def test_only_the_machine_that_wrote_a_file_may_say_that_it_is_gone(house: House) -> None:
    path = await house.record("a.wav", host="another")
    content = path.read_bytes()
    path.unlink()  # as on a machine whose disk it is not
    assert await house.sweep(days=1) == Sweep(elsewhere=1)
    assert (await house.file(path)).deleted_at is None
    assert value(house.metrics, "sipagent_recordings_overdue", where="elsewhere") == 1
    path.write_bytes(content)  # and there
    assert await house.sweep(days=1, host="another") == Sweep(expired=1)
    assert (await house.file(path)).deleted_because == "expired"
    assert not path.exists()


async def test_a_file_on_a_shared_disk_is_deleted_by_whoever_finds_it(house: House) -> None:
    path = await house.record("a.wav", host="a machine that is no more")
    assert await house.sweep(days=1) == Sweep(expired=1)
    assert not path.exists()


async def test_what_cannot_be_deleted_is_told_and_tried_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    path = await house.record("a.wav")
    path.unlink()
    path.mkdir()  # nobody, not even root, unlinks a folder
    other = await house.record("b.wav")
    with caplog.at_level(logging.ERROR):
        assert await house.sweep(days=1) == Sweep(expired=1, failed=1)
    assert f"The recording of call {CALL} should be gone since" in caplog.text
    assert not other.exists()
    assert (await house.file(path)).deleted_at is None
    assert value(house.metrics, "sipagent_recordings_overdue", where="here") == 1
    assert house.count("failed") == 1
    path.rmdir()
    path.write_bytes(b"RIFF")
    assert await house.sweep(days=2) == Sweep(expired=1)
    assert value(house.metrics, "sipagent_recordings_overdue", where="here") == 0


async def test_nothing_but_recordings_is_deleted_whatever_the_database_names(house: House) -> None:
    precious = house.folder / "sipagent.db"
    precious.write_text("precious")
    link = house.folder / "link.wav"
    link.symlink_to(precious)
    for number, path in enumerate([str(precious), str(link), "relative.wav"]):
        await house.store.apply([recording(path, call_id=f"rtc_{number}", second=0, keep_s=0)])
    assert await house.sweep(days=1) == Sweep(failed=3)
    assert precious.read_text() == "precious"
    assert link.is_symlink()


async def test_more_than_a_page_is_deleted_though_some_cannot_be(house: House) -> None:
    for number in range(230):
        name = f"{number}.wav"
        path = await house.record(name, call_id=f"rtc_{number}", host="one" if number % 3 else "another")
        if number % 3 == 0:
            path.unlink()
    assert await house.sweep(days=1) == Sweep(expired=153, elsewhere=77)
    assert list(house.folder.iterdir()) == []


async def test_it_looks_at_the_start_and_again_from_time_to_time(house: House) -> None:
    first, second = await house.record("a.wav"), await house.record("b.wav", days=2)
    house.now = at(DAY_S)
    retention = house.retention(look_every_s=0.02)
    async with asyncio.TaskGroup() as group:
        group.create_task(retention.run())
        await eventually(lambda: not first.exists())
        assert second.exists()
        house.now = at(2 * DAY_S)
        await eventually(lambda: house.count("expired") == 2)
        retention.stop()
        retention.stop()
    assert not second.exists()
    assert (await house.file(second)).deleted_at == at(2 * DAY_S)


async def test_it_stops_after_the_file_it_is_at(house: House) -> None:
    paths = [await house.record(f"{number}.wav") for number in range(3)]
    retention = house.retention()
    house.now = at(DAY_S)
    writing = house.store.apply

    async def stop_and_write(facts: Sequence[Fact]) -> None:
        retention.stop()
        await writing(facts)

    house.store.apply = stop_and_write  # type: ignore[method-assign]
    await retention.run()
    there = [path for path in paths if path.exists()]
    assert len(there) == 2
    for path in paths:
        assert ((await house.file(path)).deleted_at is None) == path.exists()


class AwayStore(MemoryCallStore):
    """Is away at first, and then answers."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def recordings_due(
        self, now: datetime, *, limit: int = 100, after: RecordingFile | None = None
    ) -> tuple[RecordingFile, ...]:
        self.times -= 1
        if self.times >= 0:
            raise StoreAwayError("the database has gone fishing", serves_nobody=True)
        return await super().recordings_due(now, limit=limit, after=after)


async def test_a_database_that_is_away_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(AwayStore(2), tmp_path)
    path = await house.record("a.wav")
    house.now = at(DAY_S)
    retention = house.retention(look_every_s=0.01)
    async with asyncio.TaskGroup() as group:
        group.create_task(retention.run())
        await eventually(lambda: house.count("expired") == 1)
        retention.stop()
    assert not path.exists()
    assert "gone fishing" in caplog.text


class ForgetfulStore(MemoryCallStore):
    """Does not take what became of a file, once."""

    forgets = True

    async def apply(self, facts: Sequence[Fact]) -> None:
        if self.forgets and type(facts[0]).__name__ == "RecordingDeleted":
            self.forgets = False
            raise StoreAwayError("away", serves_nobody=True)
        await super().apply(facts)


async def test_a_file_whose_deletion_was_not_written_down_is_missing_the_next_time(tmp_path: Path) -> None:
    house = House(ForgetfulStore(), tmp_path)
    path = await house.record("a.wav")
    with pytest.raises(StoreAwayError):
        await house.sweep(days=1)
    assert not path.exists()
    assert (await house.file(path)).deleted_at is None
    assert await house.sweep(days=1) == Sweep(missing=1)
    assert (await house.file(path)).deleted_because == "missing"


async def test_file_record_and_retention_agree_after_a_restart(tmp_path: Path) -> None:
    """One process records and dies; the next one deletes what is due, and a third finds nothing to do."""
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    store = open_store(url)
    await store.open()
    house = House(store, tmp_path)
    begun = tmp_path / "rtc_one.wav"
    begun.write_bytes(b"RIFF")
    facts: list[Fact] = [
        opened(),
        recording(str(begun), second=1, seconds=None, keep_s=DAY_S, host=this_host()),
    ]
    await store.apply(facts)
    await house.record("later.wav", days=9)
    await store.aclose()

    house.store = open_store(url)
    await house.store.open()
    kept = await house.file(begun)
    assert (kept.host, kept.seconds, kept.consent, kept.deleted_at) == (
        this_host(),
        None,
        "This call is recorded.",
        None,
    )
    assert begun.exists()
    assert await house.sweep(days=2, host=this_host()) == Sweep(expired=1)
    await house.store.aclose()

    house.store = open_store(url)
    await house.store.open()
    gone = await house.file(begun)
    assert (gone.deleted_at, gone.deleted_because) == (at(2 * DAY_S), "expired")
    assert (begun.exists(), (tmp_path / "later.wav").exists()) == (False, True)
    assert await house.sweep(days=3, host=this_host()) == Sweep()
    await house.store.aclose()


# Files of which no record tells -------------------------------------------------------------------------


def lost(folder: Path, name: str, *, days: float) -> Path:
    """A recording that was written last so many days after the beginning."""
    path = folder / name
    path.write_bytes(b"RIFF")
    os.utime(path, (at(days * DAY_S).timestamp(),) * 2)
    return path


async def test_a_recording_that_no_record_knows_goes_when_it_is_old_enough(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process was killed before the database had heard of it."""
    old = lost(house.folder, "20260301T090000Z_rtc_lost_0a1b2c3d.wav", days=0)
    young = lost(house.folder, "20260303T090000Z_rtc_new_0a1b2c3d.wav", days=2)
    known = lost(house.folder, "20260301T090000Z_rtc_one_0a1b2c3d.wav", days=0)
    await house.store.apply([recording(str(known), second=0, keep_s=30 * DAY_S)])
    notes = lost(house.folder, "notes.wav", days=0)
    link = house.folder / "20260301T090000Z_link_0a1b2c3d.wav"
    link.symlink_to(notes)
    house.now = at(3 * DAY_S)
    retention = house.retention(folders={house.folder: 3, house.folder / "not-yet": 1})
    assert await retention.sweep() == Sweep()
    house.now = at(3.1 * DAY_S)
    assert await retention.sweep() == Sweep(unknown=1)
    assert [path.exists() for path in (old, young, known, notes, link)] == [False, True, True, True, True]
    assert "of which no record tells" in caplog.text
    assert house.count("unknown") == 1


async def test_a_recording_that_came_back_after_its_end_goes_again(house: House) -> None:
    """As from a backup of the folder."""
    path = lost(house.folder, "20260301T090000Z_rtc_one_0a1b2c3d.wav", days=0)
    await house.store.apply([recording(str(path), second=0, keep_s=DAY_S)])
    assert await house.sweep(days=1) == Sweep(expired=1)
    lost(house.folder, path.name, days=0)
    house.now = at(2 * DAY_S)
    assert await house.retention(folders={house.folder: 1}).sweep() == Sweep(unknown=1)
    assert not path.exists()
    assert (await house.file(path)).deleted_at == at(DAY_S)


async def test_a_folder_that_cannot_be_read_is_told_and_hurts_no_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    none = house.folder / "a file"
    none.write_text("no folder")
    path = lost(house.folder, "20260301T090000Z_rtc_one_0a1b2c3d.wav", days=0)
    house.now = at(2 * DAY_S)
    assert await house.retention(folders={none: 1, house.folder: 1}).sweep() == Sweep(unknown=1)
    assert "cannot be read" in caplog.text
    assert not path.exists()


def test_a_folder_keeps_as_long_as_the_most_patient_agent_says(tmp_path: Path) -> None:
    def profile(name: str, folder: Path | None, days: int = 1) -> AgentProfile:
        kept = None if folder is None else Recording(consent=Template("Hm."), folder=folder, keep_days=days)
        return AgentProfile(name=name, agent=RealtimeAgent(name=name), settings={}, recording=kept)

    profiles = [
        profile("a", tmp_path, 7),
        profile("b", tmp_path, 30),
        profile("c", None),
        profile("d", tmp_path / "d", 2),
    ]
    assert folders_of(profiles) == {tmp_path: 30, tmp_path / "d": 2}


async def test_cancelling_leaves_what_is_due_for_later(house: House) -> None:
    path = await house.record("a.wav", days=5)
    running = asyncio.ensure_future(house.retention().run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert path.exists()
    assert await house.sweep(days=5) == Sweep(expired=1)
