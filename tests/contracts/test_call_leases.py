"""Who holds which call, and what happens once only: what every store must do, whatever it is made of."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import string
from collections import Counter
from datetime import UTC, timedelta

import pytest

from sipagent.calls.tools.ledger import work_key
from sipagent.errors import WorkerGoneError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import (
    CallCommand,
    EffectBegun,
    EffectFenced,
    EffectKnown,
    SignalKind,
    Store,
    UsageTotal,
)
from sipagent.store.leases import NOBODY
from tests.contracts.places import LEASE_S, Place
from tests.store.facts import CALL, at, checkpoint, ended, opened, response_tokens, transcription_seconds
from tests.support.claims import claim_one

QUIET_S = 3.0


def calls(count: int) -> list[CallId]:
    return [CallId(f"rtc_{number:02}") for number in range(count)]


async def claim_all(store: Store, worker: WorkerId, count: int) -> list[CallId]:
    for call_id in calls(count):
        assert await claim_one(store, call_id, worker, webhook=f"webhook of {call_id}")
    return calls(count)


# Claims --------------------------------------------------------------------------------------------


async def test_a_call_belongs_to_the_one_who_claims_it_first(place: Place) -> None:
    one, a = await place.worker("a")
    other, b = await place.worker("b")
    assert await claim_one(one, CALL, a, webhook='{"type":"realtime.call.incoming"}')
    assert not await claim_one(other, CALL, b, webhook="again")
    assert await claim_one(one, CALL, a, webhook="repeated, since the answer was lost")
    held = await other.holder(CALL)
    assert held is not None
    assert (held.call_id, held.worker, held.epoch) == (CALL, a, 1)
    assert (held.webhook, held.checkpoint, held.former) == ('{"type":"realtime.call.incoming"}', None, None)
    assert held.claimed_at.tzinfo is UTC
    assert 0 <= held.unseen_s < LEASE_S
    assert [claimed.call_id for claimed in await other.claims(a)] == [CALL]
    assert await other.claims(b) == ()
    assert await one.holder(CallId("rtc_other")) is None


async def test_of_fifty_claims_at_once_one_is_granted(place: Place) -> None:
    workers = [await place.worker(f"worker {number}") for number in range(5)]
    for call_id in calls(5):
        granted = await asyncio.gather(
            *(claim_one(store, call_id, worker, webhook="") for store, worker in workers for _ in range(1)),
            *(
                claim_one(store, call_id, WorkerId(f"{worker} {number}"), webhook="")
                for store, worker in workers
                for number in range(9)
            ),
        )
        assert len(granted) == 50
        assert granted.count(True) == 1


async def test_the_end_of_a_call_ends_its_claim_and_lets_nobody_claim_it_again(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    await store.apply([opened()])
    assert await claim_one(store, CALL, a, webhook="")
    await store.apply([checkpoint(), ended()])
    assert await other.holder(CALL) is None
    assert not await claim_one(other, CALL, b, webhook="")
    assert not await claim_one(store, CALL, a, webhook="")
    assert await other.adopt(b, limit=9, quiet_s=0) == ()


async def test_a_late_claim_goes_with_an_end_that_is_written_again(place: Place) -> None:
    store, a = await place.worker("a")
    assert await claim_one(store, CALL, a, webhook="")
    await store.apply([ended()])
    await store.apply([ended("caller_hung_up")])
    assert await store.holder(CALL) is None
    record = await store.call(CALL)
    assert record is not None
    assert record.summary.end_reason == "agent_hung_up"


async def test_calls_are_claimed_together_and_each_has_its_own_answer(place: Place) -> None:
    one, a = await place.worker("a")
    other, b = await place.worker("b")
    mine, theirs, over, new = calls(4)
    assert await claim_one(one, mine, a, webhook="first")
    assert await claim_one(other, theirs, b, webhook="theirs")
    await one.apply([opened(call_id=over), ended(call_id=over)])
    asked = {call_id: f"webhook of {call_id}" for call_id in (new, over, theirs, mine)}
    assert await one.claim_all(a, asked) == {mine: 1, new: 1}
    assert {claimed.call_id: claimed.webhook for claimed in await other.claims(a)} == {
        mine: "first", new: f"webhook of {new}"
    }  # fmt: skip
    assert await one.claim_all(a, {}) == {}
    assert await one.holder(over) is None


async def test_a_burst_is_claimed_at_once(place: Place) -> None:
    store, a = await place.worker("a")
    burst = {CallId(f"rtc_{number}"): f'{{"number": {number}, "name": "Ł\u2028"}}' for number in range(500)}
    assert await store.claim_all(a, burst) == dict.fromkeys(burst, 1)
    assert {claimed.call_id: claimed.webhook for claimed in await store.claims(a)} == burst


async def test_of_bursts_at_once_each_call_is_granted_to_one(place: Place) -> None:
    workers = [await place.worker(f"worker {number}") for number in range(4)]
    burst = [CallId(f"rtc_{number}") for number in range(200)]
    orders = [burst, list(reversed(burst)), burst[100:] + burst[:100], burst]
    granted = await asyncio.gather(
        *(
            store.claim_all(worker, dict.fromkeys(order, ""))
            for (store, worker), order in zip(workers, orders, strict=True)
        )
    )
    assert Counter(call_id for held in granted for call_id in held) == Counter(burst)


async def test_a_claim_says_that_a_call_was_adopted(place: Place) -> None:
    """As when the answer to the adoption was lost, and the webhook comes again."""
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    assert await claim_one(store, CALL, a, webhook="first")
    await store.hand_over(a, [CALL])
    assert await other.claim_all(b, {CALL: "again"}) == {}, "it is nobody's, but not new"
    assert len(await other.adopt(b, limit=9, quiet_s=QUIET_S)) == 1
    assert await other.claim_all(b, {CALL: "again"}) == {CALL: 2}
    assert await store.claim_all(a, {CALL: "again"}) == {}
    held = await other.holder(CALL)
    assert held is not None
    assert (held.webhook, held.epoch, held.former) == ("first", 2, a)


async def test_what_no_database_takes_does_not_keep_calls_from_being_claimed(place: Place) -> None:
    store, a = await place.worker("a")
    odd = {CALL: "half a \ud83d character, and \0", CallId("rtc_plain"): "{}"}
    assert await store.claim_all(a, odd) == dict.fromkeys(odd, 1)
    held = await store.holder(CALL)
    assert held is not None
    assert held.webhook.startswith("half a ")


# Workers -------------------------------------------------------------------------------------------


async def test_a_worker_that_renews_keeps_its_calls(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    await claim_all(store, a, 3)
    await place.pass_time(LEASE_S - 5)
    assert await store.renew(a, lease_s=LEASE_S)
    await place.pass_time(LEASE_S - 5)
    assert await other.adopt(b, limit=9, quiet_s=QUIET_S) == ()
    assert await store.renew(a, lease_s=LEASE_S)


async def test_a_lease_that_has_run_out_lets_others_in_and_the_worker_learns_it(place: Place) -> None:
    """As when a worker was frozen: its liveness is held, its lease is not."""
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    held = await claim_all(store, a, 3)
    await place.pass_time(LEASE_S + 1)
    assert await other.renew(b, lease_s=LEASE_S)
    assert {worker.worker: worker.state for worker in await other.workers()} == {a: "late", b: "up"}
    adopted = await other.adopt(b, limit=9, quiet_s=QUIET_S)
    assert [(one.call_id, one.worker, one.former, one.epoch) for one in adopted] == [
        (call_id, b, a, 2) for call_id in held
    ]
    assert [one.webhook for one in adopted] == [f"webhook of {call_id}" for call_id in held]
    assert all(LEASE_S < one.unseen_s < LEASE_S + 60 for one in adopted)
    assert not await store.renew(a, lease_s=LEASE_S)
    assert not await store.renew(a, lease_s=LEASE_S)
    assert await store.claims(a) == ()
    assert [one.former for one in await other.claims(b)] == [a, a, a]
    assert {worker.worker: worker.state for worker in await other.workers()} == {a: "gone", b: "up"}
    with pytest.raises(WorkerGoneError, match="cannot come back"):
        await store.join(a, name="again", lease_s=LEASE_S)


async def test_a_worker_that_has_run_late_and_renews_in_time_stays(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    await claim_all(store, a, 1)
    await place.pass_time(LEASE_S + 1)
    assert await store.renew(a, lease_s=LEASE_S)
    assert await other.renew(b, lease_s=LEASE_S)
    assert await other.adopt(b, limit=9, quiet_s=QUIET_S) == ()


async def test_the_dead_are_noticed_long_before_their_lease_runs_out(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    held = await claim_all(store, a, 2)
    await store.aclose()  # frees what a process frees when it dies
    assert await other.adopt(b, limit=9, quiet_s=QUIET_S) == ()  # it was seen only just now
    await place.pass_time(QUIET_S + 1)
    assert await other.renew(b, lease_s=LEASE_S)

    adopted: list[CallId] = []
    async with asyncio.timeout(20):  # the server may need a moment to notice
        while not adopted:
            adopted = [one.call_id for one in await other.adopt(b, limit=9, quiet_s=QUIET_S)]
    assert adopted == held


async def test_who_is_alive_but_quiet_keeps_its_calls(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    await claim_all(store, a, 2)
    await place.pass_time(QUIET_S + 1)
    assert await other.adopt(b, limit=9, quiet_s=QUIET_S) == ()
    assert await store.renew(a, lease_s=LEASE_S)


async def test_a_worker_that_leaves_gives_its_calls_away_at_once(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    await claim_all(store, a, 2)
    await store.leave(a)
    await store.leave(a)
    assert not await store.renew(a, lease_s=LEASE_S)
    assert len(await other.adopt(b, limit=9, quiet_s=QUIET_S)) == 2
    assert {worker.worker: worker.state for worker in await other.workers()} == {a: "left", b: "up"}


async def test_workers_are_listed_with_their_calls(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    await claim_all(store, a, 3)
    await place.pass_time(10)
    assert await other.renew(b, lease_s=LEASE_S)
    found = await other.workers()
    assert [(one.worker, one.name, one.state, one.calls) for one in found] == [
        (b, "host of b", "up", 0),
        (a, "host of a", "up", 3),
    ]
    assert found[0].seen_s < 10 <= found[1].seen_s


async def test_workers_that_are_no_more_are_forgotten_after_a_day(place: Place) -> None:
    store, a = await place.worker("a")
    _, b = await place.worker("b")
    await claim_all(store, b, 1)
    await store.leave(a)
    await place.pass_time(90_000)
    await store.join(WorkerId("c"), name="c", lease_s=LEASE_S)
    assert {worker.worker: worker.state for worker in await store.workers()} == {"b": "late", "c": "up"}


async def test_joining_again_renews(place: Place) -> None:
    store, a = await place.worker("a")
    await place.pass_time(LEASE_S + 1)
    await store.join(a, name="another name", lease_s=LEASE_S)
    assert [(one.state, one.name) for one in await store.workers()] == [("up", "another name")]


async def test_a_stranger_renews_nothing(place: Place) -> None:
    store = await place.open()
    assert not await store.renew(WorkerId("nobody"), lease_s=LEASE_S)
    await store.leave(WorkerId("nobody"))
    assert await store.workers() == ()


async def test_a_database_says_for_how_long_it_has_been_up(place: Place) -> None:
    store = await place.open()
    uptime_s = await store.uptime_s()
    assert 0 < uptime_s < 86_400 if place.kind == "postgresql" else uptime_s == math.inf


# Adoption ------------------------------------------------------------------------------------------


async def test_of_adopters_at_once_each_gets_other_calls(place: Place) -> None:
    store, a = await place.worker("a")
    held = await claim_all(store, a, 30)
    adopters = [await place.worker(name) for name in ("b", "c", "d")]
    await store.leave(a)
    taken: Counter[CallId] = Counter()
    for _ in range(6):
        found = await asyncio.gather(
            *(other.adopt(worker, limit=5, quiet_s=QUIET_S) for other, worker in adopters)
        )
        assert all(len(group) <= 5 for group in found)
        taken.update(one.call_id for group in found for one in group)
    assert taken == Counter(held)
    assert {one.epoch for other, worker in adopters for one in await other.claims(worker)} == {2}


async def test_the_oldest_calls_are_adopted_first_and_an_adopted_call_can_be_adopted_again(
    place: Place,
) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    last, c = await place.worker("c")
    held = await claim_all(store, a, 4)
    await store.leave(a)
    first = await other.adopt(b, limit=2, quiet_s=QUIET_S)
    assert [one.call_id for one in first] == held[:2]
    await other.apply([checkpoint(7, '{"phase":"talking"}', call_id=held[0], epoch=2)])
    await other.leave(b)
    second = await last.adopt(c, limit=9, quiet_s=QUIET_S)
    assert [(one.call_id, one.epoch, one.former) for one in second] == [
        (held[0], 3, b), (held[1], 3, b), (held[2], 2, a), (held[3], 2, a),
    ]  # fmt: skip
    assert second[0].checkpoint == '{"phase":"talking"}'
    assert second[0].claimed_at == first[0].claimed_at


async def test_calls_that_are_handed_over_go_to_anybody_else(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    held = await claim_all(store, a, 3)
    ear = Ear()
    await other.listen(b, ear)
    await place.pass_time(5)
    await store.hand_over(a, [held[0], held[2], CallId("rtc_strange")])
    await ear.hears("orphans")
    assert await store.adopt(a, limit=9, quiet_s=0) == ()
    assert [one.call_id for one in await store.claims(a)] == [held[1]]
    given = await store.holder(held[0])
    assert given is not None
    assert (given.former, given.epoch, given.unseen_s) == (a, 1, 0)
    await store.apply([checkpoint(5, "the last word", call_id=held[0])])
    assert await store.begin_effect(held[0], "call_1", a, 1) == EffectFenced()
    await other.hand_over(b, [held[1]])  # it is not b's to give
    adopted = await other.adopt(b, limit=9, quiet_s=QUIET_S)
    assert [(one.call_id, one.former, one.epoch, one.unseen_s) for one in adopted] == [
        (held[0], a, 2, 0), (held[2], a, 2, 0),
    ]  # fmt: skip
    assert adopted[0].checkpoint == "the last word"
    await store.hand_over(a, [held[0]])
    await store.hand_over(a, [])
    assert [one.call_id for one in await other.claims(b)] == [held[0], held[2]]
    assert await store.renew(a, lease_s=LEASE_S)
    await place.pass_time(7)
    await other.leave(b)
    again = await store.adopt(a, limit=9, quiet_s=QUIET_S)
    assert [one.former for one in again] == [b, b]
    assert all(7 <= one.unseen_s < 60 for one in again)


async def test_calls_that_nobody_took_can_be_taken_back(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    held = await claim_all(store, a, 3)
    await store.hand_over(a, held[:2])
    assert [one.call_id for one in await store.claims(NOBODY)] == held[:2]
    (taken,) = await other.adopt(b, limit=1, quiet_s=QUIET_S)
    assert [one.call_id for one in await store.claims(NOBODY)] == [held[1]]
    back = await store.adopt(a, limit=9, quiet_s=QUIET_S, take_back=True)
    assert [(one.call_id, one.former, one.epoch, one.unseen_s) for one in back] == [(held[1], a, 2, 0)]
    assert {one.call_id for one in await store.claims(a)} == {held[1], held[2]}
    assert [one.call_id for one in await other.claims(b)] == [taken.call_id]


async def test_nobody_adopts_from_itself(place: Place) -> None:
    store, a = await place.worker("a")
    await claim_all(store, a, 1)
    await place.pass_time(LEASE_S + 1)
    assert await store.adopt(a, limit=9, quiet_s=0) == ()
    assert await store.renew(a, lease_s=LEASE_S)


async def test_a_call_of_a_worker_that_nobody_knows_is_adopted(place: Place) -> None:
    store, b = await place.worker("b")
    assert await claim_one(store, CALL, WorkerId("nobody"), webhook="")
    (adopted,) = await store.adopt(b, limit=1, quiet_s=QUIET_S)
    assert (adopted.former, adopted.unseen_s) == ("nobody", math.inf)


async def test_renewing_and_adopting_at_once_never_both_succeed(place: Place) -> None:
    for number in range(8):
        store, a = await place.worker(f"a{number}")
        other, b = await place.worker(f"b{number}")
        assert await claim_one(store, CallId(f"rtc_{number}"), a, webhook="")
        await place.pass_time(LEASE_S + 1)
        renewed, adopted = await asyncio.gather(
            store.renew(a, lease_s=LEASE_S), other.adopt(b, limit=9, quiet_s=QUIET_S)
        )
        assert renewed is not bool([one for one in adopted if one.former == a])
        await store.leave(a)
        await other.leave(b)


# Checkpoints ---------------------------------------------------------------------------------------


async def test_the_last_checkpoint_of_the_present_holder_counts(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")

    async def kept() -> str | None:
        held = await store.holder(CALL)
        assert held is not None
        return held.checkpoint

    await store.apply([checkpoint(0, "before the claim")])
    assert await store.holder(CALL) is None
    assert await claim_one(store, CALL, a, webhook="")
    assert await kept() is None
    await store.apply([checkpoint(1, "one"), checkpoint(3, "three"), checkpoint(2, "two")])
    assert await kept() == "three"
    await store.apply([checkpoint(2, "two, late")])
    assert await kept() == "three"
    await store.leave(a)
    await other.adopt(b, limit=1, quiet_s=QUIET_S)
    assert await kept() == "three"
    await store.apply([checkpoint(9, "of the former holder")])
    assert await kept() == "three"
    await other.apply([checkpoint(0, "of the new holder", epoch=2)])
    assert await kept() == "of the new holder"
    await other.apply([checkpoint(9, "of the former holder"), checkpoint(1, "and then", epoch=2)])
    assert await kept() == "and then"


# Effects -------------------------------------------------------------------------------------------


async def test_of_fifty_who_begin_an_effect_at_once_one_carries_it_out(place: Place) -> None:
    workers = [await place.worker(f"worker {number}") for number in range(5)]
    answers = await asyncio.gather(
        *(store.begin_effect(CALL, "call_1", worker, 1) for store, worker in workers for _ in range(10))
    )
    assert Counter(type(answer) for answer in answers) == {EffectBegun: 1, EffectKnown: 49}


async def test_an_effect_of_long_arguments_is_entered_like_another(place: Place) -> None:
    store, a = await place.worker("a")
    message = "".join(secrets.choice(string.printable) for _ in range(20_000))
    name = f"call_1 {work_key('take_message', json.dumps({'text': message}))}"
    assert await store.begin_effect(CALL, name, a, 1) == EffectBegun()
    (effect,) = await store.effects(CALL)
    assert effect.key == name


async def test_what_came_of_an_effect_is_told_to_whoever_asks_again(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    assert await claim_one(store, CALL, a, webhook="")
    assert await store.begin_effect(CALL, "call_1", a, 1) == EffectBegun()
    unknown = EffectKnown(output=None, is_error=False, worker=a, epoch=1)
    assert await store.begin_effect(CALL, "call_1", a, 1) == unknown
    await store.leave(a)
    await other.adopt(b, limit=1, quiet_s=QUIET_S)
    assert await other.begin_effect(CALL, "call_1", b, 2) == unknown
    await store.finish_effect(CALL, "call_1", "booked\0", True)
    await store.finish_effect(CALL, "call_1", "a second end", False)
    known = await other.begin_effect(CALL, "call_1", b, 2)
    assert isinstance(known, EffectKnown)
    assert (known.output or "").startswith("booked")
    assert known.is_error
    assert await other.begin_effect(CALL, "call_2", b, 2) == EffectBegun()
    assert await other.begin_effect(CallId("rtc_other"), "call_1", b, 1) == EffectBegun()
    ledger = await other.effects(CALL)
    assert [(effect.key, effect.worker, effect.epoch, effect.output is None) for effect in ledger] == [
        ("call_1", a, 1, False), ("call_2", b, 2, True),
    ]  # fmt: skip
    assert all(effect.begun_at.tzinfo is UTC for effect in ledger)


async def test_whoever_lost_the_call_begins_nothing_any_more(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    assert await claim_one(store, CALL, a, webhook="")
    assert await other.begin_effect(CALL, "call_1", b, 1) == EffectFenced()
    await place.pass_time(LEASE_S + 1)
    await other.adopt(b, limit=1, quiet_s=QUIET_S)
    assert await store.begin_effect(CALL, "call_1", a, 1) == EffectFenced()
    assert await other.effects(CALL) == ()
    assert await other.begin_effect(CALL, "call_1", b, 2) == EffectBegun()


async def test_an_effect_whose_beginning_was_not_written_down_is_known_by_its_end(place: Place) -> None:
    store, a = await place.worker("a")
    await store.finish_effect(CALL, "call_1", "sent", False)
    answer = await store.begin_effect(CALL, "call_1", a, 1)
    assert isinstance(answer, EffectKnown)
    assert (answer.output, answer.is_error) == ("sent", False)


# Commands and signals ------------------------------------------------------------------------------


def command(command_id: str = "cmd_1", call_id: CallId = CALL, *, second: float = 0) -> CallCommand:
    return CallCommand(
        command_id=command_id, call_id=call_id, verb="say", argument="One moment, please. ü",
        asked_by="operator", asked_at=at(second),
    )  # fmt: skip


async def test_a_command_reaches_the_holder_and_its_outcome_comes_back(place: Place) -> None:
    store, a = await place.worker("a")
    _, b = await place.worker("b")
    asker = await place.open()
    assert await claim_one(store, CALL, a, webhook="")
    await asker.ask(command("cmd_2", second=2))
    await asker.ask(command("cmd_1", second=1))
    await asker.ask(command("cmd_1", CallId("rtc_other"), second=9))  # known already
    assert await store.commands(a) == (command("cmd_1", second=1), command("cmd_2", second=2))
    assert await store.commands(b) == ()
    assert await asker.outcome("cmd_1") is None
    assert await store.answer("cmd_1", "done", "The words were said.")
    assert not await asker.answer("cmd_1", "withdrawn", "Nobody answered in time.")
    assert not await asker.answer("cmd_9", "withdrawn", "")
    outcome = await asker.outcome("cmd_1")
    assert outcome is not None
    assert (outcome.outcome, outcome.detail) == ("done", "The words were said.")
    assert outcome.answered_at.tzinfo is UTC
    assert await store.commands(a) == (command("cmd_2", second=2),)
    audit = await asker.audit(CALL)
    assert [line.command.command_id for line in audit] == ["cmd_1", "cmd_2"]
    assert [line.outcome for line in audit] == [outcome, None]
    assert await asker.audit(CallId("rtc_other")) == ()


async def test_a_command_goes_with_its_call_to_the_adopter(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    assert await claim_one(store, CALL, a, webhook="")
    await store.ask(command())
    await store.leave(a)
    await other.adopt(b, limit=1, quiet_s=QUIET_S)
    assert await other.commands(b) == (command(),)
    await other.apply([ended()])
    assert await other.commands(b) == ()


class Ear:
    """Counts the signals that a worker hears."""

    def __init__(self) -> None:
        self.heard: Counter[SignalKind] = Counter()
        self._news = asyncio.Event()

    def __call__(self, kind: SignalKind) -> None:
        self.heard[kind] += 1
        self._news.set()

    async def hears(self, kind: SignalKind) -> None:
        async with asyncio.timeout(20):
            while not self.heard[kind]:
                self._news.clear()
                await self._news.wait()
        self.heard.clear()


async def test_signals_reach_those_whom_they_concern(place: Place) -> None:
    store, a = await place.worker("a")
    other, b = await place.worker("b")
    asker = await place.open()
    first, second = Ear(), Ear()
    await store.listen(a, first)
    await other.listen(b, second)
    assert await claim_one(store, CALL, a, webhook="")
    await asker.ask(command())
    await first.hears("command")
    await store.leave(a)
    await second.hears("orphans")
    assert not first.heard["orphans"]
    await other.adopt(b, limit=1, quiet_s=QUIET_S)
    await asker.ask(command("cmd_2"))
    await second.hears("command")
    assert first.heard == second.heard == Counter()


async def test_a_signal_that_nobody_hears_is_no_error(place: Place) -> None:
    store, a = await place.worker("a")
    asker = await place.open()
    await asker.ask(command())
    assert await claim_one(store, CALL, a, webhook="")
    await asker.ask(command("cmd_2"))
    await store.aclose()
    await asker.ask(command("cmd_3"))
    assert len(await asker.commands(a)) == 3


# What nobody ends, and the day's usage --------------------------------------------------------------


async def test_calls_that_nobody_will_end_are_listed(place: Place) -> None:
    store, a = await place.worker("a")
    names = [CallId(name) for name in ("rtc_lost", "rtc_older", "rtc_held", "rtc_ended", "rtc_new")]
    lost, older, held, over, new = names
    await store.apply(
        [opened(lost, second=5), opened(older, second=1), opened(held), opened(over), opened(new, second=60)]
    )
    await store.apply([ended(call_id=over)])
    assert await claim_one(store, held, a, webhook="")
    found = await store.unfinished(at(60))
    assert [(one.call_id, one.started_at, one.ended_at) for one in found] == [
        (older, at(1), None), (lost, at(5), None),
    ]  # fmt: skip
    await store.apply([ended(call_id=lost), ended(call_id=older)])
    assert await store.unfinished(at(60)) == ()


async def test_usage_is_summed_by_model_and_kind(place: Place) -> None:
    store = await place.open()
    assert await store.usage_since(at(0)) == ()
    await store.apply([opened(), response_tokens("resp_1", second=6), response_tokens("resp_2", second=9)])
    await store.apply([transcription_seconds(), response_tokens("resp_0", second=1, output=1000)])
    total = UsageTotal(
        model="gpt-realtime-2.1", kind="response", input_tokens=200, cached_tokens=128, output_tokens=40,
        input_audio_tokens=160, output_audio_tokens=30, duration_s=0.0, cached_audio_tokens=96,
    )  # fmt: skip
    heard, spoken = UsageTotal(
        model="gpt-realtime-2.1", kind="transcription", input_tokens=0, cached_tokens=0, output_tokens=0,
        input_audio_tokens=0, output_audio_tokens=0, duration_s=1.75, cached_audio_tokens=0,
    ), total  # fmt: skip
    assert await store.usage_since(at(6)) == (spoken, heard)
    assert await store.usage_since(at(9) + timedelta(microseconds=1)) == ()


async def test_cancelling_a_claim_leaves_it_whole_or_absent(place: Place) -> None:
    store, a = await place.worker("a")
    for steps in range(12):
        call_id = CallId(f"rtc_{steps}")
        claim = asyncio.ensure_future(claim_one(store, call_id, a, webhook=""))
        for _ in range(steps):
            await asyncio.sleep(0)
        claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)
        assert await claim_one(store, call_id, a, webhook="")
