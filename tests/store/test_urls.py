from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sipagent.errors import StoreAwayError, UserError
from sipagent.store import DEFAULT_URL, MemoryCallStore, SqlCallStore, open_store


def test_a_file_a_server_and_memory_are_stores() -> None:
    assert isinstance(open_store("sqlite:///calls.db"), SqlCallStore)
    assert isinstance(open_store("postgresql://user:hush@host/calls"), SqlCallStore)
    assert isinstance(open_store("postgres://host/calls?sslmode=require"), SqlCallStore)
    assert isinstance(open_store("memory:"), MemoryCallStore)


def test_without_its_driver_postgresql_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sipagent.store.postgres", raising=False)
    monkeypatch.delitem(sys.modules, "sipagent.store.postgres_presence", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(UserError, match=r"pip install 'sipagent\[postgres\]'"):
        open_store("postgresql://host/calls")


async def test_whatever_goes_wrong_no_password_is_shown() -> None:
    store = open_store("postgresql://user:hush@127.0.0.1:1/calls?password=hush&passfile=hush")
    with pytest.raises(StoreAwayError) as caught:
        await store.open()
    await store.aclose()
    assert caught.value.serves_nobody
    assert "postgresql://user:***@127.0.0.1:1/calls" in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_without_a_url_the_calls_are_in_a_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store()
    await store.open()
    await store.aclose()
    assert DEFAULT_URL == "sqlite:///sipagent.db"
    assert (tmp_path / "sipagent.db").is_file()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "calls.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "mysql://host/calls",
        "postgresql://host",
        "postgresql+psycopg://host/calls",
        "://",
        "nothing:///x",
    ],
)
def test_anything_else_is_an_error_that_says_what_to_write(url: str) -> None:
    with pytest.raises(UserError, match="sqlite:///calls.db"):
        open_store(url)


def test_the_error_shows_no_password() -> None:
    with pytest.raises(UserError) as caught:
        open_store("mysql://user:hush@host/calls")
    assert "hush" not in str(caught.value)
