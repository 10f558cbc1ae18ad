"""A SIP peer made of text and sockets, sharing no code with the endpoint under test."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

WAIT_S = 60.0
"""Generous: a busy machine must not fail a test."""

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


class Peer(asyncio.DatagramProtocol):
    """Sends text as datagrams and keeps what comes back, in order."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str] = asyncio.Queue()
        self.lose: Callable[[str], bool] = lambda message: False
        """Datagrams from the endpoint that never arrive."""
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, remote: tuple[str, int]) -> Peer:
        _, peer = await asyncio.get_running_loop().create_datagram_endpoint(cls, remote_addr=remote)
        return peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        message = data.decode("utf-8", "surrogateescape")
        if not self.lose(message):
            self.inbox.put_nowait(message)

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def send(self, message: str | bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(message.encode() if isinstance(message, str) else message)

    async def receive(self) -> str:
        async with asyncio.timeout(WAIT_S):
            return await self.inbox.get()

    async def expect(self, start: str) -> str:
        """The next message that begins with ``start``; others in between are dropped."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.inbox.get()
                if message.startswith(start):
                    return message

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    # Messages

    def request(
        self,
        method: str,
        *,
        branch: str = "z9hG4bK-1",
        call_id: str = "call-1",
        cseq: int = 1,
        to_tag: str = "",
        from_tag: str = "caller-tag",
        extra: str = "",
        body: str = "",
        uri: str = "sip:proj_demo@127.0.0.1",
    ) -> str:
        tag = f";tag={to_tag}" if to_tag else ""
        content = "Content-Type: application/sdp\r\n" if body and "Content-Type" not in extra else ""
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch};rport\r\n"
            f"From: <sip:+15550100001@carrier.test>;tag={from_tag}\r\n"
            f"To: <sip:proj_demo@sip.test>{tag}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:caller@127.0.0.1:{self.port}>\r\nMax-Forwards: 70\r\n"
            f"{extra}{content}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def ok_to(self, request: str, status: str = "200 OK", extra: str = "", body: str = "") -> str:
        """Our answer to a request of the endpoint."""
        kept = [line for line in request.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
        head = "\r\n".join([f"SIP/2.0 {status}", *kept])
        return f"{head}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"


def header(message: str, name: str) -> str:
    """Value of the first header ``name``; an empty string when there is none."""
    found = re.search(rf"^{name}:[ \t]*(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def tag_of(message: str, name: str = "To") -> str:
    found = re.search(r";tag=([^;>\s]+)", header(message, name))
    assert found is not None, f"no tag in {header(message, name)!r}"
    return found[1]
