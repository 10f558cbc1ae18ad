"""Requests within a call, received and sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.call import IncomingSipCall
from sipagent.simulator.sip.transaction import Timers
from tests.simulator.sip.peer import OFFER, WAIT_S, Peer, header, tag_of
from tests.simulator.sip.rig import ANSWER, QUICK, STEADY, Heard, Rig, endpoint
from tests.support.eventually import eventually


@asynccontextmanager
async def talking(
    *, timers: Timers = STEADY, invite_extra: str = ""
) -> AsyncIterator[tuple[Rig, Peer, IncomingSipCall, Heard, str]]:
    """An answered and acknowledged call: endpoint, peer, call, listener, our tag."""
    async with endpoint(timers=timers) as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", extra=invite_extra, body=OFFER))
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        ok = await peer.expect("SIP/2.0 200")
        peer.send(peer.request("ACK", branch="z9hG4bK-ack", to_tag=tag_of(ok)))
        await heard.until(lambda: bool(heard.acknowledgements))
        yield rig, peer, call, heard, tag_of(ok)
        peer.close()


# Received


async def test_hold_by_reinvite() -> None:
    async with talking() as (rig, peer, call, heard, tag):
        heard.answer_reinvite = b"v=0\r\nm=audio 1 RTP/AVP 0\r\n"
        held = OFFER + "a=sendonly\r\n"
        peer.send(peer.request("INVITE", branch="z9hG4bK-2", cseq=2, to_tag=tag, body=held))
        await peer.expect("SIP/2.0 100")
        ok = await peer.receive()
        assert ok.startswith("SIP/2.0 200")
        assert ok.endswith(heard.answer_reinvite.decode())
        assert heard.offers == [held.encode()] == [call.remote_sdp]
        peer.send(peer.request("ACK", branch="z9hG4bK-3", cseq=2, to_tag=tag))
        await heard.until(lambda: len(heard.acknowledgements) == 2)
        assert len(rig.calls) == 1


async def test_a_refused_change_leaves_the_call_as_it_was() -> None:
    async with talking() as (_, peer, call, heard, tag):
        peer.send(peer.request("INVITE", branch="z9hG4bK-2", cseq=2, to_tag=tag, body=OFFER + "a=x\r\n"))
        await peer.expect("SIP/2.0 488")
        peer.send(peer.request("ACK", branch="z9hG4bK-2", cseq=2, to_tag=tag))
        peer.send(peer.request("UPDATE", branch="z9hG4bK-3", cseq=3, to_tag=tag, body=OFFER))
        await peer.expect("SIP/2.0 488")
        assert call.remote_sdp == OFFER.encode()
        assert heard.ends == []


async def test_a_change_before_the_last_one_is_settled_has_to_wait() -> None:
    async with talking() as (_, peer, _call, heard, tag):
        heard.answer_reinvite = ANSWER
        peer.send(peer.request("INVITE", branch="z9hG4bK-2", cseq=2, to_tag=tag, body=OFFER))
        await peer.expect("SIP/2.0 200")
        peer.send(peer.request("INVITE", branch="z9hG4bK-3", cseq=3, to_tag=tag, body=OFFER))
        refused = await peer.expect("SIP/2.0 500")
        assert header(refused, "Retry-After")


async def test_a_reinvite_while_ringing_has_to_wait() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=OFFER))
        call, _ = await rig.next_call()
        call.ring()
        tag = tag_of(await peer.expect("SIP/2.0 180"))
        peer.send(peer.request("INVITE", branch="z9hG4bK-2", cseq=2, to_tag=tag, body=OFFER))
        await peer.expect("SIP/2.0 500")
        peer.close()


async def test_changes_from_both_sides_at_once_are_refused() -> None:
    async with talking() as (_, peer, call, _heard, tag):
        changing = asyncio.ensure_future(call.reinvite(ANSWER))
        await peer.expect("INVITE")
        peer.send(peer.request("INVITE", branch="z9hG4bK-2", cseq=2, to_tag=tag, body=OFFER))
        await peer.expect("SIP/2.0 491")
        assert (await call.reinvite(ANSWER)).status == 491
        changing.cancel()


async def test_update_refreshes_the_target_and_the_session_timer() -> None:
    async with talking() as (_, peer, call, _heard, tag):
        extra = "Supported: timer\r\nSession-Expires: 90\r\n"
        update = peer.request("UPDATE", branch="z9hG4bK-2", cseq=2, to_tag=tag, extra=extra)
        peer.send(update.replace("sip:caller@", "sip:moved@"))
        assert header(await peer.expect("SIP/2.0 200"), "Session-Expires") == "90;refresher=uac"
        call.bye()
        assert (await peer.expect("BYE")).startswith(f"BYE sip:moved@127.0.0.1:{peer.port} SIP/2.0")


async def test_info_reaches_the_listener() -> None:
    async with talking() as (_, peer, _call, heard, tag):
        extra = "Content-Type: application/dtmf-relay\r\n"
        peer.send(peer.request("INFO", branch="z9hG4bK-2", cseq=2, to_tag=tag, extra=extra, body="Signal=5"))
        await peer.expect("SIP/2.0 200")
        assert heard.infos == [("application/dtmf-relay", b"Signal=5")]


async def test_requests_out_of_order_are_refused() -> None:
    async with talking() as (_, peer, call, _heard, tag):
        peer.send(peer.request("INFO", branch="z9hG4bK-2", cseq=5, to_tag=tag))
        await peer.expect("SIP/2.0 200")
        peer.send(peer.request("BYE", branch="z9hG4bK-3", cseq=4, to_tag=tag))
        await peer.expect("SIP/2.0 500")
        assert not call.is_over


@pytest.mark.parametrize(
    ("method", "extra", "status"),
    [
        ("OPTIONS", "", 200),
        ("REGISTER", "", 405),
        ("NOTIFY", "Event: presence\r\n", 489),
        ("NOTIFY", "Event: refer\r\n", 400),
        ("REFER", "", 400),
        ("REFER", "Refer-To: <sip:a@a.test>\r\nRefer-To: <sip:b@b.test>\r\n", 400),
        ("REFER", "Refer-To: <sip:a@a.test>\r\n", 603),
    ],
)
async def test_other_requests_have_their_answers(method: str, extra: str, status: int) -> None:
    async with talking() as (_, peer, call, _heard, tag):
        peer.send(peer.request(method, branch="z9hG4bK-2", cseq=2, to_tag=tag, extra=extra))
        await peer.expect(f"SIP/2.0 {status} ")
        assert not call.is_over


async def test_after_the_end_only_a_crossing_bye_is_welcome() -> None:
    async with talking() as (_, peer, call, heard, tag):
        call.bye()
        bye = await peer.expect("BYE")
        peer.send(peer.request("INFO", branch="z9hG4bK-2", cseq=2, to_tag=tag))
        await peer.expect("SIP/2.0 481")
        peer.send(peer.request("BYE", branch="z9hG4bK-3", cseq=3, to_tag=tag))
        await peer.expect("SIP/2.0 200")
        peer.send(peer.ok_to(bye))
        assert heard.ends == []


# The end


async def test_bye_waits_for_the_ack_of_our_answer() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=OFFER))
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        call.bye()
        ok = await peer.expect("SIP/2.0 200")
        assert call.is_over
        assert peer.inbox.empty()
        peer.send(peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok)))
        bye = await peer.receive()
        assert bye.startswith("BYE ")
        peer.send(peer.ok_to(bye))
        assert (heard.acknowledgements, heard.ends) == ([], [])
        peer.close()


async def test_an_answer_never_acknowledged_is_repeated_then_hung_up() -> None:
    async with endpoint(timers=QUICK) as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=OFFER))
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        async with asyncio.timeout(WAIT_S):
            assert await call.wait_ended() == "ack_timeout"
        bye = await peer.expect("BYE")
        peer.send(peer.ok_to(bye))
        assert heard.ends == ["ack_timeout"]
        peer.close()


async def test_bye_is_an_acknowledgement_too() -> None:
    async with endpoint(timers=QUICK) as rig:
        peer = await Peer.open(rig.remote)
        peer.send(peer.request("INVITE", body=OFFER))
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        ok = await peer.expect("SIP/2.0 200")
        peer.send(peer.request("BYE", branch="z9hG4bK-2", cseq=2, to_tag=tag_of(ok)))
        while header(await peer.expect("SIP/2.0 200"), "CSeq") != "2 BYE":
            pass
        assert heard.ends == ["bye"]
        assert rig.endpoint.live_calls == 0
        peer.close()


async def test_a_bye_that_nobody_answers_is_given_up() -> None:
    async with talking(timers=QUICK) as (rig, peer, call, _heard, _tag):
        call.bye()
        call.bye()
        for _ in range(3):
            await peer.expect("BYE")
        await eventually(lambda: rig.endpoint.live_calls == 0)
        assert await call.wait_ended() == "local"


# Sent


async def test_refer_and_its_progress() -> None:
    async with talking() as (_, peer, call, heard, tag):
        referring = asyncio.ensure_future(call.refer("tel:+15550100001"))
        refer = await peer.expect("REFER")
        assert refer.startswith(f"REFER sip:caller@127.0.0.1:{peer.port} SIP/2.0")
        assert header(refer, "Refer-To") == "<tel:+15550100001>"
        assert tag_of(refer, "From") == tag
        assert header(refer, "Contact")
        assert header(refer, "Referred-By")
        peer.send(peer.ok_to(refer, "202 Accepted"))
        assert await referring == 202
        for cseq, state, line in (
            (2, "active;expires=60", "SIP/2.0 100 Trying"),
            (3, "terminated;reason=noresource", "SIP/2.0 200 OK"),
        ):
            extra = f"Event: refer;id=1\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n"
            peer.send(
                peer.request(
                    "NOTIFY", branch=f"z9hG4bK-n{cseq}", cseq=cseq, to_tag=tag, extra=extra, body=line
                )
            )
            await peer.expect("SIP/2.0 200")
        assert heard.progress == [(100, False), (200, True)]


async def test_a_lost_refer_is_repeated() -> None:
    async with talking(timers=QUICK) as (_, peer, call, _heard, _tag):
        referring = asyncio.ensure_future(call.refer("sip:human@human.test"))
        await peer.expect("REFER")
        peer.send(peer.ok_to(await peer.expect("REFER"), "405 Method Not Allowed"))
        assert await referring == 405


async def test_a_refer_nobody_answers_is_a_timeout() -> None:
    async with talking(timers=QUICK) as (_, _peer, call, _heard, _tag):
        assert await call.refer("sip:human@human.test") == 408


async def test_refer_after_the_end_is_a_481_and_nonsense_is_refused() -> None:
    async with talking() as (_, _peer, call, _heard, _tag):
        for target in ("", "nonsense", "sip:a@b.test\r\nX-Evil: 1", "sip:a@b.test>;x=<", "sip:ä@b.test"):
            with pytest.raises(SimulatorError):
                await call.refer(target)
        call.bye()
        assert await call.refer("sip:a@b.test") == 481


async def test_being_referred() -> None:
    async with talking() as (_, peer, call, heard, tag):
        heard.refer_status = 202
        extra = 'Refer-To: "Human" <sip:human@human.test?Replaces=x>\r\n'
        peer.send(peer.request("REFER", branch="z9hG4bK-2", cseq=2, to_tag=tag, extra=extra))
        await peer.expect("SIP/2.0 202")
        assert heard.targets == ["sip:human@human.test?Replaces=x"]
        notify = await peer.expect("NOTIFY")
        assert header(notify, "Event") == "refer"
        assert header(notify, "Subscription-State").startswith("active")
        assert notify.endswith("SIP/2.0 100 Progress\r\n")
        peer.send(peer.ok_to(notify))
        call.notify_refer(200)
        notify = await peer.expect("NOTIFY")
        assert header(notify, "Subscription-State").startswith("terminated")
        assert "SIP/2.0 200" in notify


async def test_a_change_of_ours_is_acknowledged_each_time() -> None:
    async with talking() as (_, peer, call, _heard, _tag):
        changing = asyncio.ensure_future(call.reinvite(ANSWER))
        invite = await peer.expect("INVITE")
        assert invite.encode().endswith(ANSWER)
        ok = peer.ok_to(invite, extra="Content-Type: application/sdp\r\n", body="v=0\r\n")
        peer.send(ok)
        assert (await changing).status == 200
        assert call.remote_sdp == b"v=0\r\n"
        for _ in range(2):
            ack = await peer.expect("ACK")
            assert header(ack, "CSeq") == header(invite, "CSeq").replace("INVITE", "ACK")
            peer.send(ok)
        call.bye()
        assert (await call.reinvite(ANSWER)).status == 481


async def test_a_refused_change_of_ours_is_acknowledged() -> None:
    async with talking() as (_, peer, call, _heard, _tag):
        changing = asyncio.ensure_future(call.reinvite(ANSWER))
        peer.send(peer.ok_to(await peer.expect("INVITE"), "488 Not Acceptable Here"))
        assert (await changing).status == 488
        await peer.expect("ACK")
        assert call.remote_sdp == OFFER.encode()


async def test_requests_follow_the_recorded_route() -> None:
    async with endpoint() as rig:
        proxy = await Peer.open(rig.remote)
        peer = await Peer.open(rig.remote)
        route = f"<sip:127.0.0.1:{proxy.port};lr>"
        peer.send(peer.request("INVITE", extra=f"Record-Route: {route}\r\n", body=OFFER))
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        ok = await peer.expect("SIP/2.0 200")
        assert header(ok, "Record-Route") == route
        proxy.send(peer.request("ACK", branch="z9hG4bK-2", to_tag=tag_of(ok)))
        await heard.until(lambda: bool(heard.acknowledgements))
        call.bye()
        bye = await proxy.expect("BYE")
        assert header(bye, "Route") == route
        assert bye.startswith(f"BYE sip:caller@127.0.0.1:{peer.port} SIP/2.0")
        peer.close()
        proxy.close()


async def test_a_first_hop_that_is_a_name_is_replaced_by_where_the_peer_is() -> None:
    async with talking(invite_extra="Record-Route: <sip:proxy.test;lr>\r\n") as (_, peer, call, _heard, _tag):
        call.bye()
        assert header(await peer.expect("BYE"), "Route") == "<sip:proxy.test;lr>"
