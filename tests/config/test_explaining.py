from __future__ import annotations

import pytest

from sipagent.config import Setting, explain, parse_document
from sipagent.errors import UserError

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
