from __future__ import annotations

import pytest

from sipagent.simulator.sip.message import Request, Response, make_response
from sipagent.simulator.sip.transaction import (
    Action,
    ClientTransaction,
    Happened,
    InviteClientTransaction,
    InviteServerTransaction,
    Outcome,
    Received,
    ServerTransaction,
    Timers,
    Transaction,
    Transmit,
)

TIMERS = Timers()
GIVE_UP_S = 32.0


def request(method: str = "INVITE") -> Request:
    return Request(
        method=method,
        uri="sip:b@b.test",
        headers=(
            ("Via", "SIP/2.0/UDP a.test;branch=z9hG4bK-1"),
            ("From", "<sip:a@a.test>;tag=1"),
            ("To", "<sip:b@b.test>"),
            ("Call-ID", "c"),
            ("CSeq", f"1 {method}"),
        ),
    )


def answer(status: int, method: str = "INVITE") -> Response:
    return make_response(request(method), status, to_tag="t")


def run_out(
    transaction: Transaction, until: float = 1000.0
) -> tuple[list[float], list[Outcome], float | None]:
    """Let timers fire: times of transmissions, outcomes, and when it was over."""
    sent: list[float] = []
    outcomes: list[Outcome] = []
    while (now := transaction.deadline) is not None and now <= until:
        for action in transaction.expire(now):
            match action:
                case Transmit():
                    sent.append(now)
                case Happened(outcome=outcome):
                    outcomes.append(outcome)
                case Received():
                    raise AssertionError("a timer receives nothing")
        if transaction.over:
            return sent, outcomes, now
    return sent, outcomes, None


def sent(actions: list[Action]) -> list[int | str]:
    found: list[int | str] = []
    for action in actions:
        if isinstance(action, Transmit):
            message = action.message
            found.append(message.status if isinstance(message, Response) else message.method)
    return found


# Server, INVITE


def test_a_repeated_invite_gets_the_last_answer_again() -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=False)
    assert sent(transaction.repeated()) == []
    transaction.respond(answer(100), 0)
    assert sent(transaction.repeated()) == [100]
    transaction.respond(answer(180), 1)
    assert sent(transaction.repeated()) == [180]
    assert transaction.deadline is None
    transaction.respond(answer(200), 2)
    assert sent(transaction.repeated()) == [200]


@pytest.mark.parametrize("reliable", [False, True])
def test_a_2xx_is_repeated_until_it_is_given_up(reliable: bool) -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=reliable)
    assert sent(transaction.respond(answer(200), 0)) == [200]
    times, outcomes, over = run_out(transaction)
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert outcomes == [Outcome.NOT_ACKNOWLEDGED]
    assert over == GIVE_UP_S


def test_the_ack_of_a_2xx_ends_the_repetition_and_repeated_invites_are_still_known() -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=False)
    transaction.respond(answer(200), 0)
    assert transaction.acknowledge(1) == [Happened(outcome=Outcome.ACKNOWLEDGED)]
    assert transaction.acknowledge(2) == []
    assert transaction.repeated() == []
    assert not transaction.over
    assert run_out(transaction) == ([], [], GIVE_UP_S)


def test_a_refusal_is_repeated_on_datagrams_until_its_ack() -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=False)
    transaction.respond(answer(603), 0)
    assert run_out(transaction, until=4) == ([0.5, 1.5, 3.5], [], None)
    assert sent(transaction.repeated()) == [603]
    assert transaction.acknowledge(5) == [Happened(outcome=Outcome.ACKNOWLEDGED)]
    assert transaction.repeated() == []
    assert transaction.acknowledge(6) == []
    assert run_out(transaction) == ([], [], 5 + TIMERS.t4_s)


def test_a_refusal_is_sent_once_on_a_stream() -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=True)
    transaction.respond(answer(603), 0)
    assert run_out(transaction) == ([], [Outcome.NOT_ACKNOWLEDGED], GIVE_UP_S)
    transaction = InviteServerTransaction(timers=TIMERS, reliable=True)
    transaction.respond(answer(603), 0)
    transaction.acknowledge(1)
    assert transaction.over


def test_only_the_first_final_answer_counts() -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=False)
    transaction.respond(answer(487), 0)
    assert transaction.respond(answer(200), 0) == []
    assert sent(transaction.repeated()) == [487]


# Server, other


def test_a_repeated_request_gets_the_same_answer_for_a_while() -> None:
    transaction = ServerTransaction(timers=TIMERS, reliable=False)
    assert transaction.repeated() == []
    assert sent(transaction.respond(answer(200, "BYE"), 0)) == [200]
    assert transaction.respond(answer(500, "BYE"), 0) == []
    assert sent(transaction.repeated()) == [200]
    assert run_out(transaction) == ([], [], GIVE_UP_S)


