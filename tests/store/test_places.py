from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.errors import UserError
from sipagent.store.places import spill_folder


def test_what_waits_for_a_file_lies_beside_it(tmp_path: Path) -> None:
    folder = spill_folder(f"sqlite:///{tmp_path / 'calls.db'}")
    assert folder is not None
    assert folder.parent == tmp_path / "sipagent-spill"
    assert folder.name.startswith("calls.db-")


def test_what_waits_for_a_server_lies_where_the_process_was_started() -> None:
    folder = spill_folder("postgresql://sipagent:secret@db.example/calls")
    assert folder is not None
    assert folder.parent == Path("sipagent-spill")
    assert folder.name.startswith("calls-")
    assert "secret" not in str(folder)


def test_one_folder_a_database_whatever_the_password_and_the_way_to_write_it(tmp_path: Path) -> None:
    def folder(url: str) -> Path | None:
        return spill_folder(url, tmp_path)

    one = folder("postgresql://a:one@db.example/calls")
    assert one == folder("postgres://b:two@db.example/calls")
    assert one is not None
    assert one.parent == tmp_path
    assert one != folder("postgresql://a:one@other.example/calls")
    assert one != folder("postgresql://a:one@db.example/others")
    assert folder("sqlite:////one/calls.db") != folder("sqlite:////two/calls.db")


def test_nothing_waits_for_memory() -> None:
    assert spill_folder("memory:") is None


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        spill_folder("calls.db")
