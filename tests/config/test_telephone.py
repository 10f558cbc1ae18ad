from __future__ import annotations

import pytest

from sipagent.config.telephone import parse_e164, parse_transfer_uri
from sipagent.config.values import BadValueError


def test_a_number_is_international() -> None:
    assert parse_e164("+15550100123") == "+15550100123"


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("+1 (555) 010-0123", '"+15550100123"'),
        ("5550100123", "country code"),
        ("+05550100", "country code"),
        ("+1555010012345678", "country code"),
        (15550100123, "quotes"),
        ("+١٥٥٥٠١٠٠١٢٣", "+15550100123"),
    ],
)
def test_a_number_that_is_not_says_how(written: object, remedy: str) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_e164(written)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "written",
    [
        "tel:+15550100001",
        "sip:desk@pbx.example.com",
        "sips:desk@pbx.example.com:5061;transport=tls",
        "sip:pbx.example.com",
        "sip:7@[2001:db8::1]:5060",
    ],
)
def test_an_address_to_transfer_to(written: str) -> None:
    assert parse_transfer_uri(written) == written


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("+15550100001", '"tel:+15550100001"'),
        ("tel:5550100001", "tel:+15550100001"),
        ("sip:", "sip:desk@"),
        ("sip:a b@example.com", "sip:desk@"),
        ("sip:desk@example.com\r\nX-Evil: 1", "sip:desk@"),
        ("sip:desk@example.com?Replaces=1", "sip:desk@"),
        ("billing", "tel:"),
        (7, "tel:"),
    ],
)
def test_what_is_no_address_says_what_one_is(written: object, remedy: str) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_transfer_uri(written)
    assert remedy in caught.value.remedy
