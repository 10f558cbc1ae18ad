"""Requests that need no call, and calls as a stranger on datagrams sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.settings import ListenAddress, SipSettings
from tests.simulator.sip.peer import OFFER, Peer, header, tag_of
from tests.simulator.sip.rig import ANSWER, QUICK, Rig, endpoint


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with endpoint() as made:
        yield made


@pytest.fixture
async def peer(rig: Rig) -> AsyncIterator[Peer]:
    made = await Peer.open(rig.remote)
    yield made
    made.close()


async def test_options_tells_what_is_understood(peer: Peer) -> None:
    peer.send(peer.request("OPTIONS"))
    response = await peer.receive()
    assert response.startswith("SIP/2.0 200 OK\r\n")
    assert "INVITE" in header(response, "Allow")
    assert "REFER" in header(response, "Allow")
    assert header(response, "Accept") == "application/sdp"
    assert f";rport={peer.port}" in header(response, "Via")
    assert tag_of(response)


async def test_every_registration_is_accepted(peer: Peer) -> None:
    peer.send(peer.request("REGISTER", extra="Expires: 90\r\n"))
    response = await peer.receive()
    assert response.startswith("SIP/2.0 200")
    assert header(response, "Contact") == f"<sip:caller@127.0.0.1:{peer.port}>;expires=90"


@pytest.mark.parametrize(
    ("method", "extra", "to_tag", "status"),
    [
        ("BYE", "", "nobody", 481),
        ("BYE", "", "", 481),
        ("INVITE", "", "nobody", 481),
        ("NOTIFY", "Event: refer\r\n", "", 481),
        ("CANCEL", "", "", 481),
        ("SUBSCRIBE", "Event: message-summary\r\n", "", 405),
        ("MESSAGE", "", "", 405),
        ("INVITE", "Require: 100rel\r\n", "", 420),
        ("OPTIONS", "this is no header\r\n", "", 400),
    ],
)
async def test_what_finds_no_call_is_refused(
    rig: Rig, peer: Peer, method: str, extra: str, to_tag: str, status: int
) -> None:
    peer.send(peer.request(method, extra=extra, to_tag=to_tag))
    response = await peer.receive()
    if response.startswith("SIP/2.0 100"):
        response = await peer.receive()
    assert response.startswith(f"SIP/2.0 {status} ")
    assert rig.calls == []


async def test_noise_is_dropped_and_the_endpoint_lives_on(rig: Rig, peer: Peer) -> None:
    for noise in (
        b"\r\n\r\n",
        b"\x00\x01" * 30,
        b"hello",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"INVITE x SIP/2.0\r\n\r\n",
    ):
        peer.send(noise)
    peer.send(peer.request("ACK", to_tag="nobody"))
    peer.send(peer.request("INVITE", extra="Content-Length: x\r\n").replace("Via:", "Why:"))
    peer.send(peer.request("OPTIONS"))
    assert header(await peer.receive(), "CSeq") == "1 OPTIONS"
    assert rig.calls == []
    assert peer.inbox.empty()


async def test_headers_of_the_invite_reach_the_call_as_they_were(rig: Rig, peer: Peer) -> None:
    extra = "X-One: a\r\nDiversion: <sip:+15550100002@carrier.test>\r\nx-one: b\r\n"
    invite = peer.request("INVITE", extra=extra, body=OFFER)
    peer.send(invite)
    call, _ = await rig.next_call()
    lines = invite.partition("\r\n\r\n")[0].split("\r\n")[1:]
    assert [f"{name}: {value}" for name, value in call.headers] == lines
    assert call.remote_sdp == OFFER.encode()
    assert (call.request_uri, call.transport, call.local_host) == (
        "sip:proj_demo@127.0.0.1",
        "udp",
        "127.0.0.1",
    )


async def test_a_call_from_invite_to_bye(rig: Rig, peer: Peer) -> None:
    peer.send(peer.request("INVITE", body=OFFER))
    assert (await peer.receive()).startswith("SIP/2.0 100")
    call, heard = await rig.next_call()
    call.ring()
    ringing = await peer.receive()
    assert ringing.startswith("SIP/2.0 180 Ringing")
    call.answer(ANSWER)
    ok = await peer.receive()
    assert ok.startswith("SIP/2.0 200 OK")
    assert ok.encode().endswith(ANSWER)
    assert header(ok, "Content-Type") == "application/sdp"
    assert header(ok, "Contact") == f"<sip:OAI@127.0.0.1:{rig.address.port}>"
    assert tag_of(ok) == tag_of(ringing)
    peer.send(peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok)))
    await heard.until(lambda: heard.acknowledgements == [b""])
    bye = peer.request("BYE", branch="z9hG4bK-3", cseq=2, to_tag=tag_of(ok))
    peer.send(bye)
    assert (await peer.receive()).startswith("SIP/2.0 200 OK")
    assert (await call.wait_ended(), heard.ends) == ("bye", ["bye"])
    peer.send(bye)
    assert (await peer.receive()).startswith("SIP/2.0 200 OK"), "a repeated BYE gets the same answer"
    assert rig.endpoint.live_calls == 0
    assert len(rig.calls) == 1


async def test_a_repeated_invite_is_one_call(rig: Rig, peer: Peer) -> None:
    invite = peer.request("INVITE", body=OFFER)
    for _ in range(3):
        peer.send(invite)
        assert (await peer.receive()).startswith("SIP/2.0 100")
    call, _ = await rig.next_call()
    call.answer(ANSWER)
    first = await peer.receive()
    peer.send(invite)
    assert await peer.receive() == first
    peer.send(peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(first)))
    peer.send(invite)
    peer.send(peer.request("OPTIONS", branch="z9hG4bK-9", call_id="other"))
    assert header(await peer.receive(), "CSeq") == "1 OPTIONS", "an acknowledged INVITE is absorbed"
    assert len(rig.calls) == 1


async def test_one_invite_on_two_ways_is_a_loop(rig: Rig, peer: Peer) -> None:
    peer.send(peer.request("INVITE", body=OFFER))
    await peer.expect("SIP/2.0 100")
    peer.send(peer.request("INVITE", branch="z9hG4bK-other", body=OFFER))
    assert (await peer.receive()).startswith("SIP/2.0 482")
    assert len(rig.calls) == 1


async def test_two_calls_with_one_call_id_stay_apart(rig: Rig, peer: Peer) -> None:
    tags = []
    for number in (1, 2):
        peer.send(peer.request("INVITE", branch=f"z9hG4bK-{number}", from_tag=f"f{number}", body=OFFER))
        call, _ = await rig.next_call()
        call.answer(ANSWER)
        ok = await peer.expect("SIP/2.0 200")
        tags.append(tag_of(ok))
        peer.send(peer.request("ACK", branch=f"z9hG4bK-a{number}", from_tag=f"f{number}", to_tag=tags[-1]))
    peer.send(peer.request("BYE", branch="z9hG4bK-b", cseq=2, from_tag="f2", to_tag=tags[1]))
    await peer.expect("SIP/2.0 200")
    assert [call.is_over for call in rig.calls] == [False, True]


async def test_cancel_ends_a_ringing_call(rig: Rig, peer: Peer) -> None:
    peer.send(peer.request("INVITE", body=OFFER))
    call, heard = await rig.next_call()
    call.ring()
    ringing = await peer.expect("SIP/2.0 180")
    peer.send(peer.request("CANCEL"))
    cancelled = await peer.receive()
    refused = await peer.receive()
    assert (header(cancelled, "CSeq"), header(refused, "CSeq")) == ("1 CANCEL", "1 INVITE")
    assert refused.startswith("SIP/2.0 487")
    assert tag_of(ringing) == tag_of(cancelled) == tag_of(refused)
    assert heard.ends == ["cancelled"]
    peer.send(peer.request("ACK", to_tag=tag_of(refused)))
    call.answer(ANSWER)
    call.reject(603)
    call.bye()
    peer.send(peer.request("OPTIONS", branch="z9hG4bK-9", call_id="other"))
    assert header(await peer.receive(), "CSeq") == "1 OPTIONS", "nothing else went out"
    assert rig.endpoint.live_calls == 0


async def test_cancel_after_the_answer_changes_nothing(rig: Rig, peer: Peer) -> None:
    peer.send(peer.request("INVITE", body=OFFER))
    call, heard = await rig.next_call()
    call.answer(ANSWER)
    ok = await peer.expect("SIP/2.0 200")
    peer.send(peer.request("CANCEL"))
    assert header(await peer.receive(), "CSeq") == "1 CANCEL"
    peer.send(peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok)))
    await heard.until(lambda: bool(heard.acknowledgements))
    assert not call.is_over


async def test_a_listener_that_comes_late_hears_of_the_end(rig: Rig, peer: Peer) -> None:
    peer.send(peer.request("INVITE", body=OFFER))
    await peer.expect("SIP/2.0 100")
    peer.send(peer.request("CANCEL"))
    await peer.expect("SIP/2.0 487")
    _, heard = await rig.next_call()
    assert heard.ends == ["cancelled"]


async def test_bye_before_the_answer_ends_the_call(rig: Rig, peer: Peer) -> None:
    peer.send(peer.request("INVITE", body=OFFER))
    call, heard = await rig.next_call()
    call.ring()
    ringing = await peer.expect("SIP/2.0 180")
    peer.send(peer.request("BYE", branch="z9hG4bK-2", cseq=2, to_tag=tag_of(ringing)))
    assert header(await peer.receive(), "CSeq") == "2 BYE"
    assert (await peer.receive()).startswith("SIP/2.0 487")
    assert heard.ends == ["bye"]


async def test_an_endless_number_of_requests_is_refused() -> None:
    async with endpoint(settings=SipSettings(max_transactions=3)) as rig:
        peer = await Peer.open(rig.remote)
        for number in range(3):
            peer.send(peer.request("OPTIONS", branch=f"z9hG4bK-{number}", call_id=str(number)))
            await peer.expect("SIP/2.0 200")
        peer.send(peer.request("INVITE", branch="z9hG4bK-x", body=OFFER))
        assert (await peer.receive()).startswith("SIP/2.0 503")
        assert rig.calls == []
        peer.close()


# Closing and listening


async def test_closing_says_goodbye_and_lets_nobody_wait() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=OFFER))
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        ok = await peer.expect("SIP/2.0 200")
        peer.send(peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok)))
        await heard.until(lambda: bool(heard.acknowledgements))
        peer.send(peer.request("INVITE", branch="z9hG4bK-3", call_id="second", body=OFFER))
        await rig.next_call()
        referring = asyncio.ensure_future(call.refer("sip:human@human.test"))
        await peer.expect("REFER")
        await rig.endpoint.aclose()
        assert await referring == 408
        assert await call.wait_ended() == "local"
        await peer.expect("BYE")
        await peer.expect("SIP/2.0 480")
        assert heard.ends == []
        await rig.endpoint.aclose()
        peer.close()


async def test_an_address_in_use_is_an_error_of_ours(rig: Rig) -> None:
    for transport in ("udp", "tcp"):
        first = await rig.endpoint.listen(ListenAddress.parse(f"{transport}:127.0.0.1:0"))
        with pytest.raises(SimulatorError, match="cannot receive SIP"):
            await rig.endpoint.listen(first)
    with pytest.raises(SimulatorError, match="certificate"):
        await rig.endpoint.listen(ListenAddress.parse("tls:127.0.0.1:0"))
    assert len(rig.endpoint.listening) == 3
    assert all(address.port for address in rig.endpoint.listening)


async def test_the_advertised_host_is_named() -> None:
    async with endpoint(settings=SipSettings(advertised_host="sip.example.test")) as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=OFFER))
        call, _ = await rig.next_call()
        call.ring()
        assert "@sip.example.test:" in header(await peer.expect("SIP/2.0 180"), "Contact")
        assert call.local_host == "sip.example.test"
        peer.close()


async def test_an_unspecified_address_is_never_named() -> None:
    sip = SipEndpoint(on_call=lambda call: call.ring(), settings=SipSettings(timers=QUICK))
    try:
        address = await sip.listen(ListenAddress.parse("udp:0.0.0.0:0"))
        peer = await Peer.open(("127.0.0.1", address.port))
        peer.send(peer.request("INVITE", body=OFFER))
        assert header(await peer.expect("SIP/2.0 180"), "Contact") == f"<sip:OAI@127.0.0.1:{address.port}>"
        peer.close()
    finally:
        await sip.aclose()
