from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.sources import TRUSTED_S, FailureLimit, Sources, whole_seconds

PROXY = "10.1.2.3"
STRANGER = "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        (STRANGER, [], STRANGER),
        (STRANGER, ["203.0.113.9"], STRANGER),
        (PROXY, [STRANGER], STRANGER),
        (PROXY, ["203.0.113.9, " + STRANGER], STRANGER),
        (PROXY, ["203.0.113.9", STRANGER], STRANGER),
        (PROXY, [f"{STRANGER}, 192.168.7.7"], STRANGER),
        (PROXY, [f"{STRANGER}:4711"], STRANGER),
        (PROXY, ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", [], "2001:db8:1:2::/64"),
        (f"::ffff:{STRANGER}", [], STRANGER),
        (PROXY, [], None),
        (PROXY, ["nonsense"], None),
        (PROXY, [f"{STRANGER}, nonsense"], None),
        ("127.0.0.1", [PROXY], None),
        (None, [STRANGER], None),
        ("", [], None),
    ],
)
def test_whoever_is_nearest_and_not_trusted_is_the_source(
    peer: str | None, forwarded: list[str], source: str | None
) -> None:
    assert Sources().source_of(peer, forwarded) == source


def test_only_proxies_that_are_named_are_believed() -> None:
    sources = Sources([ip_network("203.0.113.0/24")])
    assert sources.source_of(PROXY, [STRANGER]) == PROXY
    assert sources.source_of("203.0.113.1", [STRANGER]) == STRANGER


@given(st.text(max_size=60) | st.none(), st.lists(st.text(max_size=60), max_size=5))
def test_no_header_breaks_it(peer: str | None, forwarded: list[str]) -> None:
    Sources().source_of(peer, forwarded)
    found = Sources().source_of(PROXY, forwarded)
    assert found is None or found.isprintable()


def test_a_header_without_end_is_read_in_part() -> None:
    assert Sources().source_of(PROXY, ["127.0.0.1," * 100_000 + STRANGER]) == STRANGER
    assert Sources().source_of(PROXY, [STRANGER + ", 127.0.0.1" * 100_000]) is None


def test_failures_are_borne_up_to_a_limit_and_forgotten_with_time() -> None:
    limit = FailureLimit(burst=3, per_minute=6)
    assert [limit.failed(STRANGER, 0.0) for _ in range(4)] == [False, False, True, False]
    assert limit.blocked_s(STRANGER, 0.0) == pytest.approx(10.0)
    assert limit.blocked_s(STRANGER, 9.0) == pytest.approx(1.0)
    assert limit.blocked_s(STRANGER, 10.0) == 0.0
    assert limit.failed(STRANGER, 10.0), "one more, and it is blocked again"
    assert limit.blocked_s("203.0.113.9", 0.0) == 0.0


def test_a_long_rest_gives_no_more_than_the_burst() -> None:
    limit = FailureLimit(burst=2, per_minute=60)
    limit.failed(STRANGER, 0.0)
    limit.failed(STRANGER, 1000.0)
    assert limit.blocked_s(STRANGER, 1000.0) == 0.0
    limit.failed(STRANGER, 1000.0)
    assert limit.blocked_s(STRANGER, 1000.0) > 0.0


def test_who_cannot_be_told_apart_is_never_blocked() -> None:
    limit = FailureLimit(burst=1, per_minute=1)
    assert not any(limit.failed(None, 0.0) for _ in range(100))
    assert limit.blocked_s(None, 0.0) == 0.0


def test_the_table_stays_small() -> None:
    limit = FailureLimit(burst=1, per_minute=1, capacity=10)
    for number in range(1000):
        limit.failed(f"198.51.100.{number}", 0.0)
    assert len(limit) == 10
    assert limit.blocked_s("198.51.100.999", 0.0) > 0.0


def test_waiting_times_are_rounded_up() -> None:
    assert [whole_seconds(s) for s in (0.0, 0.2, 1.0, 1.1)] == ["1", "1", "1", "2"]


def test_who_was_right_lately_is_listened_to_whatever_else_comes_from_there() -> None:
    limit = FailureLimit(burst=2, per_minute=6.0, capacity=3)
    limit.succeeded("198.51.100.7", 100.0)
    limit.succeeded(None, 100.0)
    for _ in range(5):
        limit.failed("198.51.100.7", 101.0)
        limit.failed("198.51.100.8", 101.0)
    assert limit.blocked_s("198.51.100.7", 101.0) == 0
    assert limit.blocked_s("198.51.100.8", 101.0) > 0
    later = 100.0 + TRUSTED_S
    for _ in range(5):
        limit.failed("198.51.100.7", later)
    assert limit.blocked_s("198.51.100.7", later) > 0
    for number in range(9):
        limit.succeeded(f"198.51.100.{number}", later)
    assert len(limit._trusted) == 3
