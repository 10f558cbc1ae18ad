"""Calls that a dialplan announces."""

from __future__ import annotations

from uuid import UUID

from sipagent.carrier.announced import MOST_ANNOUNCED, MOST_REMEMBERED, WAIT_S, Announced, AnnouncedCalls

CALL = Announced(caller="+15550100123", dialled="100")


def test_a_call_comes_once_and_in_time() -> None:
    calls = AnnouncedCalls()
    assert calls.take(UUID(int=1), 0.0) is None
    assert calls.announce(UUID(int=1), CALL, 0.0)
    assert calls.take(UUID(int=1), WAIT_S) == CALL
    assert calls.take(UUID(int=1), WAIT_S) is None
    calls.announce(UUID(int=2), CALL, 0.0)
    assert calls.take(UUID(int=2), WAIT_S + 0.1) is None


def test_there_are_only_so_many() -> None:
    calls = AnnouncedCalls()
    assert all(calls.announce(UUID(int=number), CALL, 0.0) for number in range(MOST_ANNOUNCED))
    assert not calls.announce(UUID(int=MOST_ANNOUNCED), CALL, 1.0)
    assert calls.announce(UUID(int=MOST_ANNOUNCED), CALL, WAIT_S + 1), "the others did not come"


def test_numbers_are_bounded_and_outcomes_forgotten() -> None:
    calls = AnnouncedCalls()
    calls.announce(UUID(int=1), Announced(caller="1" * 999, dialled=None), 0.0)
    found = calls.take(UUID(int=1), 0.0)
    assert found is not None
    assert len(found.caller or "") == 64
    for number in range(MOST_REMEMBERED + 1):
        calls.ended(UUID(int=number), "ended")
    assert calls.outcome(UUID(int=0)) is None
    assert calls.outcome(UUID(int=1)) == "ended"
