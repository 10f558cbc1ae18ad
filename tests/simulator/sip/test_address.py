from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.address import (
    NameAddress,
    SipUri,
    Via,
    bracketed_host,
    listed,
    split_commas,
    stamp_received,
)


@pytest.mark.parametrize(
    ("text", "host", "port", "transport"),
    [
        ("sip:proj_demo@127.0.0.1:15061;transport=tls;transport=tls", "127.0.0.1", 15061, "tls"),
        ("sip:127.0.0.1", "127.0.0.1", None, "udp"),
        ("SIP:a:secret@host.test;transport=TCP?Subject=x", "host.test", None, "tcp"),
        ("sips:a@host.test", "host.test", None, "tls"),
        ("sip:a@host.test:5061", "host.test", 5061, "tls"),
        ("sip:a;b=c@[2001:db8::1]:5062;lr", "2001:db8::1", 5062, "udp"),
    ],
)
def test_uris(text: str, host: str, port: int | None, transport: str) -> None:
    uri = SipUri.parse(text)
    assert (uri.host, uri.port, uri.transport) == (host, port, transport)


def test_a_telephone_number_has_no_host() -> None:
    uri = SipUri.parse("tel:+15550100001;phone-context=x")
    assert (uri.scheme, uri.user, uri.host, uri.parameter("phone-context")) == (
        "tel",
        "+15550100001",
        "",
        "x",
    )


@pytest.mark.parametrize(
    "text", ["", "sip:", "host.test", "sip:a@", "sip:a@host:99999", "sip:a b@ho st", "1:2", "sip:a@h:1x"]
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        SipUri.parse(text)


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        ('"Ann, \\"A\\" <b>" <sip:a@b.test;x=1>;tag=t1', 'Ann, "A" <b>', "sip:a@b.test;x=1", "t1"),
        ("Ann Lee <sip:a@b.test>; tag = t2 ", "Ann Lee", "sip:a@b.test", "t2"),
        ("sip:a@b.test;tag=t3", "", "sip:a@b.test", "t3"),
        ("<sip:a@b.test;tag=inside>", "", "sip:a@b.test;tag=inside", None),
        ("<tel:+15550100001>;TAG=T4", "", "tel:+15550100001", "T4"),
    ],
)
def test_addresses(text: str, name: str, uri: str, tag: str | None) -> None:
    address = NameAddress.parse(text)
    assert (address.display_name, address.uri, address.tag) == (name, uri, tag)


@pytest.mark.parametrize("text", ["", "<", "<>", '"open <sip:a@b>', "<sip:a@b", '"only a name"', ";tag=1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        NameAddress.parse(text)


def test_via() -> None:
    via = Via.parse("SIP / 2.0 / TLS  192.0.2.1 : 5071 ; branch=z9hG4bK1;rport, SIP/2.0/UDP other.test")
    assert (via.transport, via.host, via.port, via.branch) == ("tls", "192.0.2.1", 5071, "z9hG4bK1")
    assert via.parameter("rport") == ""
    assert Via.parse("SIP/2.0/UDP [2001:db8::1]").host == "2001:db8::1"


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/3.0/UDP a", "SIP/2.0/UDP a:99999", "SIP/2.0/UDP a b", "nonsense"]
)
def test_a_broken_via_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        Via.parse(text)


def test_the_sender_is_written_into_the_topmost_via_only() -> None:
    headers = (
        ("Call-ID", "x"),
        ("v", "SIP/2.0/UDP phone.test;rport;branch=z9hG4bK1, SIP/2.0/UDP second.test;rport"),
        ("Via", "SIP/2.0/UDP third.test;rport"),
    )
    stamped = "SIP/2.0/UDP phone.test;rport=4444;branch=z9hG4bK1;received=192.0.2.7"
    assert stamp_received(headers, "192.0.2.7", 4444) == (
        ("Call-ID", "x"),
        ("v", f"{stamped}, SIP/2.0/UDP second.test;rport"),
        ("Via", "SIP/2.0/UDP third.test;rport"),
    )


def test_a_via_that_tells_the_truth_is_left_alone() -> None:
    headers = (("Via", "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1"),)
    assert stamp_received(headers, "192.0.2.7", 5060) == headers
    broken = (("Via", "nonsense"),)
    assert stamp_received(broken, "192.0.2.7", 5060) == broken


def test_commas_inside_quotes_and_brackets_do_not_split() -> None:
    text = '"A, B" <sip:a,b@c.test>, <sip:d@e.test> , ,sip:f@g.test'
    assert split_commas(text) == ['"A, B" <sip:a,b@c.test>', "<sip:d@e.test>", "sip:f@g.test"]
    assert listed(["a, b", "c"]) == ["a", "b", "c"]


def test_bracketed_host() -> None:
    assert (bracketed_host("::1"), bracketed_host("127.0.0.1")) == ("[::1]", "127.0.0.1")


@given(st.text(max_size=80))
def test_no_text_breaks_the_parsers(text: str) -> None:
    split_commas(text)
    stamp_received((("Via", text),), "192.0.2.1", 5060)
    for parse in (SipUri.parse, NameAddress.parse, Via.parse):
        try:
            parse(text)
        except SipSyntaxError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "SIP/2.0/UDP a" + " " * 60_000 + "x",
        '"' + "\\" * 60_000,
        "<sip:a@b>" + ';"' * 30_000,
        "sip:a@b;" + " ;" * 30_000,
        "SIP/2.0/UDP a;" + ";rport" * 10_000,
    ],
)
def test_hostile_text_takes_no_more_than_linear_time(text: str) -> None:
    started = time.process_time()
    for parse in (SipUri.parse, NameAddress.parse, Via.parse):
        try:
            parse(text)
        except SipSyntaxError:
            continue
    stamp_received((("Via", text),), "192.0.2.1", 5060)
    assert time.process_time() - started < 2.0
