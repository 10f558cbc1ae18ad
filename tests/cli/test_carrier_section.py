from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from sipagent.carrier.settings import AnswerBySip, AnswerByStream, SayMessage, SipTarget
from sipagent.cli.carrier_section import carrier_section, carrier_variables
from sipagent.config import load_configuration
from sipagent.simulator.carrier import PretendedTwilio, TwilioOptions
from sipagent.simulator.sip.settings import ListenAddress
from tests.config.carriers import BASE


@pytest.mark.parametrize(
    ("listens", "host", "port", "transport"),
    [
        ("udp:127.0.0.1:5060", "127.0.0.1", 5060, "udp"),
        ("tcp:[::1]:5060", "[::1]", 5060, "tcp"),
        ("tls:0.0.0.0:5061", "127.0.0.1", 5061, "tls"),
    ],
)
async def test_what_is_printed_can_be_served(
    tmp_path: Path, listens: str, host: str, port: int, transport: Literal["udp", "tcp", "tls"]
) -> None:
    options = TwilioOptions(webhook_url="http://127.0.0.1:8080/carriers/twilio/voice", auth_token="hush")
    async with PretendedTwilio(options) as twilio:
        section, variables = (
            carrier_section(twilio, [ListenAddress.parse(listens)]),
            carrier_variables(twilio),
        )
        where = twilio.api_base_url
    assert "hush" not in section
    file = tmp_path / "sipagent.yaml"
    file.write_text(BASE + section)
    carriers = load_configuration(file, variables).carriers
    assert carriers is not None
    secure = transport == "tls"
    assert carriers.sip == SipTarget(
        project="proj_demo", host=host, port=port, transport=transport, secure=secure
    )
    assert carriers.plan.steps == (
        AnswerBySip(),
        AnswerByStream(),
        SayMessage(words="Nobody can take your call."),
    )
    assert carriers.twilio is not None
    assert carriers.twilio.api_base_url == where
    assert carriers.twilio.auth_tokens == ("hush",)
