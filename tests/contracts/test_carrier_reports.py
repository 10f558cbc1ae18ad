"""What every store must do with what carriers report, and with recordings."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import permutations

from sipagent.identifiers import CallId
from sipagent.store import CallRecord, Fact, RecordingFile, RecordingKept, Store
from tests.contracts.places import Place
from tests.store.facts import CALL, LEG, at, deleted, ended, note, opened, recording, report, state

OTHER_LEG = "CA0000000000000000000000000000000002"


async def read(store: Store, call_id: str = CALL) -> CallRecord:
    record = await store.call(CallId(call_id))
    assert record is not None
    return record


def file_of(kept: RecordingKept) -> RecordingFile:
    return RecordingFile(
        call_id=kept.call_id,
        path=kept.path,
        host=kept.host,
        started_at=kept.started_at,
        seconds=kept.seconds,
        consent=kept.consent,
        keep_until=kept.keep_until,
    )


async def test_a_call_knows_its_line_and_its_leg(store: Store) -> None:
    await store.apply([opened(), opened("rtc_two", line="stream", carrier="telnyx", leg="v3:one")])
    plain, bridged = await read(store), await read(store, "rtc_two")
    assert (plain.line, plain.carrier, plain.carrier_call_id) == ("sip", None, None)
    assert (bridged.line, bridged.carrier, bridged.carrier_call_id) == ("stream", "telnyx", "v3:one")


async def test_reports_join_the_record_whenever_they_come(store: Store) -> None:
    """Before the call is opened, during it and after its end, all in the same order."""
    facts: list[Fact] = [
        report("initiated", event_id="e1", second=0),
        opened(carrier="twilio", leg=LEG),
        report("answered", event_id="e2", second=1),
        ended(),
        report("completed", event_id="e3", second=61),
    ]
    for fact in facts:
        await store.apply([fact])
    record = await read(store)
    assert [one.kind for one in record.carrier_reports] == ["initiated", "answered", "completed"]
    assert record.carrier_reports[2] == report("completed", event_id="e3", second=61)
    for number, order in enumerate(permutations(facts[1:4])):
        call_id = f"rtc_{number}"
        leg = f"CA{number}"
        await store.apply(
            [
                opened(call_id, carrier="twilio", leg=leg)
                if fact is facts[1]
                else ended(call_id=call_id)
                if fact is facts[3]
                else report("answered", event_id=f"p{number}", second=1, leg=leg)
                for fact in order
            ]
        )
        assert [one.kind for one in (await read(store, call_id)).carrier_reports] == ["answered"]


async def test_a_report_that_comes_again_changes_nothing(store: Store) -> None:
    first = report("ringing", second=1)
    await store.apply([opened(carrier="twilio", leg=LEG), first, first])
    await store.apply([report("completed", second=2)])  # the same event, told otherwise
    await store.apply([report("busy", carrier="telnyx", leg="v3:one")])  # another carrier's event
    assert (await read(store)).carrier_reports == (first,)
    assert await store.carrier_reports(LEG) == (first,)
    assert len(await store.carrier_reports("v3:one")) == 1


async def test_a_report_of_a_leg_that_never_reached_us_is_kept_without_a_call(store: Store) -> None:
    await store.apply([report("no_answer")])
    assert await store.carrier_reports(LEG) == (report("no_answer"),)
    assert await store.calls() == ()
    assert await store.calls_of_leg(LEG) == ()
    assert await store.carrier_reports(OTHER_LEG) == ()


async def test_legs_made_for_the_caller_belong_to_the_call(store: Store) -> None:
    await store.apply([opened(carrier="twilio", leg=LEG)])
    child = report("busy", event_id="e2", second=5, leg=OTHER_LEG, parent=LEG)
    await store.apply([child, report("answered", event_id="e1", second=1)])
    assert [one.kind for one in (await read(store)).carrier_reports] == ["answered", "busy"]
    assert [one.kind for one in await store.carrier_reports(LEG)] == ["answered", "busy"]
    assert await store.carrier_reports(OTHER_LEG) == (child,)


async def test_a_report_that_names_a_call_belongs_to_it_whatever_its_leg(store: Store) -> None:
    await store.apply([opened(), report("line_ended", call_id=CALL), opened("rtc_two")])
    assert (await read(store)).carrier_reports == (report("line_ended", call_id=CALL),)
    assert (await read(store, "rtc_two")).carrier_reports == ()


async def test_a_leg_of_another_carrier_with_the_same_name_is_another(store: Store) -> None:
    await store.apply([opened(carrier="telnyx", leg=LEG), report("completed", event_id="e1")])
    theirs = report("busy", event_id="e2", carrier="telnyx")
    await store.apply([theirs])
    assert (await read(store)).carrier_reports == (theirs,)
    assert len(await store.carrier_reports(LEG)) == 2
    assert await store.carrier_reports(LEG, carrier="telnyx") == (theirs,)


async def test_reports_of_one_moment_are_in_the_order_in_which_they_came(store: Store) -> None:
    kinds = ["initiated", "ringing", "answered", "completed"]
    await store.apply([opened(carrier="twilio", leg=LEG)])
    await store.apply([report(kind, event_id=kind, second=1) for kind in kinds])
    assert [one.kind for one in (await read(store)).carrier_reports] == kinds


async def test_times_in_whole_seconds_put_no_end_before_what_led_to_it(store: Store) -> None:
    whole = replace(report("completed", event_id="e2"), at=at(1).replace(microsecond=0))
    announced = report("announced", event_id="e1", second=1)
    before = report("initiated", event_id="e0", second=-1)
    await store.apply([opened(carrier="twilio", leg=LEG), announced, whole, before])
    assert whole.at < announced.at
    assert (await read(store)).carrier_reports == (before, announced, whole)
    assert await store.carrier_reports(LEG) == (before, announced, whole)
    exact = [report("answered", event_id="e5", second=9), report("ringing", event_id="e4", second=8.9)]
    await store.apply([opened("rtc_two", carrier="telnyx", leg="v3:1")])
    await store.apply([replace(one, carrier="telnyx", carrier_call_id="v3:1") for one in exact])
    assert [one.kind for one in (await read(store, "rtc_two")).carrier_reports] == ["ringing", "answered"]


async def test_a_leg_may_have_had_several_calls(store: Store) -> None:
    """The first way to answer failed, the second did not."""
    await store.apply([opened(carrier="twilio", leg=LEG), ended(second=3), report("completed")])
    await store.apply([opened("twilio:1", second=4, line="stream", carrier="twilio", leg=LEG)])
    await store.apply([opened("rtc_other", second=9, carrier="twilio", leg=OTHER_LEG)])
    assert [call.call_id for call in await store.calls_of_leg(LEG)] == ["twilio:1", CALL]
    assert (await read(store)).carrier_reports == (await read(store, "twilio:1")).carrier_reports


async def test_what_a_carrier_says_may_be_anything(store: Store) -> None:
    strange = report("\ud83d\0", data='"\0 is no object"', leg="leg\0", event_id="e\ud83d")
    await store.apply([strange, opened()])
    await store.apply([strange])
    assert len(await store.calls()) == 1


async def test_of_workers_that_are_told_the_same_at_once_one_writes_it(place: Place) -> None:
    """A carrier that gets no answer in time tells another worker, which may write in another order."""
    one, other = await place.open(), await place.open()
    events = [report("ringing", event_id=f"e{number}", second=number) for number in range(60)]
    await one.apply([opened(carrier="twilio", leg=LEG)])
    for _ in range(5):
        await asyncio.gather(one.apply(events), other.apply(list(reversed(events))))
    assert (await read(other)).carrier_reports == tuple(events)


# Recordings ----------------------------------------------------------------------------------------


async def test_a_recording_is_known_from_its_first_moment_and_whole_at_its_end(store: Store) -> None:
    await store.apply([opened(), recording(seconds=None)])
    assert (await read(store)).recordings == (file_of(recording(seconds=None)),)
    await store.apply([recording()])
    await store.apply([recording(seconds=None)])  # found late, on the disk of a process that died
    assert (await read(store)).recordings == (file_of(recording()),)


async def test_recordings_are_in_the_order_of_time(store: Store) -> None:
    later, earlier = recording("/b.wav", second=9), recording("/c.wav", second=1)
    await store.apply([opened(), later, earlier, recording("/a.wav", call_id="rtc_two")])
    assert [file.path for file in (await read(store)).recordings] == ["/c.wav", "/b.wav"]
    assert (await read(store, "rtc_two")).recordings == (file_of(recording("/a.wav", call_id="rtc_two")),)


async def test_a_recording_is_deleted_once_and_not_brought_back(store: Store) -> None:
    await store.apply([opened(), recording(), state(1, "talking"), note(0)])
    await store.apply([deleted()])
    await store.apply([deleted(second=99_999), recording()])
    (file,) = (await read(store)).recordings
    assert (file.deleted_at, file.deleted_because) == (at(90_000), "expired")
    assert file.path == recording().path
    await store.apply([deleted("/unknown.wav"), deleted(call_id="rtc_two")])
    assert len((await read(store)).recordings) == 1


async def test_what_is_due_comes_in_pages(store: Store) -> None:
    for number in range(5):
        await store.apply([recording(f"/{number}.wav", call_id=f"rtc_{number % 2}", keep_s=10 * number)])
    await store.apply([deleted("/1.wav", call_id="rtc_1")])
    now = at(2 + 30)
    due = await store.recordings_due(now)
    assert [file.path for file in due] == ["/0.wav", "/2.wav", "/3.wav"]
    assert await store.recordings_due(now, limit=2) == due[:2]
    assert await store.recordings_due(now, limit=2, after=due[1]) == due[2:]
    assert await store.recordings_due(now, after=due[2]) == ()
    assert await store.recordings_due(at(0)) == ()


async def test_recordings_are_found_by_their_files(store: Store) -> None:
    await store.apply([recording(f"/{number}.wav", call_id=f"rtc_{number % 9}") for number in range(1200)])
    await store.apply([deleted("/1.wav", call_id="rtc_1")])
    assert await store.recordings_at([]) == ()
    found = await store.recordings_at(["/2.wav", "/none.wav", "/1.wav"])
    assert [(file.path, file.call_id, file.deleted_at is None) for file in found] == [
        ("/1.wav", "rtc_1", False),
        ("/2.wav", "rtc_2", True),
    ]
    assert len(await store.recordings_at([f"/{number}.wav" for number in range(5000)])) == 1200


async def test_recordings_due_at_one_moment_are_all_found(store: Store) -> None:
    await store.apply([recording(f"/{number}.wav", call_id=f"rtc_{number}") for number in range(7)])
    await store.apply([recording("/again.wav", call_id="rtc_3")])
    found: list[RecordingFile] = []
    while page := await store.recordings_due(at(1e6), limit=3, after=found[-1] if found else None):
        found += page
    assert len({(file.call_id, file.path) for file in found}) == len(found) == 8
