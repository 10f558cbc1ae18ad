"""What the record of a call says when its carrier has a say, too; and what becomes of its recording."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sipagent.calls.carrier_says import carrier_says
from sipagent.calls.profile import TransferWay
from sipagent.calls.retention import OURS, RecordingRetention, Sweep, this_host
from sipagent.carrier.settings import AnswerBySip, AnswerByStream
from sipagent.simulator.carrier import Busy, CarrierCall, Person
from sipagent.simulator.phone.settings import Pause, Press
from sipagent.store import CallRecord, MemoryCallStore
from sipagent.telemetry import Metrics
from tests.carrier.town import CarrierKind, Town, recording_door, town
from tests.support.practice import QUICK, front_door

SALES = "+15550100001"
TRANSFERRING = """
greeting: Good morning.
delay_ms: 1
otherwise: {say: One moment., call: {tool: transfer, with: {target: billing}}}
"""


def has(*kinds: str) -> Callable[[CallRecord], bool]:
    """Whether reports of all these kinds have come."""
    return lambda record: {report.kind for report in record.carrier_reports} >= set(kinds)


def kinds_of(record: CallRecord, *, own: bool) -> list[str]:
    """What was reported of the caller's own leg, or of those that were made for it."""
    return [
        report.kind
        for report in record.carrier_reports
        if (report.carrier_call_id == record.carrier_call_id) is own
    ]


async def talk_and_hang_up(place: Town, call: CarrierCall) -> None:
    """The caller hears somebody, waits until they have finished, and hangs up."""
    assert await call.caller.hears_speech()
    assert await call.caller.other_finished()
    call.caller.hang_up()
    await place.over(call)


async def test_a_call_by_sip_has_its_leg_and_its_carriers_reports() -> None:
    async with town() as place:
        call = await place.call()
        await talk_and_hang_up(place, call)
        record = await place.record(call, lambda record: len(record.carrier_reports) == 7)
    assert (record.line, record.carrier, record.carrier_call_id) == ("sip", "twilio", call.sid)
    assert record.summary.end_reason == "caller_hung_up"
    assert kinds_of(record, own=True) == ["announced", "completed"]
    dialled = kinds_of(record, own=False)
    assert dialled[:3] == ["initiated", "ringing", "answered"]
    assert set(dialled[3:]) == {"completed", "dial_completed"}
    assert carrier_says(record) == ()


@pytest.mark.parametrize("faults", ["reports_duplicate", "reports_unordered", "duplicate"])
async def test_reports_that_come_twice_or_in_disorder_make_one_record(faults: str) -> None:
    async with town() as place:
        call = await place.call(faults=faults)
        await talk_and_hang_up(place, call)
        record = await place.record(call, lambda record: len(record.carrier_reports) == 7)
        await asyncio.sleep(0.5)  # for what would come twice
        assert await place.record(call) == record
    dialled = sorted(kinds_of(record, own=False))
    assert dialled == ["answered", "completed", "dial_completed", "initiated", "ringing"]
    assert carrier_says(record) == ()


async def test_reports_that_are_lost_leave_a_record_that_says_less() -> None:
    async with town() as place:
        call = await place.call(faults="reports_lost")
        await talk_and_hang_up(place, call)
        record = await place.record(call, has("announced", "dial_completed"))
    assert record.summary.end_reason == "caller_hung_up"
    assert len(record.carrier_reports) == 2
    assert carrier_says(record) == ()


@pytest.mark.parametrize("by", ["texml", "call_control"])
async def test_a_call_through_telnyx_has_its_leg_and_its_reports(by: CarrierKind) -> None:
    async with town(by=by) as place:
        call = await place.call()
        await talk_and_hang_up(place, call)
        record = await place.record(
            call,
            lambda record: (
                "completed" in kinds_of(record, own=True) and "completed" in kinds_of(record, own=False)
            ),
        )
    assert (record.line, record.carrier, record.carrier_call_id) == ("sip", "telnyx", call.sid)
    assert record.summary.end_reason == "caller_hung_up"
    assert kinds_of(record, own=True)[0] == "announced"
    assert {"initiated", "answered"} <= set(kinds_of(record, own=False))
    assert carrier_says(record) == ()


@pytest.mark.parametrize("by", ["twilio", "texml", "call_control"])
async def test_a_second_way_to_answer_tells_what_became_of_the_first(by: CarrierKind) -> None:
    async with town(AnswerBySip(), AnswerByStream(), by=by) as place:
        call = await place.call(faults="sip_status=503")
        await talk_and_hang_up(place, call)
        record = await place.record(call, has("failed", "line_ended", "completed"))
    assert (record.line, record.carrier_call_id) == ("stream", call.sid)
    assert "failed" in kinds_of(record, own=False)
    assert any("503" in report.data for report in record.carrier_reports)
    assert carrier_says(record) == ()


