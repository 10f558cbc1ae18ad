"""Fields of a message, whatever it holds."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sipagent.realtime import wire_fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (3.0, 3),
        (3.9, 3),
        (-1, -1),
        (2**60 + 1, 2**60 + 1),
        (True, None),
        ("3", None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
    ],
)
def test_a_whole_number_is_one_or_none(value: Any, expected: int | None) -> None:
    assert wire_fields.optional_int({"n": value}, "n") == expected


def test_a_missing_field_is_nothing() -> None:
    assert wire_fields.optional_int({}, "n") is None
    assert wire_fields.optional_float({}, "n") is None
    assert wire_fields.optional_text({}, "n") is None
    assert wire_fields.optional_response_id({}) is None
    assert wire_fields.optional_object({}, "n") == {}
    assert wire_fields.objects_at({}, "n") == []
    assert wire_fields.count_at({}, "n") == 0


def test_what_must_be_there_is_named_when_it_is_not() -> None:
    with pytest.raises(wire_fields.MalformedError, match="delta is NoneType, not a string"):
        wire_fields.text_at({}, "delta")
    with pytest.raises(wire_fields.MalformedError, match="item is list, not an object"):
        wire_fields.object_at({"item": []}, "item")
    with pytest.raises(wire_fields.MalformedError, match="item_id is int"):
        wire_fields.item_id_at({"item_id": 1})
    with pytest.raises(wire_fields.MalformedError, match="response_id is dict"):
        wire_fields.response_id_at({"response_id": {}})


def test_a_list_gives_its_objects_only() -> None:
    assert wire_fields.objects_at({"n": [{"a": 1}, 2, None, "x", {}]}, "n") == [{"a": 1}, {}]
    assert wire_fields.objects_at({"n": {"a": 1}}, "n") == []


@given(JSON)
def test_reading_with_suspicion_never_raises(value: Any) -> None:
    message = {"n": value, "response_id": value}
    number = wire_fields.optional_float(message, "n")
    assert number is None or isinstance(number, float)
    assert isinstance(wire_fields.count_at(message, "n"), int)
    assert all(isinstance(each, dict) for each in wire_fields.objects_at(message, "n"))
    assert isinstance(wire_fields.optional_object(message, "n"), dict)
    for read in (wire_fields.optional_text(message, "n"), wire_fields.optional_response_id(message)):
        assert read is None or isinstance(read, str)
