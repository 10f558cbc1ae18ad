"""The cheapest possible other side: a Calls API, a Realtime socket and a sender of webhooks in one process.

It is no simulator: it answers every accept with 200, every socket with 101, and notes the moment at which
each call's accept, socket and first ``response.create`` arrived. Written on bare protocols, so that what is
measured is the service and not this file.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import struct
from dataclasses import dataclass, field

SECRET_KEY = b"a secret that only a bench may know"
SECRET = "whsec_" + base64.b64encode(SECRET_KEY).decode()
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

_ACCEPT = re.compile(rb"POST [^ ]*/realtime/calls/([^/ ]+)/(accept|hangup|reject|refer) ")
_SOCKET = re.compile(rb"GET [^ ]*/realtime\?call_id=([^& ]+) ")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)


@dataclass(slots=True)
class Moments:
    """When a call's webhook was sent, and when its accept, socket and greeting arrived."""

    sent: float
    accept: float | None = None
    socket: float | None = None
    greeting: float | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class FakeApi:
    """Every call under way, by its id, and every open socket."""

    def __init__(self) -> None:
        self.calls: dict[bytes, Moments] = {}
        self.sockets: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback; returns it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=2048)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close everything."""
        self.end_calls()
        assert self._server is not None
        self._server.close()

    def end_calls(self) -> None:
        """Every call ends as one whose caller hung up: its socket closes with 1000."""
        for transport in list(self.sockets):
            transport.write(b"\x88\x02\x03\xe8")
        self.sockets.clear()
        self.calls.clear()


class _Connection(asyncio.Protocol):
    """One connection: requests first, frames after an upgrade."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self._buffer = b""
        self._call_id: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._api.sockets.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and (self._frame() if self._call_id is not None else self._request()):
            pass

    def _request(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._buffer[: end + 4]
        length = int(found[1]) if (found := _LENGTH.search(head)) else 0
        if len(self._buffer) < len(head) + length:
            return False
        self._buffer = self._buffer[len(head) + length :]
        now = asyncio.get_running_loop().time()
        if (socket := _SOCKET.match(head)) is not None:
            self._upgrade(socket[1], head, now)
        else:
            asked = _ACCEPT.match(head)
            if asked is not None and asked[2] == b"accept" and asked[1] in self._api.calls:
                self._api.calls[asked[1]].accept = now
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    def _upgrade(self, call_id: bytes, head: bytes, now: float) -> None:
        key = _KEY.search(head)
        assert key is not None
        proof = base64.b64encode(hashlib.sha1(key[1].strip() + WEBSOCKET_GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        )
        self._call_id = call_id
        self._api.sockets.add(self._transport)
        if call_id in self._api.calls:
            self._api.calls[call_id].socket = now

    def _frame(self) -> bool:
        if len(self._buffer) < 6:
            return False
        length, start = self._buffer[1] & 0x7F, 2
        if length == 126:
            (length,), start = struct.unpack_from("!H", self._buffer, 2), 4
        elif length == 127:
            (length,), start = struct.unpack_from("!Q", self._buffer, 2), 10
        if len(self._buffer) < start + 4 + length:
            return False
        opcode, mask = self._buffer[0] & 0x0F, self._buffer[start : start + 4]
        masked = self._buffer[start + 4 : start + 4 + length]
        self._buffer = self._buffer[start + 4 + length :]
        if opcode == 8:
            self._transport.close()
            return False
        if opcode == 1:
            self._text(_unmasked(masked, mask))
        return True

    def _text(self, text: bytes) -> None:
        if b'"response.create"' not in text:
            return
        moments = self._api.calls.get(self._call_id or b"")
        if moments is not None and moments.greeting is None:
            moments.greeting = asyncio.get_running_loop().time()
            moments.done.set()
        # What a model does next, at the length that every service must read.
        self._send(
            {
                "type": "response.created",
                "event_id": "e1",
                "response": {
                    "id": "resp_1",
                    "object": "realtime.response",
                    "status": "in_progress",
                    "output": [],
                },
            }
        )
        self._send({"type": "output_audio_buffer.started", "event_id": "e2", "response_id": "resp_1"})

    def _send(self, event: dict[str, object]) -> None:
        text = json.dumps(event).encode()
        head = bytes((0x81, len(text))) if len(text) < 126 else b"\x81\x7e" + struct.pack("!H", len(text))
        self._transport.write(head + text)


def _unmasked(masked: bytes, mask: bytes) -> bytes:
    key = int.from_bytes(mask * (len(masked) // 4 + 1), "big") >> 8 * (4 - len(masked) % 4)
    return (int.from_bytes(masked, "big") ^ key).to_bytes(len(masked), "big")


def webhook_request(call_id: str, *, timestamp: int, port: int) -> bytes:
    """A whole signed HTTP request that announces ``call_id``."""
    headers = [
        ("Via", "SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1"),
        ("From", '"Ann" <sip:+15550100123@carrier.test>;tag=1'),
        ("To", "<sip:+15550100000@sip.example>"),
        ("Call-ID", f"{call_id}@carrier.test"),
        ("Contact", "<sip:+15550100123@192.0.2.1:5061;transport=tls>"),
    ]
    body = json.dumps(
        {
            "object": "event",
            "id": f"evt_{call_id}",
            "type": "realtime.call.incoming",
            "created_at": timestamp,
            "data": {
                "call_id": call_id,
                "sip_headers": [{"name": name, "value": value} for name, value in headers],
                "sip_media_security": "srtp",
            },
        }
    ).encode()
    signed = f"wh_{call_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(SECRET_KEY, signed, hashlib.sha256).digest()).decode()
    head = (
        f"POST /webhooks/openai HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"webhook-id: wh_{call_id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: v1,{signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
