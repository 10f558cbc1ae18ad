from __future__ import annotations

import pytest

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.dialog import Dialog, contact_uri
from sipagent.simulator.sip.message import Request, make_response


def invite(*extra: tuple[str, str], contact: str | None = "<sip:a@192.0.2.1:5070>;x=1") -> Request:
    return Request(
        method="INVITE",
        uri="sip:b@b.test",
        headers=(
            ("Via", "SIP/2.0/UDP a.test;branch=z9hG4bK-1"),
            ("f", '"Ann" <sip:a@a.test>;tag=remote'),
            ("To", "<sip:b@b.test>"),
            ("Call-ID", "c"),
            ("CSeq", "41 INVITE"),
            *((("Contact", contact),) if contact else ()),
            *extra,
        ),
    )


ROUTES = (("Record-Route", "<sip:p2.test;lr>, <sip:p1.test;lr>"), ("Record-Route", "<sip:p0.test;lr>"))


def test_the_callee_answers_along_the_recorded_route() -> None:
    dialog = Dialog.as_callee(invite(*ROUTES), local_tag="local")
    assert dialog.key == ("c", "local", "remote")
    request = dialog.request("BYE", headers=(("Reason", "x"),))
    assert request.uri == "sip:a@192.0.2.1:5070"
    assert request.headers == (
        ("Route", "<sip:p2.test;lr>"),
        ("Route", "<sip:p1.test;lr>"),
        ("Route", "<sip:p0.test;lr>"),
        ("From", "<sip:b@b.test>;tag=local"),
        ("To", '"Ann" <sip:a@a.test>;tag=remote'),
        ("Call-ID", "c"),
        ("CSeq", "1 BYE"),
        ("Max-Forwards", "70"),
        ("Reason", "x"),
    )
    assert dialog.next_hop == "sip:p2.test;lr"
    assert dialog.request("INFO").cseq == (2, "INFO")


def test_the_caller_uses_the_route_reversed_and_counts_on() -> None:
    response = make_response(
        invite(), 200, to_tag="theirs", headers=(*ROUTES, ("Contact", "<sip:b@192.0.2.2>"))
    )
    dialog = Dialog.as_caller(invite(), response)
    assert dialog.key == ("c", "remote", "theirs")
    assert dialog.ack(41).every("route") == ("<sip:p0.test;lr>", "<sip:p1.test;lr>", "<sip:p2.test;lr>")
    assert dialog.ack(41).cseq == (41, "ACK")
    assert dialog.request("BYE").cseq == (42, "BYE")
    assert dialog.request("BYE").text("to") == "<sip:b@b.test>;tag=theirs"


def test_an_answer_without_contact_keeps_the_target_dialled() -> None:
    assert Dialog.as_caller(invite(), make_response(invite(), 200, to_tag="t")).target == "sip:b@b.test"


def test_a_strict_router_gets_its_name_into_the_request_line() -> None:
    dialog = Dialog.as_callee(invite(("Record-Route", "<sip:strict.test>, <sip:p1.test;lr>")), local_tag="l")
    request = dialog.request("BYE")
    assert request.uri == "sip:strict.test"
    assert request.every("route") == ("<sip:p1.test;lr>", "<sip:a@192.0.2.1:5070>")


def test_older_requests_are_out_of_order() -> None:
    dialog = Dialog.as_callee(invite(), local_tag="l")
    for number, expected in ((41, True), (40, False), (44, True), (43, False), (99, True)):
        request = Request(method="INFO", uri="sip:x@x.test", headers=(("CSeq", f"{number} INFO"),))
        assert dialog.in_order(request) is expected


def test_the_target_follows_the_contact() -> None:
    dialog = Dialog.as_callee(invite(), local_tag="l")
    dialog.refresh_target(invite(contact="<sip:moved@192.0.2.9>"))
    assert dialog.target == "sip:moved@192.0.2.9"
    dialog.refresh_target(invite(contact=None))
    assert dialog.target == "sip:moved@192.0.2.9"
    with pytest.raises(SipSyntaxError):
        dialog.refresh_target(invite(contact="<nonsense>"))


@pytest.mark.parametrize("contact", [None, "*", "<tel:+15550100001>", "<sip:>"])
def test_a_contact_we_could_never_reach_founds_no_dialog(contact: str | None) -> None:
    with pytest.raises(SipSyntaxError):
        contact_uri(invite(contact=contact))
    with pytest.raises(SipSyntaxError):
        Dialog.as_callee(invite(contact=contact), local_tag="l")


def test_a_peer_from_before_rfc_3261_has_no_tag() -> None:
    old = Request(method="INVITE", uri="sip:b@b.test", headers=tuple(
        (name, value.partition(";tag")[0]) for name, value in invite().headers
    ))  # fmt: skip
    assert Dialog.as_callee(old, local_tag="l").key == ("c", "l", "")