@pytest.mark.parametrize(
    ("by", "way"),
    [("twilio", "refer"), ("twilio", "carrier"), ("texml", "carrier"), ("call_control", "carrier")],
)
@pytest.mark.parametrize("is_there", [True, False])
async def test_a_transfer_is_what_the_carrier_says_became_of_it(
    by: CarrierKind, way: TransferWay, is_there: bool
) -> None:
    door = front_door(transfer_uri=f"tel:{SALES}")
    profiles = {
        name: replace(
            profile, transfer_targets=tuple(replace(each, way=way) for each in profile.transfer_targets)
        )
        for name, profile in door.profiles.items()
    }
    door = replace(door, profiles=profiles)
    numbers = {SALES: Person() if is_there else Busy()}
    async with town(door=door, script=TRANSFERRING, carrier={"numbers": numbers}, by=by) as place:
        call = await place.call()
        assert await call.caller.hears_speech()
        assert await call.caller.other_finished()
        await call.caller.say("To billing, please.")
        if is_there:
            await call.leg_answered(SALES)
            call.caller.hang_up()
        await place.over(call)
        record = await place.record(
            call,
            lambda record: (
                kinds_of(record, own=False).count("answered" if is_there else "busy") == 1 + is_there
                and "completed" in kinds_of(record, own=True)
            ),
        )
    assert record.summary.end_reason == "transferred"
    said = carrier_says(record)
    assert [one.objection for one in said] == ([] if is_there else ["nobody_reached"])
    if not is_there:
        assert "busy" in said[0].words


@pytest.mark.parametrize("by", ["twilio", "texml", "call_control"])
async def test_a_person_who_takes_the_call_has_it_however_long_that_took(by: CarrierKind) -> None:
    """They are called first, and hear what it is about, longer than a call otherwise has time to leave."""
    door = front_door(transfer_uri=f"tel:{SALES}")
    profiles = {
        name: replace(
            profile, transfer_targets=tuple(replace(each, way="warm") for each in profile.transfer_targets)
        )
        for name, profile in door.profiles.items()
    }
    person = Person(does=(Pause(seconds=QUICK.transfer_confirm_s + 1.0), Press(digits="1")))
    async with town(
        door=replace(door, profiles=profiles),
        script=TRANSFERRING,
        carrier={"numbers": {SALES: person}},
        by=by,
    ) as place:
        call = await place.call()
        assert await call.caller.hears_speech()
        assert await call.caller.other_finished()
        await call.caller.say("To billing, please.")
        record = await place.record(call)
        assert not call.leg.is_over
        call.caller.hang_up()
        await place.over(call)
        record = await place.record(call, lambda record: "completed" in kinds_of(record, own=True))
    assert record.summary.end_reason == "transferred"
    outcomes = [note.data for note in record.notes if note.kind == "transfer_outcome"]
    assert len(outcomes) == 1
    assert '"outcome":"connected"' in outcomes[0]
    assert carrier_says(record) == ()


# Recordings ----------------------------------------------------------------------------------------------


def is_whole(record: CallRecord) -> bool:
    return any(recording.seconds is not None for recording in record.recordings)


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def check_sound(path: Path, seconds: float) -> None:
    """The file is whole, holds two voices, and is as long as its record says."""
    sound = path.read_bytes()
    assert struct.unpack("<I", sound[4:8])[0] == len(sound) - 8
    assert struct.unpack("<HHI", sound[20:28]) == (7, 2, 8000)  # mu-law, the caller and the agent
    assert abs(len(sound) - seconds * 16_000) < 200


async def test_file_record_and_retention_agree(tmp_path: Path) -> None:
    store, folder = MemoryCallStore(), tmp_path / "recordings"
    door = recording_door(folder, keep_days=7)
    async with town(AnswerByStream(), door=door, store=store) as place:
        call = await place.call()
        assert await call.caller.hears_speech()
        assert await call.caller.other_finished()
        await call.caller.say("I have a question.")
        await talk_and_hang_up(place, call)
        record = await place.record(call, is_whole)
    [kept] = record.recordings
    assert kept.seconds is not None
    said = f"This call to {record.summary.dialled} is recorded."
    assert (kept.host, kept.consent, kept.deleted_at) == (this_host(), said, None)
    assert kept.keep_until - kept.started_at == timedelta(days=7)
    path = Path(kept.path)
    assert path.parent == folder
    assert OURS.fullmatch(path.name), "what is in no record could not be told from other files"
    check_sound(path, kept.seconds)

    now = kept.keep_until - timedelta(seconds=1)
    retention = RecordingRetention(
        store, Metrics().carriers, utc_now=lambda: now, folders=lambda: {folder: 7}
    )
    assert await retention.sweep() == Sweep()
    assert files_in(folder) == [path]
    now = kept.keep_until
    assert await retention.sweep() == Sweep(expired=1)
    assert files_in(folder) == []
    after = await store.call(record.summary.call_id)
    assert after is not None
    assert after.recordings == (replace(kept, deleted_at=now, deleted_because="expired"),)


@pytest.mark.parametrize("by_stream", [True, False])
async def test_nothing_is_recorded_unless_the_agent_says_so_and_the_audio_is_here(
    tmp_path: Path, by_stream: bool
) -> None:
    """Off by default; and a call by SIP has its audio elsewhere."""
    door = front_door() if by_stream else recording_door(tmp_path)
    async with town(AnswerByStream() if by_stream else AnswerBySip(), door=door) as place:
        call = await place.call()
        await talk_and_hang_up(place, call)
        record = await place.record(call, has("completed"))
    assert record.recordings == ()
    assert "recording_consent" not in [note.kind for note in record.notes]
    assert files_in(tmp_path) == []
