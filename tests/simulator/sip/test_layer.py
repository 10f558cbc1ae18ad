"""The transaction layer alone, with a flow that only remembers."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.simulator.sip.handle import ServerHandle
from sipagent.simulator.sip.layer import TransactionLayer
from sipagent.simulator.sip.message import Request, Response, parse_message
from sipagent.simulator.sip.settings import SipSettings, Transport
from sipagent.simulator.sip.transport import Address, Flow
from tests.simulator.sip.test_admission import INVITE, TORTURE


class Memory(Flow):
    def __init__(self, transport: Transport = "udp", peer: Address = ("192.0.2.7", 4444)) -> None:
        self.transport = transport
        self.local = ("192.0.2.1", 5060)
        self.peer = peer
        self.sent: list[tuple[Address, bytes]] = []

    @property
    def closed(self) -> bool:
        return False

    def send(self, data: bytes) -> None:
        self.sent.append((self.peer, data))

    def towards(self, peer: Address) -> Flow:
        flow = Memory(self.transport, peer)
        flow.sent = self.sent
        return flow

    def statuses(self) -> list[int]:
        found = [parse_message(data) for _, data in self.sent]
        return [message.status for message in found if isinstance(message, Response)]


class Bench:
    """A layer, the requests it handed over and the ACKs."""

    def __init__(self) -> None:
        self.handles: list[ServerHandle] = []
        self.acks: list[Request] = []
        self.flow = Memory()
        self.layer = TransactionLayer(
            settings=SipSettings(),
            on_request=self.handles.append,
            on_ack=lambda request, flow: self.acks.append(request),
        )

    def receive(self, text: str) -> None:
        self.layer.receive(text.encode("utf-8", "surrogateescape"), self.flow)


RPORT = INVITE.replace("192.0.2.1;branch", "192.0.2.1:5070;rport;branch")


async def test_each_request_is_handed_over_once() -> None:
    bench = Bench()
    bench.receive(INVITE)
    bench.receive(INVITE)
    assert len(bench.handles) == 1
    assert bench.flow.statuses() == [100, 100]
    bench.layer.close()


async def test_answers_go_to_the_port_of_via_or_of_the_sender() -> None:
    bench = Bench()
    bench.receive(INVITE)
    bench.receive(
        INVITE.replace("z9hG4bK-a", "z9hG4bK-b").replace("192.0.2.1;", "192.0.2.1:5077;").replace("abc", "2")
    )
    bench.receive(RPORT.replace("z9hG4bK-a", "z9hG4bK-c").replace("abc", "3"))
    hosts = [address for address, _ in bench.flow.sent]
    assert hosts == [("192.0.2.7", 5060), ("192.0.2.7", 5077), ("192.0.2.7", 4444)]
    assert b";rport=4444;branch=z9hG4bK-c;received=192.0.2.7" in bench.flow.sent[2][1]
    bench.layer.close()


async def test_nobody_can_have_us_answer_a_third_party() -> None:
    bench = Bench()
    bench.receive(INVITE.replace("192.0.2.1;", "203.0.113.5;received=203.0.113.6;maddr=203.0.113.7;"))
    assert {address[0] for address, _ in bench.flow.sent} == {"192.0.2.7"}
    bench.layer.close()


async def test_the_ack_of_a_refusal_ends_it_and_the_ack_of_a_2xx_is_handed_over() -> None:
    ack = INVITE.replace("INVITE", "ACK")
    for status, handed_over in ((603, 0), (200, 1)):
        bench = Bench()
        bench.receive(INVITE)
        bench.handles[0].respond(status)
        bench.receive(ack)
        assert len(bench.acks) == handed_over
        if handed_over:
            bench.handles[0].acknowledge()
        sent = len(bench.flow.sent)
        bench.receive(INVITE)
        assert len(bench.flow.sent) == sent, "what was acknowledged is not repeated"
        bench.layer.close()


async def test_a_closed_layer_is_silent() -> None:
    bench = Bench()
    bench.receive(INVITE)
    bench.layer.close()
    bench.handles[0].respond(200)
    bench.receive(INVITE.replace("z9hG4bK-a", "z9hG4bK-b"))
    assert bench.flow.statuses() == [100]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [INVITE, INVITE.replace("INVITE", "ACK"), INVITE.replace("INVITE", "CANCEL"), *TORTURE]
            ),
            st.integers(0, 500),
            st.text(max_size=6),
            st.integers(0, 30),
        ),
        max_size=8,
    ),
    st.sampled_from([180, 200, 486]),
)
def test_no_sequence_of_damaged_messages_breaks_the_layer(
    messages: list[tuple[str, int, str, int]], status: int
) -> None:
    async def play() -> None:
        bench = Bench()
        for text, at, inserted, removed in messages:
            bench.layer.receive(
                (text[:at] + inserted + text[at + removed :]).encode("utf-8", "surrogateescape"), bench.flow
            )
            for handle in bench.handles:
                handle.respond(status)
        for _, data in bench.flow.sent:
            assert isinstance(parse_message(data), Response)
        bench.layer.close()

    asyncio.run(play())
