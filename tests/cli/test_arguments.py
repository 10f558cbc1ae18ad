from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipagent.cli.arguments import duration_s, host_and_port, moment, port, positive_count, sip_address


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30.0), ("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0), ("250ms", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


def test_addresses() -> None:
    assert host_and_port("127.0.0.1:80") == ("127.0.0.1", 80)
    assert host_and_port("[::1]:0") == ("::1", 0)
    assert str(sip_address("tcp:127.0.0.1:5060")) == "tcp:127.0.0.1:5060"
    assert port("65535") == 65_535


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    assert moment("2026-11-30") == datetime(2026, 11, 30, tzinfo=UTC)
    assert moment("2026-11-30T09:00+02:00") == datetime(2026, 11, 30, 9, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize("text", ["", ":", "host", "host:", ":80", "host:x", "host:70000", "host:٨٠"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        host_and_port(text)


@pytest.mark.parametrize("text", ["", "-1s", "10 parsecs", "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration_s(text)


def test_counts_begin_at_one() -> None:
    assert positive_count("7") == 7
    for text in ("0", "-1", "many"):
        with pytest.raises(argparse.ArgumentTypeError):
            positive_count(text)
