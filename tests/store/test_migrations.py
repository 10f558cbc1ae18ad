from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallRecord, EffectBegun, open_store
from sipagent.store.migrations import migrate
from sipagent.store.tables import METADATA
from tests.store.facts import CALL, LEG, loaded, note, opened, recording, report, response_tokens, tool
from tests.support.claims import claim_one
from tests.support.postgres import PostgresServer

FIRST_SCHEMA = (Path(__file__).parent / "first_schema.sql").read_text(encoding="utf-8")
"""A database as revision 0001 made it, with one call in it. It is never made again."""
FIRST_SCHEMA_POSTGRESQL = Path(__file__).parent / "first_schema_postgresql.sql"
"""The same on PostgreSQL."""


@pytest.fixture(params=["sqlite", "postgresql"])
def first_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the first revision."""
    if request.param == "sqlite":
        with sqlite3.connect(tmp_path / "calls.db") as old:
            old.executescript(FIRST_SCHEMA)
        old.close()
        return f"sqlite:///{tmp_path / 'calls.db'}"
    url: str = request.getfixturevalue("postgres_url")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    server.run_script(url.rpartition("/")[2], FIRST_SCHEMA_POSTGRESQL)
    return url


async def test_a_database_of_the_first_revision_opens_with_its_calls(first_url: str) -> None:
    store = open_store(first_url)
    await store.open()
    record = await store.call(CALL)
    await store.apply([note(0), loaded()])
    noted = await store.call(CALL)
    assert await store.configurations() == (loaded(),)
    await store.apply([tool("call_2", second=9), response_tokens("resp_2", second=9)])
    grown = await store.call(CALL)
    assert not await claim_one(store, CALL, WorkerId("a"), webhook="")  # it has ended
    assert await claim_one(store, CallId("rtc_new"), WorkerId("a"), webhook="")
    assert await store.begin_effect(CALL, "call_1", WorkerId("a"), 1) == EffectBegun()
    await store.apply([opened("rtc_new", line="stream", carrier="twilio", leg=LEG), report(), recording()])
    bridged, recorded = await store.call(CallId("rtc_new")), await store.call(CALL)
    await store.aclose()
    assert bridged is not None
    assert (bridged.line, bridged.carrier_call_id, bridged.carrier_reports) == ("stream", LEG, (report(),))
    assert recorded is not None
    assert (recorded.line, recorded.carrier, recorded.carrier_reports) == ("sip", None, ())
    assert [file.path for file in recorded.recordings] == [recording().path]
    assert grown is not None
    assert [run.tool_call_id for run in grown.tools] == ["call_1", "call_2"]
    assert [used.cached_audio_tokens for used in grown.usage] == [0, 48]
    _check_first_call(record, noted)


def _check_first_call(record: CallRecord | None, noted: CallRecord | None) -> None:
    assert record is not None
    assert noted == replace(record, notes=(note(0),))
    assert record.notes == ()
    assert (record.line, record.carrier, record.carrier_call_id) == ("sip", None, None)
    assert (record.carrier_reports, record.recordings) == ((), ())
    assert (record.summary.agent, record.summary.end_reason) == ("front-desk", "agent_hung_up")
    assert [entered.state for entered in record.states] == ["ringing", "talking", "ended"]
    assert [said.text for said in record.transcript] == ["Harbor Dental, good morning.", "Hello."]
    assert [run.output for run in record.tools] == ["Monday at nine"]
    assert [usage.output_tokens for usage in record.usage] == [20]
    assert [measured.milliseconds for measured in record.latencies] == [81.5]


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
async def test_every_earlier_schema_is_brought_to_the_present_one_with_its_calls(
    first_url: str, revision: str
) -> None:
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[first_url.partition(":")[0]]
    engine = create_async_engine(f"{driver}:{first_url.partition(':')[2]}")
    async with engine.begin() as connection:
        await connection.run_sync(migrate, revision)
        (present,) = (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).one()
    await engine.dispose()
    assert present == revision
    store = open_store(first_url)
    await store.open()
    record = await store.call(CALL)
    await store.apply([note(0), report(call_id=CALL)])
    noted = await store.call(CALL)
    await store.aclose()
    assert noted is not None
    assert noted.carrier_reports == (report(call_id=CALL),)
    _check_first_call(record, replace(noted, carrier_reports=()))


def _migrated_and_made(connection: sa.Connection) -> tuple[list[Any], object, object]:
    """How migrated tables differ from ours, what they are, and what ours are."""
    migrate(connection)
    difference = compare_metadata(MigrationContext.configure(connection), METADATA)
    migrated = _described(connection)
    for table in reversed(METADATA.sorted_tables):
        table.drop(connection)
    METADATA.create_all(connection)
    return difference, migrated, _described(connection)


def test_the_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'calls.db'}")
    with engine.connect() as connection:
        difference, migrated, made = _migrated_and_made(connection)
    engine.dispose()
    assert migrated == made
    assert difference == []


async def test_the_migrations_lead_to_the_tables_on_postgresql(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.connect() as connection:
        difference, migrated, made = await connection.run_sync(_migrated_and_made)
    await engine.dispose()
    assert migrated == made
    assert difference == []


async def test_workers_that_open_a_new_database_at_once_wait_for_each_other(postgres_url: str) -> None:
    stores = [open_store(postgres_url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    for number, store in enumerate(stores):
        await store.apply([note(number)])
        await store.aclose()


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'calls.db'}")
    with engine.connect() as connection:
        migrate(connection)
        once = _described(connection)
        migrate(connection)
        assert _described(connection) == once
    engine.dispose()


async def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "calls.db") as later:
        later.executescript(FIRST_SCHEMA)
        later.execute("UPDATE alembic_version SET version_num = '9999'")
    later.close()
    with pytest.raises(StoreError, match="9999.*later version"):
        await open_store(f"sqlite:///{tmp_path / 'calls.db'}").open()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "calls.db") as foreign:
        foreign.execute("CREATE TABLE latencies (something TEXT)")  # the last table the revision makes
    foreign.close()
    with pytest.raises(StoreError, match="cannot open the database"):
        await open_store(f"sqlite:///{tmp_path / 'calls.db'}").open()
    with sqlite3.connect(tmp_path / "calls.db") as after:
        assert after.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [
            ("latencies",)
        ]
    after.close()


@pytest.mark.parametrize("name", ["tool_runs", "usage", "latencies", "effects", "carrier_reports"])
def test_rows_without_a_key_of_their_own_are_numbered_by_the_database(name: str) -> None:
    table = METADATA.tables[name]
    assert "arrival INTEGER" in str(CreateTable(table).compile(dialect=sqlite.dialect()))
    on_postgresql = CreateTable(table).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    assert "arrival BIGINT GENERATED BY DEFAULT AS IDENTITY" in str(on_postgresql)


def _described(connection: sa.Connection) -> dict[str, object]:
    inspector = sa.inspect(connection)
    return {
        name: (
            [
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ],
            inspector.get_pk_constraint(name),
            inspector.get_foreign_keys(name),
            sorted(str(unique) for unique in inspector.get_unique_constraints(name)),
            sorted(
                str({**index, "dialect_options": str(index.get("dialect_options", {}).keys())})
                for index in inspector.get_indexes(name)
            ),
        )
        for name in METADATA.tables
    }


@pytest.fixture
def old_postgres(postgres_url: str, postgres_server: PostgresServer) -> str:
    """A database of the first revision, on PostgreSQL."""
    postgres_server.run_script(postgres_url.rpartition("/")[2], FIRST_SCHEMA_POSTGRESQL)
    return postgres_url


async def test_a_migration_may_take_longer_than_a_statement(
    old_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT pg_sleep(1.5)"))
        migrate(connection)

    monkeypatch.setattr("sipagent.store.postgres.STATEMENT_TIMEOUT_S", 0.5)
    monkeypatch.setattr("sipagent.store.database.migrate", slowly)
    store = open_store(old_postgres)
    await store.open()
    assert await store.call(CALL) is not None
    await store.aclose()


async def test_a_migration_that_waits_for_others_holds_nobody_up_for_long(
    old_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipagent.store.postgres.MIGRATION_LOCK_TIMEOUT_MS", 200)
    engine = create_async_engine(make_url(old_postgres).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as reader:
        await reader.execute(sa.text("SELECT count(*) FROM calls"))  # in a transaction that goes on
        store = open_store(old_postgres)
        async with asyncio.timeout(5):
            with pytest.raises(StoreAwayError, match="lock timeout"):
                await store.open()
    await engine.dispose()
    await store.open()
    assert await store.call(CALL) is not None
    await store.aclose()
