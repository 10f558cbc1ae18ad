"""Timers of transactions on a real event loop."""

from __future__ import annotations

import asyncio

from sipagent.simulator.sip.handle import ClientHandle, ServerHandle
from sipagent.simulator.sip.message import Request, Response, parse_message
from sipagent.simulator.sip.transaction import (
    ClientTransaction,
    InviteServerTransaction,
    Outcome,
    ServerTransaction,
    Timers,
)
from tests.simulator.sip.peer import WAIT_S
from tests.simulator.sip.test_admission import INVITE
from tests.simulator.sip.test_layer import Memory

QUICK = Timers(t1_s=0.005, t2_s=0.02, t4_s=0.02)


def request(method: str = "INVITE") -> Request:
    message = parse_message(INVITE.replace("INVITE", method).encode())
    assert isinstance(message, Request)
    return message


def server(flow: Memory, forgotten: asyncio.Event) -> ServerHandle:
    transaction = InviteServerTransaction(timers=QUICK, reliable=False)
    return ServerHandle(request(), flow, ("192.0.2.7", 4444), transaction, forgotten.set)


async def test_an_answer_is_repeated_until_it_is_given_up() -> None:
    flow, forgotten = Memory(), asyncio.Event()
    outcomes: list[Outcome] = []
    handle = server(flow, forgotten)
    handle.on_outcome = outcomes.append
    handle.respond(486)
    async with asyncio.timeout(WAIT_S):
        await forgotten.wait()
    assert outcomes == [Outcome.NOT_ACKNOWLEDGED]
    assert len(flow.sent) > 5
    assert len({data for _, data in flow.sent}) == 1


async def test_the_ack_ends_it() -> None:
    flow, forgotten = Memory(), asyncio.Event()
    outcomes: list[Outcome] = []
    handle = server(flow, forgotten)
    handle.on_outcome = outcomes.append
    handle.respond(486)
    handle.acknowledge()
    handle.acknowledge()
    async with asyncio.timeout(WAIT_S):
        await forgotten.wait()
    assert outcomes == [Outcome.ACKNOWLEDGED]
    assert flow.statuses() == [486]


async def test_answers_carry_one_tag_and_100_carries_none() -> None:
    flow = Memory()
    handle = server(flow, asyncio.Event())
    handle.respond(100)
    handle.respond(180)
    handle.respond(200)
    tags = [f";tag={handle.to_tag}".encode() in data for _, data in flow.sent]
    assert tags == [False, True, True]
    handle.terminate()


async def test_silence_and_a_lost_connection_are_answers() -> None:
    for lose, status in ((False, 408), (True, 503)):
        flow, forgotten = Memory(), asyncio.Event()
        answers: list[Response] = []
        bye = request("BYE")
        transaction = ClientTransaction(bye, timers=QUICK, reliable=False)
        handle = ClientHandle(bye, flow, transaction, forgotten.set, answers.append)
        handle.run(transaction.start(handle.now()))
        if lose:
            handle.flow_lost()
            handle.flow_lost()
        async with asyncio.timeout(WAIT_S):
            await forgotten.wait()
        assert [answer.status for answer in answers] == [status]


async def test_a_terminated_handle_is_forgotten_at_once() -> None:
    forgotten = asyncio.Event()
    transaction = ServerTransaction(timers=QUICK, reliable=False)
    handle = ServerHandle(request("BYE"), Memory(), ("192.0.2.7", 4444), transaction, forgotten.set)
    handle.respond(200)
    assert not forgotten.is_set()
    handle.terminate()
    assert forgotten.is_set()
