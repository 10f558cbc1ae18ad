"""Calls over TCP and TLS: framing, one connection for both directions, and connections that break."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.settings import ListenAddress, SipSettings
from sipagent.simulator.sip.transport import is_ip_address, local_host_towards, resolve
from tests.simulator.sip.peer import OFFER, WAIT_S, header, tag_of
from tests.simulator.sip.rig import ANSWER, Heard, Rig, endpoint
from tests.support.eventually import eventually


class Stream:
    """A peer on a stream connection, made of text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.port = writer.get_extra_info("sockname")[1]

    def send(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)

    async def receive(self) -> str:
        async with asyncio.timeout(WAIT_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            return head + (await self._reader.readexactly(int(header(head, "Content-Length")))).decode()

    async def receive_bytes(self, count: int) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self._reader.readexactly(count)

    async def ended(self) -> bool:
        """Whether the endpoint closed the connection; what it sent before is dropped."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(4096):
                    pass
        return True

    def request(
        self, method: str, *, call_id: str = "c", cseq: int = 1, to_tag: str = "", body: str = ""
    ) -> str:
        tag = f";tag={to_tag}" if to_tag else ""
        content = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:proj_demo@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/TCP 127.0.0.1:{self.port};branch=z9hG4bK-{call_id}-{cseq}-{method}\r\n"
            f"From: <sip:a@a.test>;tag=f\r\nTo: <sip:proj_demo@sip.test>{tag}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:a@127.0.0.1:9;transport=tcp>\r\n{content}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )


@asynccontextmanager
async def connected(rig: Rig, context: ssl.SSLContext | None = None) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection(*rig.remote, ssl=context)
    try:
        yield Stream(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# TCP


async def test_messages_are_found_however_the_stream_is_cut() -> None:
    async with endpoint("tcp") as rig, connected(rig) as stream:
        both = stream.request("OPTIONS", call_id="one") + stream.request("OPTIONS", call_id="two")
        for start in range(0, len(both), 97):
            stream.send(both[start : start + 97])
            await stream.writer.drain()
            await asyncio.sleep(0)
        assert header(await stream.receive(), "Call-ID") == "one"
        assert header(await stream.receive(), "Call-ID") == "two"


async def test_a_ping_is_answered() -> None:
    async with endpoint("tcp") as rig, connected(rig) as stream:
        stream.send(b"\r\n\r\n")
        assert await stream.receive_bytes(2) == b"\r\n"


async def test_our_requests_come_on_the_connection_of_the_call() -> None:
    async with endpoint("tcp") as rig, connected(rig) as stream:
        stream.send(stream.request("INVITE", body=OFFER))
        assert (await stream.receive()).startswith("SIP/2.0 100")
        call, heard = await rig.next_call()
        call.answer(ANSWER)
        ok = await stream.receive()
        assert header(ok, "Contact") == f"<sip:OAI@127.0.0.1:{rig.address.port};transport=tcp>"
        stream.send(stream.request("ACK", to_tag=tag_of(ok)))
        await heard.until(lambda: bool(heard.acknowledgements))
        call.bye()
        bye = await stream.receive()
        assert bye.startswith("BYE sip:a@127.0.0.1:9;transport=tcp SIP/2.0")
        assert header(bye, "Via").startswith(f"SIP/2.0/TCP 127.0.0.1:{rig.address.port};branch=z9hG4bK")


async def test_an_answered_call_outlives_its_connection() -> None:
    async with endpoint("tcp") as rig:
        async with connected(rig) as first:
            first.send(first.request("INVITE", body=OFFER))
            call, heard = await rig.next_call()
            call.answer(ANSWER)
            await first.receive()
            ok = await first.receive()
            first.send(first.request("ACK", to_tag=tag_of(ok)))
            await heard.until(lambda: bool(heard.acknowledgements))
        async with connected(rig) as second:
            second.send(second.request("INFO", cseq=2, to_tag=tag_of(ok)))
            assert (await second.receive()).startswith("SIP/2.0 200")
            call.bye()
            assert (await second.receive()).startswith("BYE ")


async def test_an_unanswered_call_fails_with_its_connection() -> None:
    async with endpoint("tcp") as rig:
        async with connected(rig) as stream:
            stream.send(stream.request("INVITE", body=OFFER))
            call, heard = await rig.next_call()
        await heard.until(lambda: heard.ends == ["failed"])
        call.answer(ANSWER)
        assert call.is_over
        assert rig.endpoint.live_calls == 0


async def test_a_request_of_ours_fails_with_its_connection() -> None:
    async with endpoint("tcp") as rig:
        async with connected(rig) as stream:
            stream.send(stream.request("INVITE", body=OFFER))
            call, heard = await rig.next_call()
            call.answer(ANSWER)
            await stream.receive()
            stream.send(stream.request("ACK", to_tag=tag_of(await stream.receive())))
            await heard.until(lambda: bool(heard.acknowledgements))
            referring = asyncio.ensure_future(call.refer("sip:human@human.test"))
            assert (await stream.receive()).startswith("REFER")
        async with asyncio.timeout(WAIT_S):
            assert await referring == 503


@pytest.mark.parametrize("length", ["nonsense", "999999"])
async def test_a_stream_that_cannot_be_followed_is_answered_and_closed(length: str) -> None:
    async with endpoint("tcp") as rig, connected(rig) as stream:
        stream.send(
            stream.request("INVITE", body=OFFER).replace(f"Length: {len(OFFER)}", f"Length: {length}")
        )
        assert (await stream.receive()).startswith("SIP/2.0 400")
        assert await stream.ended()
        assert rig.calls == []


async def test_an_endless_head_closes_the_connection() -> None:
    async with endpoint("tcp", settings=SipSettings(max_message_bytes=2000)) as rig, connected(rig) as stream:
        stream.send("OPTIONS sip:a SIP/2.0\r\n" + "X: y\r\n" * 1000)
        assert await stream.ended()


async def test_connections_beyond_the_limit_are_closed() -> None:
    async with endpoint("tcp", settings=SipSettings(max_connections=1)) as rig, connected(rig) as first:
        first.send(first.request("OPTIONS"))
        await first.receive()
        async with connected(rig) as second:
            assert await second.ended()
        first.send(first.request("OPTIONS", cseq=2))
        assert (await first.receive()).startswith("SIP/2.0 200")


async def test_a_peer_that_reads_nothing_is_cut_off() -> None:
    # Answers repeat the long Call-ID twice: 64 MB of them are more than any system keeps for us.
    long_id = "x" * 16_000
    async with endpoint("tcp") as rig, connected(rig) as stream:
        for number in range(2_000):
            if stream.writer.transport.is_closing():
                break
            stream.send(stream.request("OPTIONS", call_id=f"{number}{long_id}"))
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(WAIT_S):
                    await stream.writer.drain()
        else:
            raise AssertionError("megabytes were kept for a peer that reads nothing")


# TLS


async def test_a_call_over_tls_in_both_directions(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with (
        endpoint("tls", tls=server_tls) as callee,
        endpoint("tls", tls=server_tls, client_tls=client_tls) as caller,
    ):
        heard = Heard()
        dialled = await caller.endpoint.dial(
            f"sip:proj_demo@127.0.0.1:{callee.address.port};transport=tls",
            offer=OFFER.encode(),
            listener=heard,
        )
        call, callee_heard = await callee.next_call()
        assert call.transport == "tls"
        contact = dict(call.headers)["Contact"]
        assert contact == f"<sip:OAI@127.0.0.1:{caller.address.port};transport=tls>"
        call.answer(ANSWER)
        assert (await dialled.final_response()).status == 200
        await callee_heard.until(lambda: bool(callee_heard.acknowledgements))
        call.bye()
        await heard.until(lambda: heard.ends == ["bye"])


async def test_a_stranger_to_tls_is_turned_away(server_tls: ssl.SSLContext) -> None:
    async with endpoint("tls", tls=server_tls) as rig, connected(rig) as stream:
        stream.send(stream.request("OPTIONS"))
        assert await stream.ended()


async def test_an_untrusted_certificate_is_not_dialled(server_tls: ssl.SSLContext) -> None:
    async with endpoint("tls", tls=server_tls) as callee, endpoint() as caller:
        with pytest.raises(SimulatorError, match="cannot connect"):
            await caller.endpoint.dial(f"sips:a@127.0.0.1:{callee.address.port}", offer=OFFER.encode())
        assert callee.calls == []


# Dialling


async def test_nobody_listens() -> None:
    async with endpoint("tcp") as rig:
        port = rig.address.port
        await rig.endpoint.aclose()
        async with endpoint() as caller:
            with pytest.raises(SimulatorError, match="cannot connect"):
                await caller.endpoint.dial(f"sip:a@127.0.0.1:{port};transport=tcp", offer=OFFER.encode())


async def test_a_handshake_that_never_ends_is_given_up() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with endpoint(settings=SipSettings(connect_timeout_s=0.2)) as caller:
        with pytest.raises(SimulatorError, match="cannot connect"):
            await caller.endpoint.dial(f"sips:a@127.0.0.1:{port}", offer=OFFER.encode())
    server.close()
    await server.wait_closed()


async def test_dialling_can_be_cancelled() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        writer.close()
        gone.set()

    accepted, gone = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with endpoint() as caller, asyncio.timeout(WAIT_S):
        dialling = asyncio.ensure_future(
            caller.endpoint.dial(f"sips:a@127.0.0.1:{port}", offer=OFFER.encode())
        )
        await accepted.wait()
        dialling.cancel()
        await asyncio.wait([dialling])
        assert dialling.cancelled()
        await gone.wait()
    server.close()
    await server.wait_closed()


async def test_a_connection_lost_while_it_rings_is_a_503() -> None:
    async with endpoint("tcp") as callee, endpoint() as caller:
        call = await caller.endpoint.dial(
            f"sip:a@127.0.0.1:{callee.address.port};transport=tcp", offer=OFFER.encode()
        )
        await callee.next_call()
        await callee.endpoint.aclose()
        async with asyncio.timeout(WAIT_S):
            assert (await call.final_response()).status in {480, 503}
        await eventually(lambda: call.is_over)


async def test_dialling_from_an_address_not_listened_on() -> None:
    async with endpoint() as caller:
        with pytest.raises(SimulatorError, match="not listened on"):
            await caller.endpoint.dial(
                "sip:a@127.0.0.1", offer=OFFER.encode(), local=ListenAddress.parse("udp:127.0.0.1:1")
            )


# Addresses


async def test_names_are_looked_up_and_addresses_are_not() -> None:
    assert await resolve("127.0.0.9", 7) == ("127.0.0.9", 7)
    assert await resolve("localhost", 7) == ("127.0.0.1", 7)
    with pytest.raises(SimulatorError):
        await resolve("no-such-host.invalid", 7)
    assert [is_ip_address(text) for text in ("127.0.0.1", "::1", "sip.test", "", "1.2.3")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert local_host_towards(("127.0.0.1", 0)) == "127.0.0.1"
