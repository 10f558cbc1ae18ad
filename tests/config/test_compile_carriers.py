"""Carriers, as the file says them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.carrier.settings import (
    FAREWELL,
    AnswerBySip,
    AnswerByStream,
    AnswerPlan,
    AudioSocketSettings,
    CallNumber,
    CarrierSettings,
    OfferManner,
    SayMessage,
    SipTarget,
    TelnyxSettings,
    TwilioSettings,
)
from sipagent.config import compile_carriers
from sipagent.errors import ConfigurationError
from tests.config.carriers import (
    ACCOUNT,
    API_KEY,
    ASTERISK_TOKEN,
    AUTH_TOKEN,
    BASE,
    OLD_AUTH_TOKEN,
    PUBLIC_KEY,
    TWILIO,
    VARIABLES,
    WHOLE,
    load_text,
)


def carriers(folder: Path, text: str, **variables: str) -> CarrierSettings:
    found = load_text(folder, text, **variables).carriers
    assert found is not None
    return found


def said(folder: Path, text: str, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load_text(folder, text, **variables)
    return "\n".join(
        f"{problem.line}: {problem.message} {problem.remedy}" for problem in raised.value.problems
    )


def test_there_are_none_unless_they_are_written(tmp_path: Path) -> None:
    assert load_text(tmp_path, BASE).carriers is None


def test_everything_that_can_be_written(tmp_path: Path) -> None:
    assert carriers(tmp_path, WHOLE) == CarrierSettings(
        public_url="https://phone.example.com",
        sip=SipTarget(project="proj_demo"),
        plan=AnswerPlan(
            steps=(
                AnswerBySip(answer_timeout_s=15),
                AnswerByStream(),
                CallNumber(number="sip:desk@pbx.example.com", answer_timeout_s=25),
                SayMessage(words="Nobody can take your call."),
            )
        ),
        plans={
            "office": AnswerPlan(
                steps=(AnswerByStream(), CallNumber(number="+15550100198", answer_timeout_s=30), FAREWELL)
            ),
            "route 2": AnswerPlan(steps=(SayMessage(words="We are closed.", language="en-GB"),)),
        },
        caller_id="+15550100100",
        offers=OfferManner(question="Press 1.", sorry="Sorry.", language="en-GB"),
        twilio=TwilioSettings(account_sid=ACCOUNT, auth_tokens=(AUTH_TOKEN, OLD_AUTH_TOKEN)),
        telnyx=TelnyxSettings(api_key=API_KEY, public_keys=(PUBLIC_KEY,), connection_id="1494404757"),
        audio_socket=AudioSocketSettings(host="127.0.0.1", port=9092, token=ASTERISK_TOKEN),
    )


@pytest.mark.parametrize(
    ("sip", "first"),
    [("", AnswerByStream()), ("  sip: {project: proj_demo}\n", AnswerBySip())],
    ids=["no address", "an address"],
)
def test_a_plan_that_nobody_wrote(tmp_path: Path, sip: str, first: AnswerBySip | AnswerByStream) -> None:
    found = carriers(tmp_path, f"{BASE}carriers:\n  public_url: https://phone.example.com\n{sip}{TWILIO}")
    assert found.plan == AnswerPlan(steps=(first, FAREWELL))


def test_people_may_be_asked_nothing(tmp_path: Path) -> None:
    assert carriers(tmp_path, WHOLE.replace("question: Press 1.", "question: false")).offers.question == ""
    written = WHOLE.replace("  warm: {question: Press 1., sorry: Sorry., language: en-GB}\n", "")
    assert carriers(tmp_path, written).offers == OfferManner()
    found = said(tmp_path, WHOLE.replace("question: Press 1.", 'question: "{{caller}} calls."'))
    assert found.startswith("22: The carrier's voice says these words as they stand.")


def test_an_asterisk_alone_needs_no_public_address(tmp_path: Path) -> None:
    found = carriers(
        tmp_path, BASE + 'carriers: {asterisk: {listen: "[::1]:0", token: "${ASTERISK_TOKEN}"}}\n'
    )
    assert found.public_url == ""
    assert found.audio_socket == AudioSocketSettings(host="::1", port=0, token=ASTERISK_TOKEN)


@pytest.mark.parametrize(
    ("openai", "sip", "host"),
    [
        ("", "{project: proj_demo}", "sip.api.openai.com"),
        ("openai: {region: eu}\n", "{project: proj_demo}", "sip-eu.api.openai.com"),
        ("openai: {region: jp}\n", "{project: proj_demo, host: sip-jp.example.com}", "sip-jp.example.com"),
        ("", "{project: proj_demo, host: edge.example.com, transport: udp}", "edge.example.com"),
    ],
)
def test_the_sip_host_follows_the_region(tmp_path: Path, openai: str, sip: str, host: str) -> None:
    text = f"{BASE}{openai}carriers:\n  public_url: https://phone.example.com\n  sip: {sip}\n{TWILIO}"
    found = carriers(tmp_path, text)
    assert found.sip is not None
    assert found.sip.host == host


def test_an_address_may_come_from_the_environment_and_is_no_secret(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, f"{BASE}carriers:\n  public_url: ${{PUBLIC_URL}}\n{TWILIO}")
    assert loaded.carriers is not None
    assert loaded.carriers.public_url == "https://phone.example.com/desk"
    assert loaded.secrets == (AUTH_TOKEN,)


def test_secrets_are_learnt_and_shown_nowhere(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, WHOLE)
    secret = (AUTH_TOKEN, OLD_AUTH_TOKEN, API_KEY, ASTERISK_TOKEN)
    assert set(loaded.secrets) == set(secret)
    for value in secret:
        assert value not in repr(loaded.carriers)
        assert value not in loaded.text


def test_what_is_a_secret_in_one_place_is_one_everywhere(tmp_path: Path) -> None:
    text = f"{BASE}carriers:\n  public_url: https://phone.example.com/${{NOT}}\n{TWILIO}"
    assert "reference with more around it" in said(tmp_path, text)
    same = TWILIO.replace("${TWILIO_ACCOUNT_SID}", ACCOUNT)
    loaded = load_text(tmp_path, f"{BASE}carriers:\n  public_url: https://phone.example.com\n{same}")
    assert loaded.secrets == (AUTH_TOKEN,)


def test_a_secret_that_changes_in_its_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0" * 32)
    text = f"{BASE}carriers:\n  public_url: https://phone.example.com\n" + TWILIO.replace(
        "${TWILIO_AUTH_TOKEN}", "${file:token}"
    )
    first = load_text(tmp_path, text)
    (tmp_path / "token").write_text("1" * 32)
    second = load_text(tmp_path, text)
    assert [
        each.carriers.twilio.auth_tokens for each in (first, second) if each.carriers and each.carriers.twilio
    ] == [
        ("0" * 32,),
        ("1" * 32,),
    ]
    assert first.fingerprint == second.fingerprint, "secrets have no part in it"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TWILIO_ACCOUNT_SID": "SK" + "0" * 32}, "the SID of no account"),
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN is empty"),
        ({"OPENAI_PROJECT_ID": "org-demo"}, "the id of no project"),
        ({"TELNYX_PUBLIC_KEY": PUBLIC_KEY[:-4]}, "no public key"),
        ({"TELNYX_PUBLIC_KEY": "not base64 at all"}, "no public key"),
        ({"ASTERISK_TOKEN": "short"}, "has 5 characters"),
        ({"TWILIO_AUTH_TOKEN_PREVIOUS": AUTH_TOKEN}, "stands here twice"),
    ],
)
def test_what_the_environment_may_have_wrong(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    found = said(tmp_path, WHOLE, **variables)
    assert words in found
    hidden = {**VARIABLES, **variables}
    assert not [
        name for name in ("TWILIO_AUTH_TOKEN", "TELNYX_API_KEY") if hidden[name] and hidden[name] in found
    ]


def test_what_verifies_telnyx_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_carriers, "find_spec", lambda name: None)
    found = said(tmp_path, WHOLE)
    assert found.startswith("26: Webhooks of Telnyx are verified with the package cryptography")
    assert found.endswith("pip install 'sipagent[telnyx]'")
    text = f"{BASE}carriers:\n  public_url: https://phone.example.com\n{TWILIO}"
    assert load_text(tmp_path, text).carriers is not None, "Twilio does not need it"


def test_every_mistake_of_form_and_meaning_is_said_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("timeout: 15s", "timeout: 15").replace("way: warm", "way: warn")
    found = said(tmp_path, text, OPENAI_PROJECT_ID="org-demo").splitlines()
    assert [line.partition(":")[0] for line in found] == ["7", "15", "17"]


def test_what_may_come_of_a_broken_part_is_not_said_besides(tmp_path: Path) -> None:
    text = WHOLE.replace("  sip: {project:", "  sip: {projekt:")
    found = said(tmp_path, text).splitlines()
    assert [line.partition(":")[0] for line in found] == ["15"], found


def test_the_front_door_is_made_without_carriers_too(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, WHOLE)
    [target] = loaded.door.profiles["desk"].transfer_targets
    assert target.way == "warm"
    assert [route.name for route in loaded.door.routes] == ["office", None, None]
