"""Keys and addresses that a reload has replaced: for how long they are good, and for what."""

from __future__ import annotations

import math
from base64 import b64encode
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from nacl.signing import SigningKey

from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.former import HOLDS_ON_S, MOST_RETIRED, OVERLAP_S, Former
from sipagent.carrier.settings import CarrierSettings, TelnyxSettings, TwilioSettings
from sipagent.carrier.telnyx_call_control import client_state
from sipagent.carrier.tokens import LegTokens, Retired
from sipagent.errors import WebhookSignatureError
from tests.carrier.doorway import QUICK, Doorway, doorway, ringing
from tests.carrier.legs import (
    ACCOUNT,
    CALLER,
    CONTROL_LEG,
    DIALLED,
    LEG,
    NOW_S,
    TEXML_LEG,
    settings,
    token,
)
from tests.carrier.signing import AUTH_TOKEN, PUBLIC_URL, TELNYX_PUBLIC_KEY, telnyx_headers, twilio_headers

OTHER_PUBLIC_KEY = b64encode(bytes(SigningKey(b"\x08" * 32).verify_key)).decode()
NEXT = replace(LEG, carrier_call_id="CA2")
LAST = replace(LEG, carrier_call_id="CA3")


def values(retired: tuple[Retired, ...]) -> list[str]:
    return [one.value for one in retired]


def test_what_is_replaced_holds_on() -> None:
    former = Former().followed(settings(), ROTATED, NOW_S)
    assert values(former.twilio_auth_tokens) == [AUTH_TOKEN, "older"]
    assert values(former.telnyx_public_keys) == [TELNYX_PUBLIC_KEY]
    assert values(former.telnyx_api_keys) == ["telnyx-api-key"]
    assert former.public_urls == ()
    assert former.twilio is None
    assert {one.until_s for one in former.twilio_auth_tokens} == {NOW_S + HOLDS_ON_S}
    assert {one.calls_until_s for one in former.telnyx_public_keys} == {NOW_S + OVERLAP_S}


def test_what_comes_back_is_former_no_more() -> None:
    former = Former().followed(settings(), ROTATED, NOW_S)
    former = former.followed(ROTATED, settings(), NOW_S + 5)
    assert values(former.twilio_auth_tokens) == ["another"]
    assert values(former.telnyx_public_keys) == [OTHER_PUBLIC_KEY]


def test_what_is_over_is_forgotten_and_little_is_remembered() -> None:
    former = Former().followed(settings(), ROTATED, NOW_S)
    assert former.followed(ROTATED, ROTATED, NOW_S + HOLDS_ON_S + 1) == Former()
    known = settings()
    for number in range(9):
        newer = replace(known, public_url=f"https://{number}.example.com")
        former, known = former.followed(known, newer, NOW_S + number), newer
    assert values(former.public_urls)[0] == "https://7.example.com"
    assert len(former.public_urls) == MOST_RETIRED


def test_an_account_that_is_taken_away_is_known_for_calls_in_progress() -> None:
    without = settings(twilio=None)
    former = Former().followed(settings(), without, NOW_S)
    assert former.twilio == settings().twilio
    assert former.telnyx is None
    assert former.twilio_auth_tokens[0].calls_until_s == NOW_S
    assert former.followed(without, without, NOW_S + 5).twilio == settings().twilio
    assert former.followed(without, settings(), NOW_S + 5).twilio is None
    assert former.followed(without, None, NOW_S + HOLDS_ON_S + 1).twilio is None


def test_no_secret_is_shown() -> None:
    text = repr(Former().followed(settings(), ROTATED, NOW_S))
    assert AUTH_TOKEN not in text
    assert "telnyx-api-key" not in text


