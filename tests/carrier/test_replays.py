"""Copies of deliveries: a second try gets its answer, a later copy gets nothing."""

from __future__ import annotations

import pytest

from sipagent.carrier.replays import KEEP_S, RETRY_WINDOW_S, SeenDeliveries, SeenLegs
from sipagent.errors import WebhookLateError, WebhookReplayedError


def test_a_second_try_gets_the_first_answer() -> None:
    seen: SeenDeliveries[str] = SeenDeliveries()
    assert seen.answer_of("a", 0) is None
    seen.remember("a", "answer", 0)
    assert seen.answer_of("a", RETRY_WINDOW_S) == "answer"
    assert seen.answer_of("b", 1) is None
    with pytest.raises(WebhookReplayedError):
        seen.answer_of("a", RETRY_WINDOW_S + 1)


def test_what_was_not_answered_is_new() -> None:
    seen: SeenDeliveries[str] = SeenDeliveries()
    seen.remember("a", "answer", 0)
    seen.forget("a")
    seen.forget("never")
    assert seen.answer_of("a", 1) is None


def test_memory_is_bounded() -> None:
    seen: SeenDeliveries[int] = SeenDeliveries(capacity=3)
    for number in range(10):
        seen.remember(str(number), number, number)
    assert len(seen) == 3
    assert seen.answer_of("9", 10) == 9
    assert seen.answer_of("0", 10) is None
    assert seen.answer_of("new", 10 + KEEP_S + 1) is None
    assert len(seen) == 0


def test_a_leg_is_announced_while_it_rings() -> None:
    legs = SeenLegs(capacity=2)
    legs.announced("a", 0)
    legs.announced("a", RETRY_WINDOW_S)
    with pytest.raises(WebhookLateError):
        legs.announced("a", RETRY_WINDOW_S + 1)
    legs.announced("b", 100)
    legs.announced("c", 100)
    legs.announced("a", 200)
