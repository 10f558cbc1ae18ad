from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.admission import (
    can_be_answered,
    refusal_of,
    registered_contacts,
    session_timer,
)
from sipagent.simulator.sip.message import Request, Response, make_response, parse_message

INVITE = (
    "INVITE sip:proj_demo@sip.test SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-a\r\n"
    "From: <sip:a@carrier.test>;tag=1\r\n"
    "To: <sip:proj_demo@sip.test>\r\n"
    "Call-ID: abc\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:a@192.0.2.1>\r\n"
    "Max-Forwards: 70\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: 5\r\n\r\nv=0\r\n"
)


def request(text: str = INVITE) -> Request:
    message = parse_message(text.encode("utf-8", "surrogateescape"))
    assert isinstance(message, Request)
    return message


def test_a_good_invite_is_let_in() -> None:
    assert refusal_of(request()) is None
    assert can_be_answered(request())


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 505),
        ("Call-ID: abc\r\n", "", 400),
        ("Call-ID: abc", "Call-ID: ", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", 400),
        ("CSeq: 1 INVITE", "CSeq: 36893488147419103232 INVITE", 400),
        ("From: <sip:a@carrier.test>;tag=1", "From: <sip:a@carrier.test;tag=1", 400),
        ("From: <sip:a@carrier.test>;tag=1", 'From: "Ann <sip:a@carrier.test>;tag=1', 400),
        ("Contact: <sip:a@192.0.2.1>\r\n", "", 400),
        ("Contact: <sip:a@192.0.2.1>", "Contact: *", 400),
        ("Contact: <sip:a@192.0.2.1>", "Contact: <mailto:a@b.test>", 400),
        ("Max-Forwards: 70", "Max-Forwards: many", 400),
        ("Content-Length: 5", "Content-Length: 500", 400),
        ("Call-ID: abc\r\n", "Call-ID: abc\r\nRecord-Route: <nonsense>\r\n", 400),
        ("INVITE sip:proj_demo@sip.test", "INVITE http://sip.test/", 416),
        ("INVITE sip:proj_demo@sip.test", "INVITE <sip:proj_demo@sip.test>", 400),
        ("Max-Forwards: 70", "Require: 100rel, TIMER, a\r\nMax-Forwards: 70", 420),
        ("application/sdp", "text/html", 415),
        ("Max-Forwards: 70", "Content-Encoding: gzip\r\nMax-Forwards: 70", 415),
    ],
)  # fmt: skip
def test_each_mistake_has_its_answer(old: str, new: str, status: int) -> None:
    assert old in INVITE
    refusal = refusal_of(request(INVITE.replace(old, new, 1)))
    assert refusal is not None
    assert refusal.status == status


def test_unknown_methods_and_options_are_named() -> None:
    refusal = refusal_of(request(INVITE.replace("INVITE", "DANCE")))
    assert refusal is not None
    assert refusal.status == 405
    assert "INVITE" in dict(refusal.headers)["Allow"]
    refusal = refusal_of(request(INVITE.replace("Max", "Require: 100rel, timer\r\nMax", 1)))
    assert refusal is not None
    assert refusal.headers == (("Unsupported", "100rel"),)


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_without_what_identifies_it_a_request_cannot_be_answered(name: str) -> None:
    lines = [line for line in INVITE.split("\r\n") if not line.startswith(name + ":")]
    broken = request("\r\n".join(lines))
    assert refusal_of(broken) is not None
    assert not can_be_answered(broken)


def test_an_ack_is_never_answered() -> None:
    assert not can_be_answered(request(INVITE.replace("INVITE", "ACK")))


def test_a_registration_gets_its_contacts_back() -> None:
    register = request(
        INVITE.replace("INVITE", "REGISTER").replace(
            "Contact: <sip:a@192.0.2.1>",
            'Expires: 120\r\nContact: "Ann" <sip:a@192.0.2.1;ob>, <sip:b@192.0.2.1>;expires=60\r\n'
            "Contact: <sip:c@192.0.2.1>;expires=0, <broken",
        )
    )
    assert registered_contacts(register) == (
        ("Contact", "<sip:a@192.0.2.1;ob>;expires=120"),
        ("Contact", "<sip:b@192.0.2.1>;expires=60"),
    )
    assert registered_contacts(request(INVITE.replace("<sip:a@192.0.2.1>", "*"))) == ()


def test_a_session_timer_is_left_to_the_caller() -> None:
    offered = request(
        INVITE.replace("Max", "Supported: replaces, timer\r\nSession-Expires: 1800;refresher=uas\r\nMax")
    )
    assert session_timer(offered) == (("Require", "timer"), ("Session-Expires", "1800;refresher=uac"))
    assert session_timer(request()) == ()


TORTURE = [
    INVITE.replace("sip:proj_demo@sip.test SIP", "sip:user;par=u%40h@sip.test;x?y=z SIP"),
    INVITE.replace("From: ", "f:   \r\n   "),
    INVITE.replace("Via: SIP/2.0/UDP", "VIA  :SIP  / 2.0\r\n /UDP"),
    INVITE.replace("tag=1", "tag=1;;;x=\"a;b\\\"c\""),
    INVITE.replace("abc", "é\udcff\x01(a)@\U0001f600"),
    INVITE.replace("<sip:a@192.0.2.1>", '"\\\\\\"" <sip:a@192.0.2.1>;q=2;expires=-1'),
    INVITE.replace("CSeq: 1 INVITE", "CSeq: 0000000001\tINVITE"),
    INVITE.replace("Max-Forwards: 70", "Max-Forwards: 0\r\nRoute: <sip:a;lr>,<sip:b>\r\nRoute: ,"),
    INVITE.replace("Max-Forwards: 70", "Record-Route: ,\r\nRequire: ,"),
    INVITE.replace("To: <sip:proj_demo@sip.test>", "To: isbn:2983792873"),
]  # fmt: skip


@pytest.mark.parametrize("text", TORTURE)
def test_odd_but_whole_messages_get_one_decision(text: str) -> None:
    odd = request(text)
    refusal = refusal_of(odd)
    assert refusal is None or 400 <= refusal.status < 600
    assert can_be_answered(odd)
    again = parse_message(make_response(odd, 200, to_tag="t").encode())
    assert isinstance(again, Response)
    assert again.call_id == odd.call_id


@given(st.sampled_from(TORTURE), st.integers(0, 500), st.text(max_size=6), st.integers(0, 12))
def test_no_damage_breaks_the_decision(text: str, at: int, inserted: str, removed: int) -> None:
    damaged = (text[:at] + inserted + text[at + removed :]).encode("utf-8", "surrogateescape")
    try:
        message = parse_message(damaged)
    except SipSyntaxError:
        return
    if isinstance(message, Request):
        refusal_of(message)
        can_be_answered(message)
        registered_contacts(message)
        session_timer(message)