def test_on_a_stream_nothing_is_repeated() -> None:
    transaction = ServerTransaction(timers=TIMERS, reliable=True)
    transaction.respond(answer(200, "BYE"), 0)
    assert transaction.over
    assert transaction.answered


# Client, other


def test_a_request_is_repeated_until_it_is_given_up() -> None:
    transaction = ClientTransaction(request("BYE"), timers=TIMERS, reliable=False)
    assert sent(transaction.start(0)) == ["BYE"]
    assert run_out(transaction) == (
        [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5],
        [Outcome.NO_ANSWER],
        GIVE_UP_S,
    )


def test_a_provisional_answer_slows_the_repetition_down() -> None:
    transaction = ClientTransaction(request("REFER"), timers=TIMERS, reliable=False)
    transaction.start(0)
    assert transaction.receive(answer(100, "REFER"), 0.1) == [Received(response=answer(100, "REFER"))]
    assert run_out(transaction, until=9)[0] == [0.5, 4.5, 8.5]


def test_a_final_answer_is_reported_once() -> None:
    transaction = ClientTransaction(request("BYE"), timers=TIMERS, reliable=False)
    transaction.start(0)
    assert transaction.receive(answer(200, "BYE"), 1) == [Received(response=answer(200, "BYE"))]
    assert transaction.receive(answer(200, "BYE"), 2) == []
    assert run_out(transaction) == ([], [], 1 + TIMERS.t4_s)


def test_on_a_stream_a_request_is_sent_once() -> None:
    transaction = ClientTransaction(request("BYE"), timers=TIMERS, reliable=True)
    transaction.start(0)
    assert run_out(transaction) == ([], [Outcome.NO_ANSWER], GIVE_UP_S)
    transaction = ClientTransaction(request("BYE"), timers=TIMERS, reliable=True)
    transaction.start(0)
    transaction.receive(answer(200, "BYE"), 1)
    assert transaction.over


# Client, INVITE


def test_an_invite_is_repeated_with_doubling_intervals() -> None:
    transaction = InviteClientTransaction(request(), timers=TIMERS, reliable=False)
    assert sent(transaction.start(0)) == ["INVITE"]
    assert run_out(transaction) == ([0.5, 1.5, 3.5, 7.5, 15.5, 31.5], [Outcome.NO_ANSWER], GIVE_UP_S)


def test_a_ringing_invite_waits_without_end() -> None:
    transaction = InviteClientTransaction(request(), timers=TIMERS, reliable=False)
    transaction.start(0)
    transaction.receive(answer(180), 1)
    assert transaction.deadline is None
    assert not transaction.over


def test_a_refusal_is_acknowledged_each_time_and_reported_once() -> None:
    transaction = InviteClientTransaction(request(), timers=TIMERS, reliable=False)
    transaction.start(0)
    actions = transaction.receive(answer(486), 1)
    assert sent(actions) == ["ACK"]
    assert Received(response=answer(486)) in actions
    again = transaction.receive(answer(486), 2)
    assert sent(again) == ["ACK"]
    assert len(again) == 1
    assert run_out(transaction) == ([], [], 1 + GIVE_UP_S)


def test_every_repetition_of_a_2xx_reaches_the_user() -> None:
    transaction = InviteClientTransaction(request(), timers=TIMERS, reliable=True)
    transaction.start(0)
    for now in (1.0, 2.0, 3.0):
        assert transaction.receive(answer(200), now) == [Received(response=answer(200))]
    assert transaction.receive(answer(180), 4) == []
    assert run_out(transaction) == ([], [], 1 + GIVE_UP_S)


def test_a_cancel_may_be_sent_once_and_only_while_it_rings() -> None:
    transaction = InviteClientTransaction(request(), timers=TIMERS, reliable=False)
    transaction.start(0)
    assert not transaction.cancel(0.1)
    transaction.receive(answer(100), 1)
    assert transaction.cancel(2)
    assert not transaction.cancel(3)
    transaction.receive(answer(180), 3)
    assert run_out(transaction) == ([], [Outcome.NO_ANSWER], 2 + GIVE_UP_S)
    assert not transaction.cancel(50)


def test_a_late_timer_sends_one_message_and_not_a_burst() -> None:
    transaction = ClientTransaction(request("BYE"), timers=TIMERS, reliable=False)
    transaction.start(0)
    assert sent(transaction.expire(10)) == ["BYE"]
    assert transaction.expire(10) == []


def test_terminate_forgets_everything() -> None:
    transaction = InviteServerTransaction(timers=TIMERS, reliable=False)
    transaction.respond(answer(200), 0)
    transaction.terminate()
    assert transaction.over
    assert transaction.deadline is None
    assert transaction.respond(answer(200), 1) == []
    assert transaction.repeated() == []
