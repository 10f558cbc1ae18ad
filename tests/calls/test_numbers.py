"""Numbers in SIP headers, as carriers write them and as strangers do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.numbers import PRESETS, NumberPattern, NumberRules, as_number, read_numbers

GERMAN = NumberRules(default_country="DE")


@pytest.mark.parametrize(
    ("value", "caller"),
    [
        ("<sip:+15550100123@carrier.test>;tag=15559999999", "+15550100123"),
        (
            '"Ann <sip:+19995550100@evil.test>" <sip:+15550100123@carrier.test;user=phone>;tag=1',
            "+15550100123",
        ),
        ('"quote \\" <sip:+19995550100@x>" <sip:+15550100123@x>', "+15550100123"),
        ("sip:+15550100123@carrier.test;tag=77", "+15550100123"),
        ("<sips:+1-555-010-0123@x>", "+15550100123"),
        ("<sip:+15550100123;npdi;rn=+1999@x>", "+15550100123"),
        ("<sip:%2B15550100123@x>", "+15550100123"),
        ("<tel:+1(555)010-0123>", "+15550100123"),
        ("<tel:030-123456;phone-context=+49>", "+4930123456"),
        ("<sip:0015550100123@x>", "+15550100123"),
        ("<sip:030123456@pbx.test>", "+4930123456"),
        ("<sip:100@pbx.test>", "100"),
        ("<sip:ann@example.test>", "ann"),
        ("+15550100123", "+15550100123"),
        ('"Anonymous" <sip:anonymous@anonymous.invalid>', None),
        ("<sip:Restricted@x>", None),
        ("<sip:x.test>", None),
        ("<sip:proj_demo@sip.api.openai.com>", None),
        ("", None),
        ("<", None),
    ],
)
def test_a_number_is_what_stands_in_the_address(value: str, caller: str | None) -> None:
    assert read_numbers([("From", value)], GERMAN) == (caller, None)


def test_the_first_header_that_holds_a_number_counts() -> None:
    headers = [
        ("To", "<sip:proj_demo@sip.api.openai.com>"),
        ("diversion", "<sip:+15550100000@twilio.test>;reason=unconditional"),
        ("From", "<sip:+15550100123@x>"),
        ("P-Asserted-Identity", "<sip:+15550100124@x>"),
    ]
    assert read_numbers(headers, NumberRules()) == ("+15550100124", "+15550100000")
    assert read_numbers(headers, PRESETS["twilio"]) == ("+15550100123", "+15550100000")
    assert read_numbers(headers, NumberRules(dialled_headers=("To",))) == ("+15550100124", None)


def test_a_caller_who_asks_for_privacy_has_no_number() -> None:
    headers = [("P-Asserted-Identity", "<sip:+15550100124@x>"), ("Privacy", "header; id")]
    assert read_numbers(headers, NumberRules()) == (None, None)


HOSTILE = st.one_of(
    st.text(alphabet=st.sampled_from('<>";:@\\%+0159 \r\n\x00é=?sipteltag,()-.'), max_size=60),
    st.text(max_size=60),
)
HEADERS = st.lists(st.tuples(st.sampled_from(["From", "To", "Diversion", "Privacy"]), HOSTILE), max_size=5)


@given(headers=HEADERS)
def test_whatever_headers_hold_the_result_is_a_number_or_short_and_printable(
    headers: list[tuple[str, str]],
) -> None:
    for number in read_numbers(headers, GERMAN):
        assert number is None or re.fullmatch(r"[\x21-\x7e]{0,100}", number), number


@given(text=HOSTILE)
def test_what_is_no_number_stays_readable(text: str) -> None:
    assert re.fullmatch(r"[\x21-\x7e]{0,100}", as_number(text, "US"))


@pytest.mark.parametrize(
    ("pattern", "number", "matches"),
    [
        ("+15550100123", "+15550100123", True),
        ("+15550100123", "+155501001234", False),
        ("+1555*", "+15550100123", True),
        ("+1556*", "+15550100123", False),
        ("*", "+15550100123", True),
        ("*", None, False),
        ("anonymous", None, True),
        ("anonymous", "+15550100123", False),
        ("100", "100", True),
    ],
)
def test_a_pattern_means_some_numbers(pattern: str, number: str | None, matches: bool) -> None:
    assert NumberPattern(pattern).matches(number) is matches
