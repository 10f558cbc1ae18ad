from __future__ import annotations

import asyncio
from typing import Any, cast

from sipagent.simulator.rtp.network import MAX_DATAGRAM_BYTES, MediaRoute, MediaSocket

FIRST, SECOND, THIRD = ("127.0.0.1", 1000), ("127.0.0.1", 2000), ("127.0.0.2", 1000)


def test_the_described_address_counts_until_packets_come_from_another() -> None:
    assert MediaRoute().destination is None
    route = MediaRoute()
    route.set(FIRST)
    assert route.destination == FIRST
    assert route.admit(SECOND, quiet_s=float("inf"), authenticated=False)
    assert route.destination == SECOND


def test_a_stranger_cannot_take_over_a_live_stream() -> None:
    route = MediaRoute()
    route.set(FIRST)
    assert route.admit(FIRST, quiet_s=float("inf"), authenticated=False)
    assert not route.admit(THIRD, quiet_s=0.02, authenticated=False)
    assert route.destination == FIRST
    assert route.admit(THIRD, quiet_s=0.6, authenticated=False), "the known source has gone"
    assert route.admit(SECOND, quiet_s=0.0, authenticated=True), "who holds the key may move"
    assert route.destination == SECOND


def test_a_new_description_forgets_and_the_same_one_keeps() -> None:
    route = MediaRoute()
    route.set(FIRST)
    route.admit(SECOND, quiet_s=1, authenticated=False)
    route.set(FIRST)
    assert route.destination == SECOND
    route.set(THIRD)
    assert route.destination == THIRD
    route.set(None)
    assert route.destination is None


async def test_a_socket_sends_receives_and_closes() -> None:
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
    sockets = [MediaSocket(lambda data, address: arrived.put_nowait((data, address))) for _ in range(2)]
    for socket in sockets:
        transport, _ = await loop.create_datagram_endpoint(lambda s=socket: s, local_addr=("127.0.0.1", 0))  # type: ignore[misc]
        assert cast(Any, transport).max_size == MAX_DATAGRAM_BYTES
    one, two = sockets
    one.send(b"hello", ("127.0.0.1", two.local_port))
    async with asyncio.timeout(30):
        assert await arrived.get() == (b"hello", ("127.0.0.1", one.local_port))
        for socket in sockets:
            socket.close()
            await socket.closed
    one.send(b"lost", ("127.0.0.1", two.local_port))
    one.close()
    assert arrived.empty()
