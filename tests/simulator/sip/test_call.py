"""Calls we make, against a peer made of text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.call import IncomingSipCall, OutgoingSipCall
from sipagent.simulator.sip.transaction import Timers
from tests.simulator.sip.peer import WAIT_S, Peer, header, tag_of
from tests.simulator.sip.rig import ANSWER, QUICK, Heard, Rig, endpoint

OFFER_BYTES = ANSWER
CONTENT = "Content-Type: application/sdp\r\n"


async def dial(rig: Rig, peer: Peer) -> tuple[OutgoingSipCall, Heard, str]:
    """Call the peer from the endpoint; returns the INVITE as the peer got it."""
    heard = Heard()
    call = await rig.endpoint.dial(
        f"sip:human@127.0.0.1:{peer.port}",
        offer=OFFER_BYTES,
        from_uri='"Ann" <sip:+15550100001@carrier.test>',
        headers=[("X-A", "1"), ("X-B", "line\r\nbreak"), ("X-A", "2")],
        listener=heard,
        local=rig.address,
    )
    return call, heard, await peer.expect("INVITE")


def answered(peer: Peer, invite: str, status: str, *, body: str = "") -> str:
    extra = f"Contact: <sip:human@127.0.0.1:{peer.port}>\r\n{CONTENT}"
    text = peer.ok_to(invite, status, extra=extra, body=body)
    return text.replace(header(text, "To"), header(text, "To") + ";tag=theirs")


async def test_a_call_from_dialling_to_their_bye() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, heard, invite = await dial(rig, peer)
        assert invite.startswith(f"INVITE sip:human@127.0.0.1:{peer.port} SIP/2.0\r\n")
        assert header(invite, "From").startswith('"Ann" <sip:+15550100001@carrier.test>;tag=')
        assert "X-A: 1\r\nX-B: line break\r\nX-A: 2\r\n" in invite
        assert invite.encode().endswith(OFFER_BYTES)
        peer.send(answered(peer, invite, "180 Ringing"))
        await heard.until(lambda: heard.statuses == [180])
        ok = answered(peer, invite, "200 OK", body="v=0\r\n")
        peer.send(ok)
        response = await call.final_response()
        assert (response.status, call.remote_sdp) == (200, b"v=0\r\n")
        ack = await peer.expect("ACK")
        assert header(ack, "CSeq") == "1 ACK"
        assert tag_of(ack) == "theirs"
        peer.send(ok)
        await peer.expect("ACK")
        bye = peer.request(
            "BYE",
            call_id=header(invite, "Call-ID"),
            from_tag="theirs",
            to_tag=tag_of(invite, "From"),
        )
        peer.send(bye)
        await peer.expect("SIP/2.0 200")
        assert await call.wait_ended() == "bye"
        assert heard.ends == ["bye"]
        assert rig.endpoint.live_calls == 0
        peer.close()


async def test_we_hang_up() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, heard, invite = await dial(rig, peer)
        peer.send(answered(peer, invite, "200 OK"))
        await call.final_response()
        call.bye()
        bye = await peer.expect("BYE")
        assert header(bye, "CSeq") == "2 BYE"
        peer.send(peer.ok_to(bye))
        assert await call.wait_ended() == "local"
        assert heard.ends == []
        peer.close()


async def test_a_refusal_is_acknowledged() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, heard, invite = await dial(rig, peer)
        peer.send(answered(peer, invite, "486 Busy Here"))
        assert (await call.final_response()).status == 486
        ack = await peer.expect("ACK")
        assert header(ack, "Via") == header(invite, "Via")
        assert (await call.wait_ended(), heard.ends) == ("rejected", ["rejected"])
        assert await call.refer("sip:a@b.test") == 481
        peer.close()


async def test_giving_up_while_it_rings() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, heard, invite = await dial(rig, peer)
        peer.send(answered(peer, invite, "180 Ringing"))
        await heard.until(lambda: heard.statuses == [180])
        call.cancel()
        call.cancel()
        cancel = await peer.expect("CANCEL")
        assert header(cancel, "Via") == header(invite, "Via")
        peer.send(peer.ok_to(cancel))
        peer.send(answered(peer, invite, "487 Request Terminated"))
        assert (await call.final_response()).status == 487
        await peer.expect("ACK")
        assert await call.wait_ended() == "local"
        assert heard.ends == []
        assert peer.inbox.empty()
        peer.close()


async def test_a_cancel_waits_for_the_first_sign_of_life() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, _, invite = await dial(rig, peer)
        call.cancel()
        assert peer.inbox.empty()
        peer.send(answered(peer, invite, "100 Trying"))
        await peer.expect("CANCEL")
        peer.close()


async def test_an_answer_that_crosses_our_cancel_is_hung_up() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, _, invite = await dial(rig, peer)
        call.cancel()
        peer.send(answered(peer, invite, "200 OK"))
        assert header(await peer.receive(), "CSeq") == "1 ACK"
        assert header(await peer.receive(), "CSeq") == "2 BYE"
        peer.close()


async def test_silence_is_a_timeout() -> None:
    async with endpoint(timers=QUICK) as rig:
        peer = await Peer.open(rig.remote)
        call, heard, _ = await dial(rig, peer)
        async with asyncio.timeout(WAIT_S):
            assert (await call.final_response()).status == 408
        assert heard.ends == ["rejected"]
        assert peer.inbox.qsize() >= 3, "the INVITE was repeated"
        peer.close()


async def test_closing_while_it_rings_lets_nobody_wait() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        call, heard, invite = await dial(rig, peer)
        peer.send(answered(peer, invite, "180 Ringing"))
        await heard.until(lambda: heard.statuses == [180])
        waiting = asyncio.ensure_future(call.final_response())
        await rig.endpoint.aclose()
        assert (await waiting).status == 408
        await peer.expect("CANCEL")
        peer.close()


@pytest.mark.parametrize(
    "target", ["tel:+15550100001", "nonsense", "sip:", "sip:a@127.0.0.1 x", "sip:a@no-such-host.invalid"]
)
async def test_what_cannot_be_dialled_is_an_error_of_ours(target: str) -> None:
    async with endpoint() as rig:
        with pytest.raises(SimulatorError):
            await rig.endpoint.dial(target, offer=OFFER_BYTES)


async def test_headers_of_a_uri_are_not_dialled() -> None:
    async with endpoint() as rig:
        peer = await Peer.open(rig.remote)
        await rig.endpoint.dial(f"sip:human@localhost:{peer.port}?Replaces=x", offer=OFFER_BYTES)
        assert (await peer.expect("INVITE")).startswith(f"INVITE sip:human@localhost:{peer.port} SIP/2.0\r\n")
        peer.close()


# Two endpoints of ours, losing datagrams

LOSSY = Timers(t1_s=0.1, t2_s=0.2, t4_s=0.4)
"""Gives up after 6.4 seconds: losses are made up for, also where the machine is busy."""


async def test_calls_survive_lost_datagrams() -> None:
    """Every third datagram in each direction is lost; each call is still one call with one end."""
    callee_heard: list[Heard] = []

    def take(call: IncomingSipCall) -> None:
        heard = Heard()
        call.listen(heard)
        callee_heard.append(heard)
        call.ring()
        call.answer(ANSWER)

    async with (
        endpoint(timers=LOSSY, take=take) as callee,
        lossy_relay(callee.remote) as relay_port,
        endpoint(timers=LOSSY) as caller,
    ):
        calls = [
            await caller.endpoint.dial(f"sip:proj_demo@127.0.0.1:{relay_port}", offer=OFFER_BYTES)
            for _ in range(12)
        ]
        async with asyncio.timeout(4 * WAIT_S):
            statuses = [(await call.final_response()).status for call in calls]
            assert statuses.count(200) == 12
            for heard in callee_heard:
                await heard.until(lambda heard=heard: len(heard.acknowledgements) > 0)  # type: ignore[misc]
            for call in calls:
                call.bye()
            for heard in callee_heard:
                await heard.until(lambda heard=heard: len(heard.ends) > 0)  # type: ignore[misc]
        assert len(callee.calls) == 12
        assert [heard.ends for heard in callee_heard] == [["bye"]] * 12


class _Relay(asyncio.DatagramProtocol):
    """Stands between one caller and one callee and loses every third datagram of each direction."""

    def __init__(self, callee: tuple[str, int]) -> None:
        self._callee = callee
        self._caller: tuple[str, int] | None = None
        self._counts = {True: 0, False: 0}
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def transport(self) -> asyncio.DatagramTransport:
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        from_callee = addr == self._callee
        if from_callee:
            # Later requests of the caller must come through here, too.
            port = self.transport.get_extra_info("sockname")[1]
            data = data.replace(b"@127.0.0.1:%d>" % self._callee[1], b"@127.0.0.1:%d>" % port)
        else:
            self._caller = addr
        self._counts[from_callee] += 1
        target = self._caller if from_callee else self._callee
        if self._counts[from_callee] % 3 and target is not None:
            self.transport.sendto(data, target)


@asynccontextmanager
async def lossy_relay(callee: tuple[str, int]) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Relay(callee), local_addr=("127.0.0.1", 0))
    yield int(transport.get_extra_info("sockname")[1])
    transport.close()
