from __future__ import annotations

from pathlib import Path

from sipagent.carrier.settings import AnswerPlan, SayMessage
from sipagent.carrier.telnyx import TelnyxTexml
from sipagent.carrier.telnyx_call_control import CallControl
from sipagent.carrier.twilio import Twilio
from sipagent.config import CARRIER_TITLES, describe_plan, recorded_in_part, to_enter
from tests.config.carriers import BASE, WHOLE, load_text


def test_each_carrier_is_told_where_to_ask(tmp_path: Path) -> None:
    carriers = load_text(tmp_path, WHOLE).carriers
    assert carriers is not None
    told = to_enter(carriers)
    assert [(each.carrier, each.value) for each in told] == [
        ("twilio", "https://phone.example.com/carriers/twilio/voice"),
        ("twilio", "https://phone.example.com/carriers/twilio/status"),
        ("telnyx", "https://phone.example.com/carriers/telnyx/texml/voice"),
        ("telnyx", "https://phone.example.com/carriers/telnyx/texml/status"),
        ("telnyx", "https://phone.example.com/carriers/telnyx/call-control"),
        ("asterisk", "https://phone.example.com/carriers/asterisk/call"),
        ("asterisk", "127.0.0.1:9092"),
    ]
    assert {each.carrier for each in told} == set(CARRIER_TITLES)


def test_what_is_told_is_what_is_listened_to(tmp_path: Path) -> None:
    carriers = load_text(tmp_path, WHOLE).carriers
    assert carriers is not None
    listened = {
        carrier.mount if purpose == "event" else f"{carrier.mount}/{purpose}"
        for carrier in (Twilio, TelnyxTexml, CallControl)
        for purpose in carrier.purposes
    }
    told = [each.value for each in to_enter(carriers) if each.carrier != "asterisk"]
    assert {value.removeprefix("https://phone.example.com") for value in told} <= listened


def test_an_asterisk_alone(tmp_path: Path) -> None:
    text = BASE + 'carriers: {asterisk: {listen: "[::1]:9092", token: "${ASTERISK_TOKEN}"}}\n'
    carriers = load_text(tmp_path, text).carriers
    assert carriers is not None
    assert [each.value for each in to_enter(carriers)] == [
        "http://HOST-OF-SIPAGENT:PORT/carriers/asterisk/call",
        "[::1]:9092",
    ]


def test_a_plan_in_words(tmp_path: Path) -> None:
    carriers = load_text(tmp_path, WHOLE).carriers
    assert carriers is not None
    assert describe_plan(carriers.plan) == (
        "OpenAI over SIP (15 s), else the audio through here, "
        "else a call to sip:desk@pbx.example.com (25 s), else “Nobody can take your call.”"
    )
    assert describe_plan(AnswerPlan(steps=(SayMessage(words="Goodbye."),))) == "“Goodbye.”"


def test_who_is_recorded_in_part(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, WHOLE)
    assert recorded_in_part(loaded.door, loaded.carriers) == ("desk",)
    assert recorded_in_part(loaded.door, None) == ()
    always = load_text(tmp_path, WHOLE.replace("    - sip: {timeout: 15s}\n", ""))
    assert recorded_in_part(always.door, always.carriers) == ()
