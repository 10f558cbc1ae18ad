from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.escapes import in_json, one_line, some_lines, whole

ANY = st.text(st.characters(codec=None))  # lone surrogates too
STEERING = {"Cc", "Cs", "Zl", "Zp"}


def steers(text: str) -> list[str]:
    """The characters of ``text`` that no terminal should get from a stranger."""
    bidirectional = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    return [
        letter
        for letter in text
        if unicodedata.category(letter) in STEERING or unicodedata.bidirectional(letter) in bidirectional
    ]


@given(ANY)
def test_one_line_is_one_and_steers_nothing(text: str) -> None:
    shown = one_line(text)
    assert not steers(shown)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@given(ANY)
def test_some_lines_keep_their_breaks_and_nothing_else(text: str) -> None:
    assert set(steers(some_lines(text))) <= {"\n", "\t"}
    assert some_lines(text).count("\n") == text.count("\n")


@given(
    st.recursive(ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner))
)
def test_json_means_the_same_and_steers_nothing(value: object) -> None:
    written = in_json(json.dumps(value, ensure_ascii=False))
    assert not steers(written)
    assert json.loads(written) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 你好 👋", "Grüße, 你好 👋"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred\x9b0m\x07", "\\x1b[31mred\\x9b0m\\x07"),
        ("abc\u202edcb\u2066", "abc\\u202edcb\\u2066"),
        ("\u2028\ufeff\ud800\x00\x7f", "\\u2028\\ufeff\\ud800\\x00\\x7f"),
        ("tag\U000e0041", "tag\\U000e0041"),
    ],
)
def test_what_stands_for_what(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_json_beyond_the_basic_plane_is_a_pair() -> None:
    assert in_json('"\U000e0041"') == '"\\udb40\\udc41"'
    assert json.loads(in_json('"\U000e0041"')) == "\U000e0041"


@given(ANY)
def test_whole_text_can_be_encoded_and_keeps_what_could_be(text: str) -> None:
    written = whole(text)
    written.encode("utf-8")
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert written == text
    assert whole("a\ud800b") == "a\ufffdb"
