from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.message import (
    MAX_HEADERS,
    Request,
    Response,
    make_response,
    parse_message,
    with_tag,
)

INVITE = (
    b"INVITE sip:proj_demo@sip.test SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-a\r\n"
    b"v: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK-b\r\n"
    b"From: <sip:+15550100001@carrier.test>;tag=1\r\n"
    b"To : <sip:proj_demo@sip.test>\r\n"
    b"i: abc@192.0.2.1\r\n"
    b"X-Note: one\r\n"
    b"CSeq: 17  INVITE\r\n"
    b"x-note: two\r\n"
    b"Subject: a long\r\n  and folded\r\n\tline\r\n"
    b"Content-Length: 4\r\n\r\nv=0\nrest"
)


def parse_request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def test_headers_keep_order_repeats_and_spelling() -> None:
    request = parse_request(INVITE)
    assert [name for name, _ in request.headers] == [
        "Via", "v", "From", "To", "i", "X-Note", "CSeq", "x-note", "Subject", "Content-Length",
    ]  # fmt: skip
    assert request.every("X-NOTE") == ("one", "two")
    assert request.first("subject") == "a long and folded line"
    assert request.defects == ()


def test_compact_and_long_names_are_the_same() -> None:
    request = parse_request(INVITE)
    assert request.call_id == "abc@192.0.2.1"
    assert len(request.every("via")) == len(request.every("V")) == 2
    assert request.cseq == (17, "INVITE")


def test_body_ends_at_content_length() -> None:
    assert parse_request(INVITE).body == b"v=0\n"


def test_body_without_content_length_is_the_rest() -> None:
    assert parse_request(INVITE.replace(b"Content-Length: 4\r\n", b"")).body == b"v=0\nrest"


@pytest.mark.parametrize("length", [b"9999", b"-1", b"four", b"4\r\nContent-Length: 5", b"9" * 5000])
def test_a_wrong_content_length_is_a_defect(length: bytes) -> None:
    assert parse_request(INVITE.replace(b"Content-Length: 4", b"Content-Length: " + length)).defects


def test_bare_newlines_are_understood() -> None:
    request = parse_request(INVITE.replace(b"\r\n", b"\n"))
    assert request.defects == ()
    assert request.every("x-note") == ("one", "two")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"INVITE\r\n\r\n",
        b"\xff\xfe\x00",
        b"SIP/2.0 2000 OK\r\n\r\n",
    ],
)
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(SipSyntaxError):
        parse_message(data)


@pytest.mark.parametrize(
    "broken",
    [
        INVITE.replace(b"X-Note: one", b"no colon here"),
        INVITE.replace(b"X-Note: one", b"bad name: one"),
        INVITE.replace(b"INVITE sip:proj_demo@sip.test SIP", b"INVITE sip:proj demo@sip.test SIP"),
        INVITE.replace(b"INVITE sip", b"INVITE  sip"),
        INVITE.replace(b"X-Note: one", b"X-Note: a\x00b"),
        INVITE.replace(b"X-Note: one", b"X-Note: a\rb"),
        INVITE.partition(b"\r\n\r\n")[0],
    ],
)
def test_what_is_wrong_but_can_be_told_apart_is_a_defect(broken: bytes) -> None:
    request = parse_request(broken)
    assert request.defects
    assert request.call_id == "abc@192.0.2.1"


def test_the_number_of_headers_is_capped() -> None:
    request = parse_request(INVITE.replace(b"X-Note: one\r\n", b"X: y\r\n" * (MAX_HEADERS + 50)))
    assert request.defects
    assert len(request.headers) == MAX_HEADERS


@pytest.mark.parametrize(
    "value",
    [
        "",
        "INVITE",
        "x INVITE",
        "-1 INVITE",
        "2147483648 INVITE",
        "1 2 INVITE",
        "²3 INVITE",
        "9" * 5000 + " A",
    ],
)
def test_a_bad_cseq_is_refused(value: str) -> None:
    request = Request(method="INVITE", uri="sip:a@b.test", headers=(("CSeq", value),))
    with pytest.raises(SipSyntaxError):
        _ = request.cseq


def test_a_response_without_reason_is_read() -> None:
    response = parse_message(b"SIP/2.0 200\r\nCall-ID: a\r\n\r\n")
    assert isinstance(response, Response)
    assert (response.status, response.reason, response.is_final) == (200, "", True)


def test_encode_writes_the_length_of_the_body() -> None:
    request = Request(
        method="INFO",
        uri="sip:a@b.test",
        headers=(("Call-ID", "x"), ("l", "99")),
        body="zwölf".encode(),
    )
    encoded = request.encode()
    assert encoded == (b"INFO sip:a@b.test SIP/2.0\r\nCall-ID: x\r\nContent-Length: 6\r\n\r\nzw\xc3\xb6lf")
    assert parse_request(encoded).body == request.body


def test_any_byte_of_a_header_survives_the_echo() -> None:
    request = parse_request(INVITE.replace(b"tag=1", b"tag=\xff\xe9"))
    assert b";tag=\xff\xe9\r\n" in make_response(request, 400).encode()


def test_an_answer_repeats_what_identifies_the_request() -> None:
    response = make_response(parse_request(INVITE), 486, to_tag="ours", headers=(("Server", "s"),))
    assert response.reason == "Busy Here"
    assert response.headers == (
        ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-a"),
        ("v", "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK-b"),
        ("From", "<sip:+15550100001@carrier.test>;tag=1"),
        ("To", "<sip:proj_demo@sip.test>;tag=ours"),
        ("i", "abc@192.0.2.1"),
        ("CSeq", "17  INVITE"),
        ("Server", "s"),
    )


def test_a_tag_is_added_once() -> None:
    assert with_tag("<sip:a@b.test;tag=uri>", "t") == "<sip:a@b.test;tag=uri>;tag=t"
    assert with_tag("<sip:a@b.test> ; tag=old", "t") == "<sip:a@b.test> ; tag=old"


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    try:
        message = parse_message(data)
    except SipSyntaxError:
        return
    assert message.encode()


@given(st.integers(0, len(INVITE)), st.binary(max_size=8), st.integers(0, 8))
def test_no_damage_to_a_message_breaks_the_parser(at: int, inserted: bytes, removed: int) -> None:
    try:
        message = parse_message(INVITE[:at] + inserted + INVITE[at + removed :])
    except SipSyntaxError:
        return
    for name, value in message.headers:
        assert "\r" not in value
        assert "\n" not in name + value
