"""The life of one call: who comes first, and what the others then find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.identifiers import CallId
from sipagent.simulator.call_values import CallSettings, CallState, EndedBy, Verdict
from sipagent.simulator.calls import CallSurroundings, SimulatedCall
from sipagent.simulator.faults import Fault, FaultSet
from sipagent.simulator.leg import LegEnd
from sipagent.simulator.script import Script, Step
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.virtual import VirtualLeg
from sipagent.simulator.webhooks import WebhookSender, WebhookSettings, new_secret
from tests.simulator.receiver import LIMIT_S, WebhookReceiver

SESSION = {"type": "realtime"}
QUICK = CallSettings(webhook_delay_s=0, answer_delay_s=0)
SLOW_ANSWER = CallSettings(webhook_delay_s=0, answer_delay_s=60)


@dataclass(eq=False)
class Wire:
    """A socket that only remembers."""

    sent: list[str] = field(default_factory=list)
    closed: list[tuple[int, str]] = field(default_factory=list)
    aborted: bool = False

    def send(self, text: str) -> None:
        self.sent.append(text)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def abort(self) -> None:
        self.aborted = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    call: SimulatedCall
    leg: VirtualLeg
    task: asyncio.Task[None]
    released: asyncio.Event

    async def over(self) -> tuple[CallState, EndedBy | None]:
        async with asyncio.timeout(LIMIT_S):
            await self.released.wait()
        return self.call.state, self.call.ended_by

    def states(self) -> list[CallState]:
        return [change.state for change in self.call.history]

    async def answered(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            assert await self.call.wait_answered()


class Room:
    """Places calls, and ends them all."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.sender = WebhookSender(
            http=http, secret=new_secret(), url=url, settings=WebhookSettings(retry_delays_s=())
        )
        self._placed: list[Placed] = []

    def place(self, *, settings: CallSettings = QUICK, faults: str = "") -> Placed:
        leg = VirtualLeg(headers=[("From", "<sip:+15550100123@x>")], media_security="srtp")
        script = Script(greeting=Step(say="Hello"), delay_ms=0)
        call = SimulatedCall(
            call_id=CallId(f"rtc_{len(self._placed)}"),
            leg=leg,
            surroundings=CallSurroundings(
                settings=settings, script=script, voice=SilentVoice(ms_per_character=1), webhooks=self.sender
            ),
            faults=FaultSet.parse(faults),
        )
        released = asyncio.Event()

        async def release() -> None:
            released.set()

        task = asyncio.get_running_loop().create_task(call.run(release))
        placed = Placed(call=call, leg=leg, task=task, released=released)
        self._placed.append(placed)
        return placed

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Room]:
        try:
            yield self
        finally:
            tasks = [placed.task for placed in self._placed]
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
            assert all(placed.call.state.is_over and placed.released.is_set() for placed in self._placed)


@pytest.fixture
async def room(receiver: WebhookReceiver) -> AsyncIterator[Room]:
    async with aiohttp.ClientSession() as http, Room(http, receiver.url).open() as room:
        yield room


async def accepted(room: Room, receiver: WebhookReceiver, *, faults: str = "") -> Placed:
    placed = room.place(faults=faults)
    await receiver.next()
    assert placed.call.accept(SESSION) is Verdict.DONE
    await placed.answered()
    return placed


# To the answer


async def test_a_call_rings_after_the_accept_and_is_answered_after_that(
    room: Room, receiver: WebhookReceiver
) -> None:
    placed = room.place()
    webhook = await receiver.next()
    assert webhook.call_id == "rtc_0"
    assert webhook.data["sip_media_security"] == "srtp"
    assert placed.states() == [CallState.TRYING]
    attachable = [placed.call.is_attachable]
    assert placed.call.accept(SESSION) is Verdict.DONE
    assert placed.states() == [CallState.TRYING, CallState.RINGING]
    attachable.append(placed.call.is_attachable)
    assert attachable == [False, True]
    await placed.answered()
    assert placed.states() == [CallState.TRYING, CallState.RINGING, CallState.ANSWERED]


async def test_a_decision_is_made_once(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver)
    assert placed.call.accept(SESSION) is Verdict.ALREADY_DECIDED
    assert placed.call.reject(486) is Verdict.ALREADY_DECIDED
    assert placed.call.hang_up() is Verdict.DONE
    assert await placed.over() == (CallState.ENDED, EndedBy.HANGUP)
    assert placed.call.accept(SESSION) is Verdict.GONE
    assert placed.call.reject(486) is Verdict.GONE
    assert placed.call.hang_up() is Verdict.GONE
    assert await placed.call.refer("tel:+15550100001") is Verdict.GONE


