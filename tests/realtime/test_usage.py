"""Adding up what responses consume."""

from __future__ import annotations

from dataclasses import fields

from sipagent.realtime.usage import ResponseUsage, Usage


def test_every_count_is_added_up() -> None:
    names = [each.name for each in fields(ResponseUsage)]
    first = ResponseUsage(**{name: index + 1 for index, name in enumerate(names)})
    total = Usage()
    total.add(first)
    total.add(first)
    total.add(ResponseUsage(input_tokens=5))
    assert total.requests == 3
    for index, name in enumerate(names):
        assert getattr(total, name) == 2 * (index + 1) + (5 if name == "input_tokens" else 0)


def test_a_total_knows_every_count_of_a_response() -> None:
    assert {each.name for each in fields(Usage)} == {each.name for each in fields(ResponseUsage)} | {
        "requests"
    }
