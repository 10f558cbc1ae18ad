from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from sipagent.store.tables import METADATA, PlainText, UtcDateTime

KIND = UtcDateTime()


def test_a_moment_is_kept_in_utc() -> None:
    there = datetime(2026, 3, 1, 2, 0, tzinfo=timezone(timedelta(hours=-7)))
    kept = KIND.process_bind_param(there, sqlite.dialect())
    assert kept == there
    assert kept is not None
    assert kept.tzinfo is UTC
    assert KIND.process_result_value(kept.replace(tzinfo=None), sqlite.dialect()) == there
    assert KIND.process_result_value(there, postgresql.dialect()) == there  # type: ignore[no-untyped-call]
    assert KIND.process_bind_param(None, sqlite.dialect()) is None
    assert KIND.process_result_value(None, sqlite.dialect()) is None


def test_a_moment_without_a_zone_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="zone"):
        KIND.process_bind_param(datetime(2026, 3, 1), sqlite.dialect())  # noqa: DTZ001 - the mistake itself


def test_every_list_of_a_call_belongs_to_a_call() -> None:
    for table in METADATA.tables.values():
        # A call is claimed, commands for it may come, and its carrier may tell of it before anything of it is
        # written down.
        if table.name not in {
            "calls", "configurations", "workers", "live_calls", "effects", "commands", "carrier_reports",
        }:  # fmt: skip
            assert [key.target_fullname for key in table.foreign_keys] == ["calls.call_id"], table.name


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("plain", "plain"),
        ("naïve 🦷", "naïve 🦷"),
        ("lone \ud83d.", "lone \ufffd."),
        ("a pair \ud83e\uddb7", "a pair 🦷"),
        ("\0", "\ufffd"),
        ("ü\0", "ü\ufffd"),
        ("", ""),
        (None, None),
    ],
)
def test_text_becomes_writable(said: str | None, kept: str | None) -> None:
    assert PlainText().process_bind_param(said, sqlite.dialect()) == kept
