"""What a configuration of carriers is put together from, and a line for calls that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.carrier.desk import CarrierDesk, tokens_of
from sipagent.carrier.settings import AudioSocketSettings, TelnyxSettings, TwilioSettings
from sipagent.carrier.tokens import LegTokens
from sipagent.errors import UserError
from tests.carrier.legs import ACCOUNT, CONTROL_LEG, LEG, NOW_S, TEXML_LEG, settings, token


async def test_the_carriers_that_are_configured() -> None:
    async with CarrierDesk(settings()) as desk:
        assert set(desk.carriers) == {
            "/carriers/twilio",
            "/carriers/telnyx/texml",
            "/carriers/telnyx/call-control",
        }
        assert all(carrier.mount == mount for mount, carrier in desk.carriers.items())
    async with CarrierDesk(settings(telnyx=None)) as desk:
        assert set(desk.carriers) == {"/carriers/twilio"}
        assert desk.telnyx is None
    async with CarrierDesk(settings(twilio=None, telnyx=None)) as desk:
        assert not desk.carriers


def test_tokens_are_signed_by_the_carriers_own_secrets() -> None:
    socket = AudioSocketSettings(host="127.0.0.1", port=0, token="asterisk-token")
    tokens = tokens_of(settings(audio_socket=socket))
    others = LegTokens(
        {"twilio": ["twilio-auth-token"], "telnyx": ["telnyx-api-key"], "asterisk": ["asterisk-token"]}
    )
    for leg in (LEG, TEXML_LEG, CONTROL_LEG):
        assert tokens.read(others.issue(token(leg)), NOW_S) == token(leg)


@pytest.mark.parametrize(
    "wrong",
    [
        {"twilio": TwilioSettings(account_sid=ACCOUNT, auth_tokens=())},
        {"telnyx": TelnyxSettings(api_key="k", public_keys=())},
        {"telnyx": TelnyxSettings(api_key="", public_keys=("AAAA",))},
    ],
)
def test_keys_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        CarrierDesk(settings(**wrong))


def test_no_key_is_shown() -> None:
    assert "auth-token" not in repr(settings())
    assert "api-key" not in repr(settings())
