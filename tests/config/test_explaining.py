from __future__ import annotations

import pytest

from sipagent.carrier.settings import FAREWELL
from sipagent.config import Setting, explain, explain_carriers, parse_document, starter_text
from sipagent.errors import UserError
from tests.config.carriers import BASE, TWILIO, WHOLE

TEXT = """version: 1
business: {language: en}
defaults:
  voice: cedar
  turn_detection: {type: server_vad, threshold: 0.7}
  ending: {maximum_duration: 20m}
agents:
  desk:
    voice: marin
    greeting: Good morning.
    instructions: |
      Be kind.
      Be brief.
    tools:
      - hang_up
      - http:
          name: price
          description: The price.
          url: https://shop.example/price
          headers: {X-Api-Key: "${SHOP_KEY}", Authorization: Bearer abc123def456}
    transfer: {sales: {to: ["tel:+15550100001"], description: sales}}
routes: [{agent: desk}]
"""


def settings_of(agent: str) -> dict[str, Setting]:
    found = explain(parse_document(TEXT, file="some/where/sipagent.yaml"), agent)
    assert len({setting.key for setting in found}) == len(found)
    return {setting.key: setting for setting in found}


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("voice", "marin", "sipagent.yaml:9"),
        ("model", "gpt-realtime-2.1", "default"),
        ("turn_detection.threshold", "0.7", "sipagent.yaml:5"),
        ("turn_detection.silence_duration_ms", "500", "default"),
        ("ending.maximum_duration", "20m", "sipagent.yaml:6"),
        ("ending.wrap_up.before", "60s", "default"),
        ("ending.loops", "true", "default"),
        ("greeting", "Good morning.", "sipagent.yaml:10"),
        ("instructions", "Be kind.\nBe brief.\n", "sipagent.yaml:11"),
        ("instructions_file", "none", "default"),
        ("language", "en", "sipagent.yaml:2"),
        ("tools[1]", "hang_up", "sipagent.yaml:15"),
        ("tools[2].http.url", "https://shop.example/price", "sipagent.yaml:19"),
        ("tools[2].http.method", "GET", "default"),
        ("transfer.sales.to", "tel:+15550100001", "sipagent.yaml:21"),
        ("handoffs", "none", "default"),
    ],
)
def test_a_setting_has_a_value_and_an_origin(key: str, value: str, origin: str) -> None:
    assert settings_of("desk")[key] == Setting(key=key, value=value, origin=origin)


def test_a_secret_is_shown_as_its_reference_or_not_at_all() -> None:
    settings = settings_of("desk")
    assert settings["tools[2].http.headers.X-Api-Key"].value == "${SHOP_KEY}"
    assert "abc123" not in settings["tools[2].http.headers.Authorization"].value


def test_an_agent_that_there_is_not() -> None:
    with pytest.raises(UserError, match="has no agent 'desks'. Did you mean `desk`"):
        settings_of("desks")


def carriers_of(text: str) -> dict[str, tuple[str, str]]:
    found = explain_carriers(parse_document(text, file="some/where/sipagent.yaml"))
    assert len({setting.key for setting in found}) == len(found)
    return {setting.key: (setting.value, setting.origin) for setting in found}


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("carriers.public_url", "https://phone.example.com/", "sipagent.yaml:14"),
        ("carriers.sip.project", "${OPENAI_PROJECT_ID}", "sipagent.yaml:15"),
        ("carriers.sip.host", "sip.api.openai.com", "default"),
        ("carriers.answer[1].sip.timeout", "15s", "sipagent.yaml:17"),
        ("carriers.answer[2]", "stream", "sipagent.yaml:18"),
        ("carriers.answer[3].timeout", "25s", "default"),
        ("carriers.answer[4].say", "Nobody can take your call.", "sipagent.yaml:20"),
        (
            "carriers.twilio.auth_token",
            "${TWILIO_AUTH_TOKEN}, ${TWILIO_AUTH_TOKEN_PREVIOUS}",
            "sipagent.yaml:25",
        ),
        ("carriers.warm.question", "Press 1.", "sipagent.yaml:22"),
        ("carriers.asterisk.listen", "127.0.0.1:9092", "sipagent.yaml:27"),
        ("routes[1].answer[3].say", FAREWELL.words, "default"),
        ("routes[2].answer[1].say", "We are closed.", "sipagent.yaml:11"),
        ("recordings.folder", "kept", "sipagent.yaml:28"),
        ("recordings.keep", "90d", "sipagent.yaml:28"),
    ],
)
def test_what_holds_for_carriers(key: str, value: str, origin: str) -> None:
    assert carriers_of(WHOLE)[key] == (value, origin)


def test_a_plan_that_nobody_wrote_is_explained() -> None:
    settings = carriers_of(f"{BASE}carriers:\n  public_url: https://phone.example.com\n{TWILIO}")
    assert settings["carriers.answer[1]"] == ("stream", "default")
    assert settings["carriers.answer[2].say"] == (FAREWELL.words, "default")
    assert "carriers.answer[3].say" not in settings
    assert carriers_of(starter_text()) == {}


def test_a_carrier_s_secret_that_stands_in_the_file_is_not_shown() -> None:
    literal = WHOLE.replace('"${TELNYX_API_KEY}"', "KEY0123456789").replace("${TWILIO_AUTH_TOKEN}", "a" * 32)
    settings = carriers_of(literal)
    assert "KEY0123456789" not in str(settings)
    assert "a" * 32 not in str(settings)
    assert settings["carriers.twilio.account_sid"][0] == "${TWILIO_ACCOUNT_SID}"
