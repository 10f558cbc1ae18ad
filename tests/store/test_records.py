from __future__ import annotations

from typing import get_args

import pytest

from sipagent.store.records import Fact, moment_of
from tests.store.facts import (
    at,
    checkpoint,
    deleted,
    ended,
    latency,
    line,
    loaded,
    note,
    opened,
    recording,
    report,
    response_tokens,
    state,
    tool,
)

EXAMPLES: list[Fact] = [
    opened(second=1),
    state(1, "talking"),
    line("item_1", 1.0, "Hello."),
    tool(second=1),
    response_tokens(second=1),
    note(1),
    checkpoint(second=1),
    recording(second=1),
    deleted(second=1),
    report(second=1),
    ended(second=1),
    loaded(second=1),
]


@pytest.mark.parametrize("fact", EXAMPLES, ids=lambda fact: type(fact).__name__)
def test_a_fact_says_when_it_happened(fact: Fact) -> None:
    assert moment_of(fact) == at(1)


def test_only_a_latency_has_no_moment() -> None:
    assert moment_of(latency("accept", 0, 1.0)) is None
    assert {type(fact) for fact in EXAMPLES} | {type(latency("accept", 0, 1.0))} == set(get_args(Fact))
