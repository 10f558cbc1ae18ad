"""What documents say, read back by a parser of XML, and beside what the carriers' own package writes."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Dial, VoiceResponse  # type: ignore[import-untyped]

from sipagent.carrier.base import (
    Callbacks,
    ConnectStream,
    DialNumber,
    DialSip,
    HangUp,
    Instruction,
    JoinConference,
    OfferCall,
    RejectLeg,
    SayAndHangUp,
)
from sipagent.carrier.markup import LONGEST_WORDS, TEXML, TWIML, render
from sipagent.carrier.settings import SipTarget
from tests.carrier.legs import DIALLED, PERSON

BACK = Callbacks(
    base_url="https://phone.example.com/carriers/twilio",
    media_url="wss://phone.example.com/carriers/twilio/media",
    token="1.abc-_.def",
    place="0",
)
SIP = DialSip(target=SipTarget(project="proj_demo"), answer_timeout_s=20, callbacks=BACK)
ANY_TEXT = st.text(max_size=60)


def document(instruction: Instruction, *, texml: bool = False) -> ElementTree.Element:
    root = ElementTree.fromstring(render(instruction, TEXML if texml else TWIML))
    assert root.tag == "Response"
    return root


def canonical(text: str) -> str:
    return ElementTree.canonicalize(text)


def test_the_api_is_dialled_with_our_header() -> None:
    """As their own package writes it."""
    expected = VoiceResponse()
    dial = Dial(
        action=BACK.url("next"),
        method="POST",
        timeout=20,
        answer_on_bridge=True,
        refer_url=BACK.url("refer"),
        refer_method="POST",
    )
    dial.sip(
        "sip:proj_demo@sip.api.openai.com;transport=tls;secure=true?X-Sipagent-Leg=1.abc-_.def",
        status_callback=BACK.url("status"),
        status_callback_method="POST",
        status_callback_event="initiated ringing answered completed",
    )
    expected.append(dial)
    assert canonical(render(SIP, TWIML)) == canonical(str(expected))


def test_texml_has_no_verbs_of_twilio_s_own() -> None:
    dial = document(SIP, texml=True)[0]
    assert set(dial.attrib) == {"action", "method", "timeout"}
    stream = document(ConnectStream(callbacks=BACK), texml=True)[0][0]
    assert stream.get("bidirectionalMode") == "rtp"
    assert stream.get("bidirectionalCodec") == "PCMU"


def test_media_that_need_not_be_encrypted() -> None:
    target = SipTarget(project="p", host="127.0.0.1", port=5070, transport="udp", secure=False)
    sip = DialSip(target=target, answer_timeout_s=5, callbacks=BACK)
    assert document(sip)[0][0].text == "sip:p@127.0.0.1:5070;transport=udp?X-Sipagent-Leg=1.abc-_.def"


def test_a_stream_brings_its_token() -> None:
    expected = VoiceResponse()
    connect = expected.connect(action=BACK.url("next"), method="POST")
    connect.stream(url=BACK.media_url).parameter(name="t", value=BACK.token)
    assert canonical(render(ConnectStream(callbacks=BACK), TWIML)) == canonical(str(expected))


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (PERSON, "Number", PERSON),
        (f"tel:{PERSON}", "Number", PERSON),
        ("sip:desk@pbx.example", "Sip", "sip:desk@pbx.example"),
        ("SIPS:desk@pbx.example", "Sip", "SIPS:desk@pbx.example"),
        ('+1555</Number><Number>"9', "Number", "+1555/NumberNumber9"),
    ],
)
def test_somebody_is_called(number: str, noun: str, text: str) -> None:
    called = DialNumber(number=number, caller_id=DIALLED, answer_timeout_s=25, callbacks=BACK)
    dial = document(called)[0]
    assert (dial.get("callerId"), dial.get("timeout")) == (DIALLED, "25")
    assert [(child.tag, child.text) for child in dial] == [(noun, text)]


def test_a_caller_id_that_is_not_known_is_left_to_the_carrier() -> None:
    called = DialNumber(number=PERSON, caller_id=None, answer_timeout_s=25, callbacks=BACK)
    assert document(called)[0].get("callerId") is None


@given(words=ANY_TEXT, language=st.none() | ANY_TEXT)
def test_words_stay_words(words: str, language: str | None) -> None:
    said = document(SayAndHangUp(words=words, language=language, callbacks=BACK))
    assert [child.tag for child in said] == ["Say", "Hangup"]
    spoken = said[0].text or ""
    # What XML cannot hold is left out, and it has one kind of line break; no markup is made of anything else.
    kept = [c for c in words if c.isprintable()]
    assert [c for c in spoken if c.isprintable()] == [c for c in kept if c in spoken]
    assert len(spoken) <= len(words)


def test_long_words_are_cut() -> None:
    said = document(SayAndHangUp(words="w" * 10_000, language=None, callbacks=BACK))
    assert len(said[0].text or "") == LONGEST_WORDS


def test_an_offer_asks() -> None:
    offer = OfferCall(
        briefing="<Ann> & co.",
        question="Press 1.",
        language="en-US",
        answer_timeout_s=20,
        callbacks=BACK,
    )
    root = document(offer)
    assert [child.tag for child in root] == ["Gather", "Redirect"]
    assert [(say.text, say.get("language")) for say in root[0]] == [
        ("<Ann> & co.", "en-US"),
        ("Press 1.", "en-US"),
    ]
    assert root[0].get("action") == root[1].text == BACK.url("offer")
    assert parse_qs(urlsplit(root[1].text or "").query) == {"t": [BACK.token]}


def test_an_offer_that_asks_nothing() -> None:
    offer = OfferCall(briefing="Ann.", question="", language=None, answer_timeout_s=20, callbacks=BACK)
    assert [child.tag for child in document(offer)] == ["Say", "Redirect"]


def test_the_others() -> None:
    conference = document(JoinConference(name="sipagent-1"))[0][0]
    assert (conference.tag, conference.text, conference.get("endConferenceOnExit")) == (
        "Conference",
        "sipagent-1",
        "true",
    )
    assert document(RejectLeg(busy=True))[0].get("reason") == "busy"
    assert document(RejectLeg(busy=False))[0].get("reason") == "rejected"
    assert [child.tag for child in document(HangUp())] == ["Hangup"]
