from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.pointers import MISSING, is_pointer, value_at


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "~1": 9}),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/foo/1", "baz"),
        ("/foo/2", MISSING),
        ("/foo/-", MISSING),
        ("/foo/01", MISSING),
        ("/foo/0/x", MISSING),
        ("/", 0),
        ("/a~1b", 1),
        ("/m~0n", 8),
        ("/~01", 9),
        ("/nowhere/x", MISSING),
    ],
)
def test_pointers_are_followed_as_rfc_6901_says(pointer: str, found: Any) -> None:
    assert value_at({"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8, "~1": 9}, pointer) == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(JSON, st.lists(st.text(max_size=3) | st.sampled_from(["0", "1", "999999999"]), max_size=4))
def test_no_pointer_raises_on_any_answer(document: Any, tokens: list[str]) -> None:
    value_at(document, "".join(f"/{token.replace('~', '~0').replace('/', '~1')}" for token in tokens))


@pytest.mark.parametrize(
    ("text", "fits"), [("", True), ("/a\n/~0~1", True), ("a", False), ("/~2", False), ("/~", False)]
)
def test_what_a_pointer_is(text: str, fits: bool) -> None:
    assert is_pointer(text) is fits
