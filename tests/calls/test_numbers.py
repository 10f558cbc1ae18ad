"""Numbers in SIP headers, as carriers write them and as strangers do."""

from __future__ import annotations

import re
import time

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
        ("<sip:+49 (0)30 123456@x>", "+4930123456"),
        ("<sip:+49030123456@x>", "+4930123456"),
        ("<sip:+3906123456@x>", "+3906123456"),  # Italy keeps its zero
        ("<sip:0049-30-123456@x>", "+4930123456"),
        ("<sip:+15550100123:secret@x>", "+15550100123"),
        ("<sip:+15550100123;isub=5550199@x>", "+15550100123"),
        ("<sip:%0d%0a+15550100123@x>", "+15550100123"),
        ("<sip:+15550100123@x", "+15550100123"),
        ("<sip:proj_demo@x>, <tel:+15550100123>", "+15550100123"),
        ("sip:proj_demo@x;user=phone, sip:+15550100123@x", "+15550100123"),
        ("<tel:100;phone-context=pbx.test>", "100"),
        ("<tel:030-123456;phone-context=+-->", "+4930123456"),
        ("<tel:0123;phone-context=+999>", "0123"),
        ("<tel:call15550100123;phone-context=+1>", "call15550100123"),
        ("<sip:call15550100123@x>", "call15550100123"),
        ("<sip:ann%00%0d%0aVia:%20x@x>", "annVia"),
        ("<sip:%E2%98%8E@x>", None),
        ("<sip:12@pbx.test>", "12"),
        ("<sip:5550100@x>", "+495550100"),
        ("<sip:+15550100123@anonymous.invalid>", None),
        ("<sip:+266696687@x>", None),  # "anonymous" on the keys of a telephone
        ("<sip:x.test?a=b@c>", None),
        ("<mailto:ann@example.test>", None),
        ('"no end <sip:+15550100123@x>', None),
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


def test_a_number_without_its_area_is_no_number_of_the_country() -> None:
    american = NumberRules(default_country="US")
    assert read_numbers([("From", "<sip:5550100@x>")], american) == ("5550100", None)
    assert read_numbers([("From", "<sip:(555) 010-0123@x>")], american) == ("+15550100123", None)
    assert read_numbers([("From", "<sip:01149301234567@x>")], american) == ("+49301234567", None)


def test_a_number_counts_before_a_name_that_stands_earlier() -> None:
    headers = [("To", "<sip:openai@pbx.test>"), ("Diversion", "<sip:+15550100000@pbx.test>")]
    assert read_numbers(headers, PRESETS["asterisk"]) == (None, "+15550100000")
    assert read_numbers(headers[:1], PRESETS["asterisk"]) == (None, "openai")


def test_short_names_of_headers_are_names_too() -> None:
    headers = [("f", "<sip:+15550100123@x>"), ("t", "<sip:+15550100000@x>")]
    assert read_numbers(headers, NumberRules()) == ("+15550100123", "+15550100000")


def test_whoever_hides_when_passing_a_call_on_does_not_hide_what_was_dialled() -> None:
    headers = [("Diversion", "<sip:anonymous@anonymous.invalid>"), ("To", "<sip:+15550100000@x>")]
    assert read_numbers(headers, NumberRules()) == (None, "+15550100000")


def test_an_identity_that_is_withheld_is_looked_for_nowhere_else() -> None:
    headers = [
        ("P-Asserted-Identity", "<sip:anonymous@anonymous.invalid>"),
        ("From", "<sip:+15550100123@x>"),
    ]
    assert read_numbers(headers, NumberRules()) == (None, None)


def test_each_preset_reads_the_calls_of_its_carrier() -> None:
    here = ("To", "<sip:proj_demo@sip.api.openai.com;transport=tls>")
    caller = ("From", '"Ann" <sip:+15550100123@x>;tag=1')
    dialled = {
        "twilio": ("Diversion", "<sip:+15550100000@twilio.test>;reason=unconditional"),
        "telnyx": ("P-Called-Party-ID", "<sip:+15550100000@x>"),
        "asterisk": ("X-Dialled", "+15550100000"),
    }
    assert dialled.keys() == PRESETS.keys()
    for preset, header in dialled.items():
        assert read_numbers([here, caller, header], PRESETS[preset]) == ("+15550100123", "+15550100000")


def test_a_header_of_any_length_is_read_in_no_time() -> None:
    for value in ('"' * 200_000, "<" * 200_000, '"\\' * 100_000, "sip:" * 50_000, "(" * 200_000):
        began = time.process_time()
        assert read_numbers([("From", value), ("To", value)], GERMAN) is not None
        assert time.process_time() - began < 0.5


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
        assert number is None or re.fullmatch(r"[\x21-\x7e]{1,100}", number), number


@given(text=HOSTILE)
def test_what_is_no_number_stays_readable(text: str) -> None:
    assert re.fullmatch(r"[\x21-\x7e]{0,100}", as_number(text, "US"))


@given(
    country=st.sampled_from(["DE", "US", "IT", "GB"]),
    digits=st.from_regex(r"0?0?[1-9][0-9]{0,15}", fullmatch=True),
)
def test_a_number_that_was_read_is_read_the_same_again(country: str, digits: str) -> None:
    number = as_number(digits, country)
    if number.startswith("+"):
        assert re.fullmatch(r"\+[1-9][0-9]{3,14}", number)
        assert as_number(number) == as_number(number, "FR") == number
    else:
        assert number == digits


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