def test_a_former_secret_reads_what_it_has_signed_while_it_holds() -> None:
    text = LegTokens({"twilio": ["older"]}).issue(token())
    retired = Retired(value="older", calls_until_s=NOW_S, until_s=NOW_S + 60)
    tokens = LegTokens({"twilio": ["newer"]}, {"twilio": [retired]})
    assert tokens.read(text, NOW_S + 60) == token()
    with pytest.raises(WebhookSignatureError):
        tokens.read(text, NOW_S + 61)
    with pytest.raises(WebhookSignatureError):
        LegTokens({"twilio": ["older"]}).read(tokens.issue(token()), NOW_S)
    alone = LegTokens({}, {"twilio": [replace(retired, until_s=math.inf)]})
    assert alone.read(alone.issue(token()), NOW_S) == token()


async def _rotated(way: Doorway, newer: CarrierSettings) -> CarrierDesk:
    """The desk of the configuration that follows."""
    former = Former().followed(way.desk.settings, newer, way.now_s)
    return CarrierDesk(newer, former=former, limits=QUICK)


ROTATED = settings(
    twilio=TwilioSettings(account_sid=ACCOUNT, auth_tokens=("another",)),
    telnyx=TelnyxSettings(api_key="another", public_keys=(OTHER_PUBLIC_KEY,), connection_id="1"),
)


@pytest.mark.parametrize("newer", [ROTATED, settings(twilio=None, telnyx=None)], ids=["rotated", "removed"])
async def test_calls_in_progress_outlast_a_change_of_every_key(newer: CarrierSettings) -> None:
    async with doorway(settings()) as way:
        ended = {"CallStatus": "in-progress", "DialCallStatus": "completed"}
        twilio, texml = token(), token(TEXML_LEG)
        paths = [
            f"/carriers/twilio/next?t={way.issue(twilio)}",
            f"/carriers/telnyx/texml/next?t={way.issue(texml)}",
        ]
        state = client_state(way.issue(token(CONTROL_LEG)))

        async def tell(number: int) -> list[int]:
            form = {"CallSid": LEG.carrier_call_id, "Again": str(number), **ended}
            first, _ = await way.post(
                paths[0], urlencode(form).encode(), twilio_headers(PUBLIC_URL + paths[0], form)
            )
            body = urlencode({**form, "CallSid": TEXML_LEG.carrier_call_id}).encode()
            headers = telnyx_headers(body, way.now_s) | {"content-type": "application/x-www-form-urlencoded"}
            second, _ = await way.post(paths[1], body, headers)
            third, _ = await way.event(
                "call.bridged", f"e{number}", call_control_id=CONTROL_LEG.carrier_call_id, client_state=state
            )
            return [first, second, third]

        async with await _rotated(way, newer) as desk:
            way.endpoint.desk = desk
            assert await tell(1) == [200] * 3
            assert any(report.kind == "bridged" for report in way.noted)
            way.now_s += OVERLAP_S + 1
            assert await tell(2) == [200] * 3
            way.now_s += HOLDS_ON_S
            assert await tell(3) == [403] * 3


async def test_a_key_that_was_replaced_announces_new_calls_for_a_while() -> None:
    async with doorway(settings()) as way, await _rotated(way, ROTATED) as desk:
        way.endpoint.desk = desk
        assert (await way.twilio("voice", ringing()))[0] == 200, "nobody has pressed the button yet"
        assert (await way.twilio("voice", ringing(NEXT), auth_token="another"))[0] == 200
        way.now_s += OVERLAP_S + 1
        assert (await way.twilio("voice", ringing(LAST)))[0] == 403
        assert (await way.texml("voice", ringing(TEXML_LEG)))[0] == 403
        initiated = {"call_control_id": "v3:c", "direction": "incoming", "from": CALLER, "to": DIALLED}
        assert (await way.event("call.initiated", "e1", **initiated))[0] == 403
        assert (await way.twilio("voice", ringing(LAST), auth_token="another"))[0] == 200


async def test_a_carrier_that_was_taken_away_announces_nothing() -> None:
    async with doorway(settings()) as way, await _rotated(way, settings(twilio=None)) as desk:
        way.endpoint.desk = desk
        way.now_s += 1
        assert (await way.twilio("voice", ringing()))[0] == 403
        assert (await way.texml("voice", ringing(TEXML_LEG)))[0] == 200
