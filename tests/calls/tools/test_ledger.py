"""What was done in one call, and is not done twice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.tools.ledger import MOST_ENTRIES, Ledger, work_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_new_work_begins_and_the_same_work_does_not() -> None:
    ledger = Ledger()
    assert ledger.begin("book a", "call_1") is None
    again = ledger.begin("book a", "call_2")
    assert again is not None
    assert again.state == "running"
    ledger.done("book a", "number 7")
    assert (again.state, again.outcome, again.tool_call_id) == ("done", "number 7", "call_1")
    assert ledger.begin("book b", "call_3") is None


def test_work_that_failed_without_effect_may_begin_again_but_not_by_the_same_call() -> None:
    ledger = Ledger()
    assert ledger.begin("book a", "call_1") is None
    ledger.failed("book a", "none", "the slot is taken")
    told_twice = ledger.begin("book a", "call_1")
    assert told_twice is not None
    assert (told_twice.state, told_twice.outcome) == ("failed", "the slot is taken")
    assert ledger.begin("book a", "call_2") is None


def test_work_whose_effect_is_unknown_never_begins_again() -> None:
    ledger = Ledger()
    assert ledger.begin("book a", "call_1") is None
    ledger.failed("book a", "unknown", "no answer")
    for tool_call_id in ("call_1", "call_2"):
        entry = ledger.begin("book a", tool_call_id)
        assert entry is not None
        assert entry.state == "unclear"


def test_work_ends_once() -> None:
    ledger = Ledger()
    ledger.begin("book a", "call_1")
    ledger.done("book a", "")
    with pytest.raises(AssertionError):
        ledger.failed("book a", "unknown", "")


def test_a_full_ledger_begins_nothing_and_forgets_nothing() -> None:
    ledger = Ledger()
    for number in range(MOST_ENTRIES):
        assert ledger.begin(f"work {number}", f"call_{number}") is None
        ledger.done(f"work {number}", number)
    beyond = ledger.begin("one more", "call_x")
    assert beyond is not None
    assert beyond.state == "full"
    first = ledger.begin("work 0", "call_y")
    assert first is not None
    assert (first.state, first.outcome) == ("done", 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        ('{"a": 1}', '{"a": 1.0}'),
        ('{"a": [{"b": 2.0}]}', '{"a": [{"b": 2}]}'),
        ("", "{}"),
        ('{"a": "\\u00e9"}', '{"a": "é"}'),
    ],
)
def test_arguments_that_mean_the_same_name_the_same_work(one: str, other: str) -> None:
    assert work_key("book", one) == work_key("book", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [('{"a": 1}', '{"a": "1"}'), ('{"a": 1}', '{"a": true}'), ('{"a": 1.5}', '{"a": 1}'), ("{", "{ ")],
)
def test_arguments_that_mean_something_else_do_not(one: str, other: str) -> None:
    assert work_key("book", one) != work_key("book", other)


def test_another_tool_does_other_work() -> None:
    assert work_key("book", "{}") != work_key("cancel", "{}")


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_the_way_json_is_written_does_not_matter(arguments: dict[str, object]) -> None:
    turned = dict(reversed(arguments.items()))
    one = json.dumps(arguments, indent=2)
    assert work_key("book", one) == work_key("book", json.dumps(turned, ensure_ascii=False))


@given(st.text())
def test_any_text_is_a_key(arguments: str) -> None:
    assert work_key("book", arguments) == work_key("book", arguments)


def test_the_name_of_work_is_short_however_long_its_arguments_are() -> None:
    texts = ["x" * 5000, "x" * 5001, "\u00e4" * 5000, "not JSON \udc80" * 500]
    keys = {
        work_key("take_message", text) for text in (*texts, *(json.dumps({"text": each}) for each in texts))
    }
    assert len(keys) == 8
    assert all(len(key.encode()) < 400 for key in keys)
    assert work_key("a", json.dumps({"b": "x" * 5000, "c": 1})) == work_key(
        "a", json.dumps({"c": 1.0, "b": "x" * 5000})
    )