@pytest.mark.parametrize(("asked", "sent"), [(None, 603), (486, 486)])
async def test_a_reject_is_a_sip_status(room: Room, asked: int | None, sent: int) -> None:
    placed = room.place()
    assert placed.call.reject(asked) is Verdict.DONE
    assert placed.leg.final_status == sent
    assert await placed.over() == (CallState.REJECTED, EndedBy.REJECT)


async def test_nobody_decides(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place(settings=replace(QUICK, accept_timeout_s=0.05))
    assert await placed.over() == (CallState.REJECTED, EndedBy.NO_ACCEPT)
    assert placed.leg.final_status == 400
    assert placed.call.accept(SESSION) is Verdict.GONE


async def test_an_accept_stops_that_clock(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place(settings=replace(QUICK, accept_timeout_s=0.05))
    assert placed.call.accept(SESSION) is Verdict.DONE
    await asyncio.sleep(0.1)
    assert placed.call.state is CallState.ANSWERED


async def test_without_a_webhook_address_nobody_can_answer(room: Room) -> None:
    room.sender.url = None
    placed = room.place()
    assert await placed.over() == (CallState.REJECTED, EndedBy.NO_WEBHOOK)
    assert placed.leg.final_status == 400


async def test_a_call_can_be_hung_up_before_the_answer(room: Room) -> None:
    placed = room.place(settings=SLOW_ANSWER)
    placed.call.accept(SESSION)
    assert placed.call.hang_up() is Verdict.DONE
    assert await placed.over() == (CallState.REJECTED, EndedBy.HANGUP)
    assert placed.leg.final_status == 603


# The caller's own end


async def test_a_cancel_before_the_accept_wins(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place()
    placed.leg.end()
    assert placed.call.accept(SESSION) is Verdict.GONE
    assert await placed.over() == (CallState.CANCELLED, EndedBy.CALLER)
    assert (await receiver.next()).call_id == "rtc_0"  # the webhook was on its way


async def test_a_cancel_while_ringing_ends_an_accepted_call(room: Room) -> None:
    placed = room.place(settings=SLOW_ANSWER)
    placed.call.accept(SESSION)
    wire = Wire()
    assert placed.call.attach(wire)
    placed.leg.end()
    assert wire.aborted
    assert await placed.over() == (CallState.CANCELLED, EndedBy.CALLER)


async def test_a_cancelled_call_may_be_accepted_as_a_ghost(room: Room) -> None:
    placed = room.place(settings=replace(QUICK, cancel_ghost=True))
    await asyncio.sleep(0)
    placed.leg.end()
    assert placed.call.accept(SESSION) is Verdict.DONE
    assert placed.call.accept(SESSION) is Verdict.GONE
    assert not placed.call.is_attachable
    assert not placed.call.attach(Wire())


async def test_a_bye_breaks_the_socket_at_once(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver)
    wire = Wire()
    placed.call.attach(wire)
    sent = len(wire.sent)
    placed.leg.end()
    assert wire.aborted
    assert wire.closed == []
    assert await placed.over() == (CallState.ENDED, EndedBy.CALLER)
    assert len(wire.sent) == sent
    assert not placed.call.attach(Wire())


@pytest.mark.parametrize(
    ("end", "by"),
    [
        (LegEnd.MEDIA_TIMEOUT, EndedBy.MEDIA_TIMEOUT),
        (LegEnd.ACK_TIMEOUT, EndedBy.ACK_TIMEOUT),
        (LegEnd.FAILED, EndedBy.TRANSPORT),
        (LegEnd.HUNG_UP, EndedBy.CALLER),
    ],
)
async def test_every_end_of_the_leg_has_a_name(
    room: Room, receiver: WebhookReceiver, end: LegEnd, by: EndedBy
) -> None:
    placed = await accepted(room, receiver)
    placed.call.caller_ended(end)
    placed.call.caller_ended(LegEnd.HUNG_UP)
    assert await placed.over() == (CallState.ENDED, by)


# The socket


async def test_sockets_attached_at_once_hear_the_same_and_their_own_answers(
    room: Room, receiver: WebhookReceiver
) -> None:
    placed = await accepted(room, receiver)
    first, second = Wire(), Wire()
    assert placed.call.attach(first)
    assert placed.call.attach(second)
    assert not first.closed
    assert len([text for text in first.sent if "session.created" in text]) == 1
    assert any("session.created" in text for text in second.sent)
    placed.call.receive(first, '{"type": "session.update", "session": {"type": "realtime"}}')
    assert "session.updated" in first.sent[-1]
    assert "session.updated" in second.sent[-1]
    heard = len(first.sent)
    placed.call.receive(second, '{"type": "nonsense"}')
    assert "error" in second.sent[-1]
    assert len(first.sent) == heard, "an error is told to whoever made it"
    placed.call.detach(first)
    placed.call.receive(first, '{"type": "session.update", "session": {"type": "realtime"}}')
    assert len(first.sent) == heard, "nothing is taken from a socket that is gone"
    assert placed.call.state is CallState.ANSWERED
    placed.call.drop_socket()
    assert second.aborted
    placed.call.drop_socket()
    assert placed.call.state is CallState.ANSWERED
    assert placed.call.attach(Wire())
    assert len(placed.call.controllers.unattended_s) == 1


async def test_a_session_that_is_too_long_is_closed_properly(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place(settings=replace(QUICK, maximum_duration_s=0.05))
    placed.call.accept(SESSION)
    wire = Wire()
    placed.call.attach(wire)
    assert await placed.over() == (CallState.ENDED, EndedBy.EXPIRY)
    assert [code for code, _ in wire.closed] == [1001]
    assert not wire.aborted
    assert placed.leg.phase == "over"


# Transfer


async def test_a_transfer_that_succeeds_ends_the_call(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver)
    assert await placed.call.refer("tel:+15550100001") is Verdict.DONE
    assert await placed.over() == (CallState.ENDED, EndedBy.TRANSFER)
    assert placed.leg.referred_to == "tel:+15550100001"


async def test_a_transfer_that_fails_leaves_the_call_as_it_was(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver)
    placed.call.refer_progress(100)
    placed.call.refer_progress(486)
    assert placed.call.state is CallState.ANSWERED


async def test_only_an_answered_call_can_be_transferred(room: Room) -> None:
    placed = room.place(settings=SLOW_ANSWER)
    assert await placed.call.refer("tel:+15550100001") is Verdict.NOT_ANSWERED
    placed.call.accept(SESSION)
    assert await placed.call.refer("tel:+15550100001") is Verdict.NOT_ANSWERED


async def test_a_caller_may_refuse_the_refer(room: Room, receiver: WebhookReceiver) -> None:
    leg = VirtualLeg(headers=[], refer_status=405)
    placed = await accepted(room, receiver)
    placed.call.leg = leg
    assert await placed.call.refer("tel:+15550100001") is Verdict.REFUSED
    assert placed.call.state is CallState.ANSWERED
    placed.call.leg = placed.leg


# Faults


async def test_a_missing_webhook(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place(settings=replace(QUICK, accept_timeout_s=0.05), faults="webhook_missing")
    assert await placed.over() == (CallState.REJECTED, EndedBy.NO_ACCEPT)
    assert receiver.webhooks.empty()
    assert placed.call.webhook_attempts == []


async def test_a_late_webhook_comes_even_when_the_call_is_over(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place(settings=replace(QUICK, accept_timeout_s=0.02), faults="webhook_late=2")
    await placed.over()
    assert receiver.webhooks.empty()
    await receiver.next()
    assert placed.call.accept(SESSION) is Verdict.GONE


async def test_a_duplicate_webhook(room: Room, receiver: WebhookReceiver) -> None:
    room.place(faults="webhook_duplicate")
    first, second = await receiver.next(), await receiver.next()
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_a_forged_webhook(room: Room, receiver: WebhookReceiver) -> None:
    receiver.status = 400
    placed = room.place(settings=replace(QUICK, accept_timeout_s=2.0), faults="webhook_forged")
    await receiver.next()
    assert await placed.over() == (CallState.REJECTED, EndedBy.NO_ACCEPT)
    assert [attempt.status for attempt in placed.call.webhook_attempts] == [400]


async def test_a_dead_session(room: Room) -> None:
    placed = room.place(faults="accept_dead")
    assert placed.call.accept(SESSION) is Verdict.DONE
    assert not placed.call.is_attachable
    assert await placed.over() == (CallState.REJECTED, EndedBy.DEAD_SESSION)
    assert placed.leg.final_status == 400


async def test_a_caller_who_gives_up_while_it_rings(room: Room, receiver: WebhookReceiver) -> None:
    placed = room.place(faults="caller_hangs_up_ringing")
    await receiver.next()
    assert placed.call.accept(SESSION) is Verdict.GONE
    assert await placed.over() == (CallState.CANCELLED, EndedBy.CALLER)
    assert placed.leg.phase == "over"


async def test_a_caller_who_hangs_up_by_fault(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver)
    placed.call.hang_up_as_caller()
    placed.call.hang_up_as_caller()
    assert await placed.over() == (CallState.ENDED, EndedBy.CALLER)
    assert placed.leg.phase == "over"


async def test_a_lost_refer_never_leaves(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver, faults="refer_lost")
    assert await placed.call.refer("tel:+15550100001") is Verdict.DONE
    assert placed.leg.referred_to is None
    assert placed.call.state is CallState.ANSWERED


async def test_a_limited_fault_counts_the_tries_of_each_call(room: Room) -> None:
    call = room.place(faults="accept_500=1, socket_404=2").call
    assert [call.strikes(Fault.ACCEPT_500) for _ in range(3)] == [True, False, False]
    assert [call.strikes(Fault.SOCKET_404) for _ in range(3)] == [True, True, False]
    assert not call.strikes(Fault.ACCEPT_429)


async def test_faults_can_be_switched_on_later(room: Room, receiver: WebhookReceiver) -> None:
    placed = await accepted(room, receiver)
    placed.call.set_faults(FaultSet.parse("refer_lost"))
    assert await placed.call.refer("tel:+15550100001") is Verdict.DONE
    assert placed.leg.referred_to is None


# The end of the simulator


async def test_cancelling_ends_the_call_for_both_sides(room: Room, receiver: WebhookReceiver) -> None:
    up, pending = await accepted(room, receiver), room.place()
    wire = Wire()
    up.call.attach(wire)
    await asyncio.sleep(0)
    for placed in (up, pending):
        placed.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await placed.task
    assert wire.aborted
    assert await up.over() == (CallState.ENDED, EndedBy.SIMULATOR_STOPPED)
    assert await pending.over() == (CallState.REJECTED, EndedBy.SIMULATOR_STOPPED)
    assert pending.leg.final_status == 503


# Whatever the order

ACTIONS = (
    "accept", "reject", "hang up", "cancel or bye", "caller by fault", "refer", "transferred",
    "not transferred", "attach", "detach", "drop", "speak", "ask", "stop", "wait",
)  # fmt: skip


async def live_through(actions: list[str], faults: str) -> None:
    async with aiohttp.ClientSession() as http, Room(http, "http://127.0.0.1:1/").open() as room:
        placed = room.place(settings=CallSettings(webhook_delay_s=60, answer_delay_s=0), faults=faults)
        call, leg, wires = placed.call, placed.leg, [Wire()]
        await asyncio.sleep(0)
        for action in actions:
            was_over, states = call.state.is_over, placed.states()
            verdict: Verdict | None = None
            match action:
                case "accept":
                    verdict = call.accept(SESSION)
                case "reject":
                    verdict = call.reject(486)
                case "hang up":
                    verdict = call.hang_up()
                case "cancel or bye":
                    leg.end()
                case "caller by fault":
                    call.hang_up_as_caller()
                case "refer":
                    verdict = await call.refer("tel:+15550100001")
                case "transferred":
                    call.refer_progress(200)
                case "not transferred":
                    call.refer_progress(603)
                case "attach":
                    wires.append(Wire())
                    assert call.attach(wires[-1]) == call.is_attachable
                case "detach":
                    call.detach(wires[-1])
                case "drop":
                    call.drop_socket()
                case "speak":
                    leg.speech_started()
                    leg.speech_stopped("Hello", duration_s=1)
                    leg.press("1")
                case "ask":
                    call.receive(wires[-1], '{"type": "response.create"}')
                case "stop":
                    call.stop()
                case _:
                    await asyncio.sleep(0.002)
            if was_over:
                assert verdict in {None, Verdict.GONE}
                assert placed.states() == states
            if call.state.is_over:
                assert call.ended_by is not None
                assert leg.phase == "over"
                assert not call.is_attachable
        assert not any(state.is_over for state in placed.states()[:-1])


@given(
    actions=st.lists(st.sampled_from(ACTIONS), max_size=14),
    faults=st.sampled_from(["", "accept_dead", "refer_lost", "media_stalled", "caller_hangs_up_speaking"]),
)
@settings(max_examples=80, deadline=None)
def test_a_call_ends_once_whatever_happens_in_whatever_order(actions: list[str], faults: str) -> None:
    asyncio.run(live_through(actions, faults))
