"""Tokens: what we wrote comes back as it was, and nothing else is believed."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.tokens import (
    CLOCKS_APART_S,
    LONGEST_AGE_S,
    LONGEST_TOKEN,
    TOKEN_HEADER,
    LegToken,
    LegTokens,
    route_mark,
)
from sipagent.errors import UserError, WebhookLateError, WebhookSignatureError
from tests.carrier.legs import CONTROL_LEG, LEG, NOW_S, TEXML_LEG, token

TOKENS = LegTokens({"twilio": ["secret", "older"], "telnyx": ["another"]})
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)


@given(
    carrier=st.sampled_from(["twilio", "telnyx"]),
    leg_id=TEXT,
    caller=st.none() | TEXT,
    dialled=st.none() | TEXT,
    route=TEXT,
    step=st.integers(0, 1000),
    offer=st.none() | TEXT,
)
def test_what_is_written_is_read(
    carrier: str,
    leg_id: str,
    caller: str | None,
    dialled: str | None,
    route: str,
    step: int,
    offer: str | None,
) -> None:
    leg = CarrierLeg(carrier=carrier, carrier_call_id=leg_id, caller=caller, dialled=dialled)
    written = LegToken(leg=leg, route=route_mark(route), step=step, issued_at=NOW_S, offer=offer)
    text = TOKENS.issue(written)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", text)
    assert TOKENS.read(text, NOW_S) == written


@given(
    text=st.text(max_size=300) | st.from_regex(r"1\.[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,30}", fullmatch=True)
)
def test_nothing_that_others_write_is_read(text: str) -> None:
    with pytest.raises(WebhookSignatureError):
        TOKENS.read(text, NOW_S)


@given(data=st.data())
def test_no_change_of_one_character_is_believed(data: st.DataObject) -> None:
    text = TOKENS.issue(token())
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0123456789-_.%=é"))
    changed = text[:place] + other + text[place + 1 :]
    if changed == text:
        return
    with pytest.raises(WebhookSignatureError):
        TOKENS.read(changed, NOW_S)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"null", b"[1,2,3,4,5,6,7,8,9,10]", b"[" * 5000, b"\xff"]
)
def test_a_sealed_body_of_another_shape_is_refused(body: bytes) -> None:
    text = urlsafe_b64encode(body).decode().rstrip("=")
    with pytest.raises(WebhookSignatureError):
        TOKENS.read(f"1.{text}.AAAA", NOW_S)


def test_age() -> None:
    text = TOKENS.issue(token())
    assert TOKENS.read(text, NOW_S + LONGEST_AGE_S) == token()
    assert TOKENS.read(text, NOW_S - CLOCKS_APART_S) == token()
    with pytest.raises(WebhookLateError):
        TOKENS.read(text, NOW_S + LONGEST_AGE_S + 1)
    with pytest.raises(WebhookLateError):
        TOKENS.read(text, NOW_S - CLOCKS_APART_S - 1)


def test_rotation() -> None:
    """What the older secret signed is good as long as it is known."""
    text = LegTokens({"twilio": ["older"]}).issue(token())
    assert TOKENS.read(text, NOW_S) == token()
    with pytest.raises(WebhookSignatureError):
        LegTokens({"twilio": ["newer"]}).read(text, NOW_S)


def test_the_secret_of_one_carrier_speaks_for_no_other() -> None:
    text = LegTokens({"telnyx": ["secret"]}).issue(token(CONTROL_LEG))
    with pytest.raises(WebhookSignatureError):
        TOKENS.read(text, NOW_S)


@pytest.mark.parametrize("secrets", [[], [""], ["good", ""]])
def test_no_secret_is_a_mistake(secrets: list[str]) -> None:
    with pytest.raises(UserError, match="twilio"):
        LegTokens({"twilio": secrets})


def test_a_long_leg_and_a_long_route_fit() -> None:
    leg = replace(TEXML_LEG, carrier_call_id="v3:" + "x" * 100, account="a" * 40)
    mark = route_mark("ü" * 200)
    text = TOKENS.issue(token(leg, route=mark))
    assert len(text) <= LONGEST_TOKEN
    assert len(text) < 500, "the value of a media stream's parameter"
    assert TOKENS.read(text, NOW_S).route == route_mark("ü" * 200)
    assert mark != route_mark("ü" * 201)
    assert route_mark("#short") != "#short", "nobody's label may look like a digest"


def test_headers_vouch_for_a_leg() -> None:
    text = TOKENS.issue(token())
    assert TOKENS.leg_of([("From", "<sip:x@y>"), (TOKEN_HEADER.lower(), f" {text} ")], NOW_S) == LEG
    assert TOKENS.leg_of([], NOW_S) is None
    assert TOKENS.leg_of([(TOKEN_HEADER, "forged")], NOW_S) is None
    assert TOKENS.leg_of([(TOKEN_HEADER, text), (TOKEN_HEADER, text)], NOW_S) is None
    assert TOKENS.leg_of([(TOKEN_HEADER, text)], NOW_S + LONGEST_AGE_S + 1) is None
    assert TOKENS.leg_of([(TOKEN_HEADER, TOKENS.issue(token(offer="o")))], NOW_S) is None


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(TOKENS)
    assert "secret" not in TOKENS.issue(token())
