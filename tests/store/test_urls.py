from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.errors import UserError
from sipagent.store import DEFAULT_URL, MemoryCallStore, SqlCallStore, open_store


def test_a_file_and_memory_are_stores() -> None:
    assert isinstance(open_store("sqlite:///calls.db"), SqlCallStore)
    assert isinstance(open_store("memory:"), MemoryCallStore)


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
