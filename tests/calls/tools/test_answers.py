"""What of an HTTP answer the model gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.tools.answers import (
    LONGEST_COMPLAINT,
    LONGEST_RESULT,
    Wanted,
    check_wanted,
    complaint,
    result_text,
)
from sipagent.errors import UserError

ORDER = {"order": {"number": 7, "items": ["tea", "cup"], "note": None, "a/b": {"m~n": True}}, "text": "hello"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, json.dumps(ORDER)),
        ("/text", "hello"),
        ("/order/number", "7"),
        ("/order/items/1", "cup"),
        ("/order/note", "null"),
        ("/order/a~1b/m~0n", "true"),
        ("", json.dumps(ORDER)),
        ({"number": "/order/number", "gone": "/order/gone"}, '{"number": 7, "gone": null}'),
    ],
)
def test_parts_are_found(wanted: Wanted, expected: str) -> None:
    assert result_text(json.dumps(ORDER).encode(), "utf-8", wanted) == expected


@pytest.mark.parametrize("pointer", ["/order/items/2", "/order/items/01", "/order/items/-1", "/x", "/text/0"])
def test_a_part_that_is_not_there_is_said_to_be_missing(pointer: str) -> None:
    told = result_text(json.dumps(ORDER).encode(), "utf-8", pointer)
    assert told == f"The request went through, but the answer has nothing at {pointer}."


def test_text_is_text() -> None:
    assert result_text("Grüße\x00!".encode(), "utf-8", None) == "Grüße !"
    assert result_text("Grüße".encode("latin-1"), "latin-1", None) == "Grüße"
    assert "no JSON" in result_text(b"hello", "utf-8", "/x")
    assert result_text(b"", "utf-8", None) == "Done; there is nothing to tell."


def test_unusual_letters_stay_letters() -> None:
    assert result_text('{"a": "Grüße 你好"}'.encode(), "utf-8", None) == '{"a": "Grüße 你好"}'


def test_what_is_too_long_is_cut_and_says_so() -> None:
    told = result_text(json.dumps("x" * 20_000).encode(), "utf-8", None)
    assert len(told) < LONGEST_RESULT + 100
    assert "the whole has 20000 characters" in told


def test_a_complaint_is_one_short_line() -> None:
    told = complaint(b"no\r\nsuch\x1b[31m  order " + b"x" * 2000, "utf-8")
    assert told.startswith("no such [31m order xxx")
    assert len(told) < LONGEST_COMPLAINT + 100


@pytest.mark.parametrize("wanted", ["a", "a/b", "/a~2", "/a~", {"a": "b"}, {}])
def test_what_is_no_pointer_is_refused(wanted: Any) -> None:
    with pytest.raises(UserError):
        check_wanted(wanted)


@given(
    st.binary(max_size=200),
    st.sampled_from(["utf-8", "latin-1", "utf-16", "nonsense", "idna", ""]),
    st.sampled_from([None, "/a", {"a": "/a"}]),
)
def test_any_bytes_in_any_encoding_give_a_text(content: bytes, charset: str, wanted: Wanted) -> None:
    assert result_text(content, charset, wanted).encode()
    complaint(content, charset).encode()


def test_half_a_character_does_not_get_out() -> None:
    assert result_text(b'{"a": "x\\ud800y"}', "utf-8", "/a") == "x?y"
