"""Regular expressions that cannot take for ever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.patterns import WINDOW, bounded_pattern, windows
from sipagent.errors import UserError


@pytest.mark.parametrize(
    "pattern",
    [
        "refund",
        "card.*number",
        r"\b(?:\d[ -]?){13,16}\b",
        "(foo|bar)+",
        "[0-9]+",
        r"^[A-Z]{2}\d{3,8}$",
        "(?:ab?)*",
        r"(\w+\s+)*$",
        r"password\s*[:=]\s*\S+",
        r"\b[\w.+-]+@[\w-]+\.[\w.]+\b",
        r"\b(?:IBAN|[A-Z]{2}\d{2})(?: ?\w{4}){3,7}\b",
        r"(?=.*\d)x",
        r"(a)?(?(1)b|c)",
        "",
    ],
)
def test_patterns_as_people_write_them_are_taken(pattern: str) -> None:
    assert bounded_pattern(pattern).pattern == pattern


EVIL = [
    "(a+)+b",
    "(a|a)*b",
    ".*.*.*x",
    r"(\w+\s?)*$",
    "(x+x+)+y",
    "(.*)*",
    "(a|aa)+$",
    "([a-z]+[0-9]*)+!",
    "(a?){30}a{30}",
    "(?=(a+)+b)",
]


@pytest.mark.parametrize("pattern", EVIL)
def test_patterns_that_may_never_end_are_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="for ever"):
        bounded_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(", "[", "a{2,1}", "(?P<a>x)(?P<a>y)", "\\"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="no regular expression"):
        bounded_pattern(pattern)


ATOMS = st.sampled_from(["a", "b", "[ab]", ".", r"\w", r"\d", r"\s", "[^a]", "ab", "é"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2,5}", "*?", "{0,40}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        )
        | st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})")
    ),
    max_leaves=6,
)


@given(PATTERNS, st.sampled_from(["a", "ab", "a b", "1", "é "]))
def test_what_is_taken_ends_soon(pattern: str, text: str) -> None:
    try:
        compiled = bounded_pattern(f"{pattern}$", re.IGNORECASE)
    except UserError:
        return
    began = time.perf_counter()
    compiled.search((text * WINDOW)[: WINDOW - 1] + "!")
    assert time.perf_counter() - began < 20


@given(st.text(max_size=WINDOW * 5), st.integers(0, WINDOW * 5), st.integers(1, WINDOW // 2))
def test_every_short_part_of_a_text_is_in_a_window(text: str, start: int, length: int) -> None:
    part = text[start : start + length]
    assert any(part in window for window in windows(text))
    assert all(len(window) <= WINDOW for window in windows(text))
