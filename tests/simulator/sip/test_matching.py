from __future__ import annotations

import pytest

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.matching import (
    ack_of_refusal,
    cancel_of,
    client_key,
    merge_key,
    server_key,
)
from sipagent.simulator.sip.message import Request, make_response

VIA = "SIP/2.0/UDP a.test:5070;branch=z9hG4bK-1"


def request(method: str = "INVITE", *, via: str = VIA) -> Request:
    return Request(
        method=method,
        uri="sip:b@b.test",
        headers=(
            ("Via", via),
            ("Via", "SIP/2.0/UDP further.test;branch=z9hG4bK-0"),
            ("Route", "<sip:p1.test;lr>"),
            ("Route", "<sip:p2.test;lr>"),
            ("From", "<sip:a@a.test>;tag=1"),
            ("To", "<sip:b@b.test>"),
            ("Call-ID", "c"),
            ("CSeq", f"7 {method}"),
        ),
    )


def test_an_ack_belongs_to_its_invite_and_a_cancel_does_not() -> None:
    assert server_key(request("ACK")) == server_key(request("INVITE"))
    assert server_key(request("CANCEL")) != server_key(request("INVITE"))
    assert server_key(request("CANCEL"))[:-1] == server_key(request("INVITE"))[:-1]


def test_the_sender_is_part_of_the_key() -> None:
    assert server_key(request()) != server_key(request(via="SIP/2.0/UDP a.test:5071;branch=z9hG4bK-1"))


def test_what_we_write_into_via_does_not_change_the_key() -> None:
    returned = request("CANCEL", via="SIP/2.0/UDP a.test:5070;branch=z9hG4bK-1;received=192.0.2.1")
    assert server_key(returned)[:-1] == server_key(request())[:-1]


@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK"])
def test_without_the_cookie_everything_that_repeats_is_the_key(branch: str) -> None:
    via = f"SIP/2.0/UDP a.test{branch}"
    assert server_key(request("ACK", via=via)) == server_key(request(via=via))
    assert server_key(request(via=via)) != server_key(request(via="SIP/2.0/UDP b.test"))


def test_a_broken_via_has_no_key() -> None:
    with pytest.raises(SipSyntaxError):
        server_key(request(via="nonsense"))


def test_an_answer_finds_its_request() -> None:
    assert client_key(make_response(request(), 180)) == client_key(request())
    assert client_key(cancel_of(request())) != client_key(request())


def test_merged_requests_are_equal_whatever_way_they_took() -> None:
    assert merge_key(request()) == merge_key(request(via="SIP/2.0/UDP other.test;branch=z9hG4bK-2"))


def test_the_ack_of_a_refusal_and_the_cancel_go_the_way_of_the_invite() -> None:
    refusal = make_response(request(), 486, to_tag="theirs")
    ack, cancel = ack_of_refusal(request(), refusal), cancel_of(request())
    for derived in (ack, cancel):
        assert derived.every("via") == (VIA,)
        assert derived.every("route") == request().every("route")
        assert derived.uri == "sip:b@b.test"
    assert (ack.text("to"), ack.cseq) == ("<sip:b@b.test>;tag=theirs", (7, "ACK"))
    assert (cancel.text("to"), cancel.cseq) == ("<sip:b@b.test>", (7, "CANCEL"))
