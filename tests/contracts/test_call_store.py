"""What every store must do, whatever it is made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipagent.identifiers import CallId
from sipagent.store import Store
from sipagent.store.records import (
    CallFact,
    CallOpened,
    Fact,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    moment_of,
)
from tests.store.facts import (
    CALL,
    at,
    ended,
    latency,
    line,
    loaded,
    note,
    opened,
    response_tokens,
    state,
    tool,
    transcription_seconds,
)

WHOLE_CALL: tuple[Fact, ...] = (
    opened(),
    note(0),
    state(1, "accepting"),
    state(2, "talking"),
    latency("webhook_to_accept", 0, 81.5),
    line("item_1", 1.0, "Harbor Dental, good morning."),
    line("item_3", 2.0, "The next free slot is", interrupted=True),
    line("item_2", 1.5, "I need an appointment.", role="caller"),
    tool(),
    tool(output="Monday at nine"),
    response_tokens(),
    transcription_seconds(),
    latency("caller_end_to_first_word", 0, 640.0),
    latency("caller_end_to_first_word", 1, 555.0),
    note(1, "transfer_outcome", '{"target":"sales","outcome":"busy"}'),
    state(3, "ended"),
    ended(),
)


async def test_a_whole_call_is_read_back_as_it_was_written(store: Store) -> None:
    await store.apply(WHOLE_CALL)
    record = await store.call(CALL)
    assert record is not None
    summary = record.summary
    assert (summary.call_id, summary.caller, summary.dialled) == (CALL, "+15550100123", "+15550100000")
    assert (summary.agent, summary.state) == ("front-desk", "ended")
    assert (summary.end_reason, summary.fault_owner) == ("agent_hung_up", "none")
    assert (summary.started_at, summary.ended_at) == (at(0), at(60))
    assert summary.started_at.tzinfo is UTC
    assert record.webhook_id == "wh_rtc_one"
    assert (record.model, record.configuration) == ("gpt-realtime-2.1", "c0ffee")
    assert record.sip_call_id == "a84b4c76e66710"
    assert record.end_detail == "The agent said goodbye and hung up."
    assert record.tools == (tool(output="Monday at nine"),)
    assert record.usage == (response_tokens(), transcription_seconds())
    assert record.latencies == (
        latency("webhook_to_accept", 0, 81.5),
        latency("caller_end_to_first_word", 0, 640.0),
        latency("caller_end_to_first_word", 1, 555.0),
    )
    assert record.notes == (note(0), note(1, "transfer_outcome", '{"target":"sales","outcome":"busy"}'))


async def test_states_begin_with_ringing_and_come_in_sequence(store: Store) -> None:
    await store.apply([opened(), state(2, "talking"), state(1, "accepting")])
    record = await store.call(CALL)
    assert record is not None
    ringing = StateChanged(call_id=CALL, sequence=0, state="ringing", at=at(0))
    assert record.states == (ringing, state(1, "accepting"), state(2, "talking"))
    assert record.summary.state == "talking"


async def test_a_late_state_does_not_become_the_present_one(store: Store) -> None:
    await store.apply([opened(), state(2, "talking")])
    await store.apply([state(1, "accepting")])
    (summary,) = await store.calls()
    assert summary.state == "talking"


async def test_the_transcript_is_in_conversation_order_and_marks_what_was_cut(store: Store) -> None:
    await store.apply(WHOLE_CALL)
    record = await store.call(CALL)
    assert record is not None
    assert [(said.role, said.text, said.interrupted) for said in record.transcript] == [
        ("agent", "Harbor Dental, good morning.", False),
        ("caller", "I need an appointment.", False),
        ("agent", "The next free slot is", True),
    ]


async def test_a_line_is_written_again_when_more_of_it_is_known(store: Store) -> None:
    await store.apply([opened(), line("item_1", 1.0, "Good morn"), line("item_1", 1.0, "Good morning.")])
    await store.apply([line("item_1", 1.0, "Good morning.", interrupted=True)])
    record = await store.call(CALL)
    assert record is not None
    assert record.transcript == (line("item_1", 1.0, "Good morning.", interrupted=True),)


@pytest.mark.parametrize("together", [True, False])
async def test_a_line_that_comes_late_does_not_replace_a_newer_one(store: Store, together: bool) -> None:
    """As when a worker has died, and what it had still to write is found later."""
    newer = line("item_1", 1.0, "Good morning, how can I help?", second=9)
    facts: list[Fact] = [opened(), newer, line("item_1", 1.0, "Good morning,", second=8)]
    for group in [facts] if together else [[fact] for fact in facts]:
        await store.apply(group)
    record = await store.call(CALL)
    assert record is not None
    assert record.transcript == (newer,)


@pytest.mark.parametrize("together", [True, False])
async def test_a_finished_tool_is_not_begun_again(store: Store, together: bool) -> None:
    facts: list[Fact] = [opened(), tool(output="nine", is_error=True), tool()]
    for group in [facts] if together else [[fact] for fact in facts]:
        await store.apply(group)
    record = await store.call(CALL)
    assert record is not None
    assert record.tools == (tool(output="nine", is_error=True),)


async def test_tools_and_usage_are_in_the_order_of_time(store: Store) -> None:
    await store.apply([opened(), tool("call_2", second=9), response_tokens("resp_2", second=9)])
    await store.apply([tool("call_1", second=5), response_tokens("resp_1", second=5)])
    record = await store.call(CALL)
    assert record is not None
    assert [run.tool_call_id for run in record.tools] == ["call_1", "call_2"]
    assert [usage.source_id for usage in record.usage] == ["resp_1", "resp_2"]


@pytest.mark.parametrize("together", [True, False])
async def test_only_the_first_opening_and_the_first_end_count(store: Store, together: bool) -> None:
    facts: list[Fact] = [
        opened(),
        ended("caller_hung_up"),
        opened(agent="another", second=30),
        ended("internal_error", second=99, owner="sipagent"),
    ]
    for group in [facts] if together else [[fact] for fact in facts]:
        await store.apply(group)
    (summary,) = await store.calls()
    assert (summary.agent, summary.started_at) == ("front-desk", at(0))
    assert (summary.end_reason, summary.fault_owner, summary.ended_at) == ("caller_hung_up", "none", at(60))


@pytest.mark.parametrize("late", ["of who was gone", "of who took over"])
@pytest.mark.parametrize("together", [True, False])
async def test_a_call_that_two_processes_ended_is_entered_as_ended_once(
    store: Store, late: str, together: bool
) -> None:
    gone: list[Fact] = [state(3, "ended"), ended("agent_hung_up", second=3.1)]
    heir: list[Fact] = [state(1001, "attaching"), state(1002, "ended"), ended(second=1002.1)]
    first, last = (heir, gone) if late == "of who was gone" else (gone, heir)
    facts = [opened(), state(1, "accepting"), state(2, "talking"), *first, *last]
    for group in [facts] if together else [[fact] for fact in facts]:
        await store.apply(group)
    record = await store.call(CALL)
    assert record is not None
    assert [each for each in record.states if each.state == "ended"] == [first[-2]]
    assert record.states[-1].state == "ended"
    assert record.summary.ended_at == moment_of(first[-1])
    assert (await store.calls())[0].state == "ended"


async def test_writing_everything_again_changes_nothing(store: Store) -> None:
    await store.apply(WHOLE_CALL)
    once = await store.call(CALL)
    await store.apply(WHOLE_CALL)
    for fact in WHOLE_CALL:
        await store.apply([fact])
    assert await store.call(CALL) == once
    assert len(await store.calls()) == 1


async def test_a_fact_of_a_call_that_was_never_opened_is_kept_and_hurts_no_other(store: Store) -> None:
    await store.apply([opened(), line("item_1", 1.0, "Hello?", call_id="rtc_lost"), ended()])
    other = await store.call(CALL)
    assert other is not None
    assert other.summary.end_reason == "agent_hung_up"
    lost = await store.call(CallId("rtc_lost"))
    assert lost is not None
    assert lost.transcript == (line("item_1", 1.0, "Hello?", call_id="rtc_lost"),)
    assert (lost.webhook_id, lost.summary.agent, lost.states) == ("", None, ())
    assert lost.summary.started_at == at(1.0)


async def test_an_opening_that_comes_late_completes_the_call(store: Store) -> None:
    await store.apply([state(1, "accepting"), ended(second=3)])
    await store.apply([opened()])
    record = await store.call(CALL)
    assert record is not None
    assert (record.summary.agent, record.webhook_id) == ("front-desk", "wh_rtc_one")
    assert (record.summary.started_at, record.summary.ended_at) == (at(0), at(3))
    assert [entered.state for entered in record.states] == ["ringing", "accepting"]


async def test_a_latency_alone_is_dated_now(store: Store) -> None:
    await store.apply([latency("accept", 0, 12.0)])
    record = await store.call(CALL)
    assert record is not None
    assert record.latencies == (latency("accept", 0, 12.0),)
    assert record.summary.started_at.tzinfo is UTC


async def test_nothing_to_write_and_nothing_to_read(store: Store) -> None:
    await store.apply([])
    assert await store.call(CALL) is None
    assert await store.calls() == ()
    await store.ping()


async def test_the_list_is_newest_first_and_can_be_narrowed(store: Store) -> None:
    for number in range(6):
        call_id = f"rtc_{number}"
        await store.apply([opened(call_id, second=number, agent="night" if number % 2 else "day")])
        if number < 4:
            await store.apply([ended("caller_hung_up" if number < 2 else "transferred", call_id=call_id)])

    async def listed(
        limit: int = 50, before: datetime | None = None, agent: str | None = None, reason: str | None = None
    ) -> list[str]:
        return [
            call.call_id for call in await store.calls(limit=limit, before=before, agent=agent, reason=reason)
        ]

    assert await listed() == [f"rtc_{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert await listed(limit=2) == ["rtc_5", "rtc_4"]
    assert await listed(before=at(4)) == ["rtc_3", "rtc_2", "rtc_1", "rtc_0"]
    assert await listed(limit=1, before=at(4)) == ["rtc_3"]
    assert await listed(agent="night") == ["rtc_5", "rtc_3", "rtc_1"]
    assert await listed(reason="caller_hung_up") == ["rtc_1", "rtc_0"]
    assert await listed(reason="transferred", agent="day") == ["rtc_2"]
    assert await listed(agent="nobody") == []


async def test_a_time_of_another_zone_is_the_same_moment(store: Store) -> None:
    there = timezone(timedelta(hours=-7))
    fact = opened()
    elsewhere = CallOpened(
        call_id=fact.call_id, at=fact.at.astimezone(there), webhook_id="wh", caller=None, dialled=None,
        agent=None, model=None, sip_call_id=None, configuration=None,
    )  # fmt: skip
    await store.apply([elsewhere])
    (summary,) = await store.calls(before=at(0.5).astimezone(there))
    assert summary.started_at == at(0)
    assert await store.calls(before=at(0).astimezone(there)) == ()


async def test_writers_at_once_lose_nothing(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(store.apply([opened(f"rtc_{number}"), state(1, "talking", f"rtc_{number}")]))
            group.create_task(store.calls(limit=5))
    found = await store.calls(limit=100)
    assert {call.call_id for call in found} == {f"rtc_{number}" for number in range(40)}
    assert {call.state for call in found} == {"talking"}


async def test_a_cancelled_write_is_whole_or_absent_and_can_be_repeated(store: Store) -> None:
    for steps in range(30):
        call_id = f"rtc_{steps}"
        facts: list[Fact] = [
            opened(call_id),
            line("item_1", 1.0, "Hello.", call_id=call_id),
            ended(call_id=call_id),
        ]
        write = asyncio.ensure_future(store.apply(facts))
        for _ in range(steps):
            await asyncio.sleep(0)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        record = await store.call(CallId(call_id))
        if record is not None:
            assert (len(record.transcript), record.summary.end_reason) == (1, "agent_hung_up")
        await store.apply(facts)
        record = await store.call(CallId(call_id))
        assert record is not None
        assert (len(record.transcript), record.summary.end_reason) == (1, "agent_hung_up")


async def test_closing_twice_is_fine(store: Store) -> None:
    await store.aclose()
    await store.aclose()


TEXTS = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 1e6), TEXTS), max_size=12), cut=st.data()
)
async def test_however_a_conversation_is_cut_into_writes_it_reads_the_same(
    store: Store, said: list[tuple[str, float, str]], cut: st.DataObject
) -> None:
    """And any text a caller may say survives."""
    call_id = CallId(f"rtc_{len(await store.calls(limit=10_000))}")
    facts: list[Fact] = [opened(call_id)]
    facts += [
        line(item, position, text, call_id=call_id, second=second)
        for second, (item, position, text) in enumerate(said)
    ]
    while facts:
        size = cut.draw(st.integers(1, len(facts)))
        await store.apply(facts[:size])
        facts = facts[size:]
    record = await store.call(call_id)
    assert record is not None
    expected = {item: (position, text) for item, position, text in said}
    found = {found.item_id: (found.position, found.text) for found in record.transcript}
    assert found == expected
    assert [found.position for found in record.transcript] == sorted(p for p, _ in expected.values())


async def test_text_that_no_database_takes_hurts_nothing(store: Store) -> None:
    await store.apply([opened(), line("item_1", 1.0, "before \ud83d after \0"), ended()])
    record = await store.call(CALL)
    assert record is not None
    assert record.summary.end_reason == "agent_hung_up"
    assert record.transcript[0].text.startswith("before ")


async def test_the_order_of_kinds_within_a_write_does_not_matter(store: Store) -> None:
    kinds: tuple[CallFact, ...] = (opened(), state(1, "talking"), line("item_1", 1.0, "Hello."), ended())
    records = set()
    for number, order in enumerate(permutations(kinds)):
        call_id = CallId(f"rtc_{number}")
        await store.apply([_of_call(fact, call_id) for fact in order])
        record = await store.call(call_id)
        assert record is not None
        records.add(
            (record.summary.agent, record.summary.end_reason, len(record.states), record.transcript[0].text)
        )
    assert records == {("front-desk", "agent_hung_up", 2, "Hello.")}


async def test_usage_of_a_response_and_of_a_transcription_never_mix(store: Store) -> None:
    same = "item_1"
    await store.apply([opened(), response_tokens(same), transcription_seconds(same)])
    record = await store.call(CALL)
    assert record is not None
    assert {usage.kind for usage in record.usage} == {"response", "transcription"}
    assert sum(usage.output_tokens for usage in record.usage) == 20


async def test_notes_are_read_in_their_order_and_written_again_they_stay_one(store: Store) -> None:
    await store.apply([opened(), note(2, "wrap_up", "{}"), note(0, "admission", "{}")])
    await store.apply([note(1, "idle_step", '{"step":1}'), note(0, "admission", "{}")])
    await store.apply([note(1, "idle_step", '{"step":1}'), note(0, call_id="rtc_two")])
    record = await store.call(CALL)
    assert record is not None
    assert [(each.sequence, each.kind, each.data) for each in record.notes] == [
        (0, "admission", "{}"),
        (1, "idle_step", '{"step":1}'),
        (2, "wrap_up", "{}"),
    ]
    other = await store.call(CallId("rtc_two"))
    assert other is not None
    assert other.notes == (note(0, call_id="rtc_two"),)
    assert other.summary.agent is None  # its opening was lost, its note was not


async def test_a_configuration_is_kept_once_and_listed_newest_first(store: Store) -> None:
    assert await store.configuration("c0ffee") is None
    assert await store.configurations() == ()
    await store.apply([loaded(), loaded("beef", number=2, second=5, text="version: 1 # ü\n"), opened()])
    await store.apply([loaded(number=3, second=9), loaded("cafe", number=4, second=12)])
    assert await store.configuration("c0ffee") == loaded()
    assert await store.configuration("beef") == loaded("beef", number=2, second=5, text="version: 1 # ü\n")
    assert [each.fingerprint for each in await store.configurations()] == ["cafe", "beef", "c0ffee"]
    assert [each.fingerprint for each in await store.configurations(limit=1)] == ["cafe"]
    assert [call.call_id for call in await store.calls()] == [CALL]  # and it is no call


def _of_call(fact: CallFact, call_id: CallId) -> Fact:
    assert not isinstance(fact, TokensUsed | LatencyMeasured)
    return replace(fact, call_id=call_id)
