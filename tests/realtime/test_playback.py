"""How much of the agent's speech was heard."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.playback import RealtimePlaybackTracker, ReceivedAudio

ITEM, OTHER = ItemId("item_1"), ItemId("item_2")
RESPONSE = ResponseId("resp_1")
NOTHING = {"current_item_id": None, "current_item_content_index": None, "elapsed_ms": None}
SECOND_OF_PCMU = 8000


def tracked(item: str, elapsed_ms: float, index: int = 0) -> Any:
    return {"current_item_id": item, "current_item_content_index": index, "elapsed_ms": elapsed_ms}


def received(*, seconds: float = 1.0, item_id: ItemId = ITEM, now: float = 100.0) -> ReceivedAudio:
    audio = ReceivedAudio()
    audio.set_audio_format("g711_ulaw")
    add(audio, seconds=seconds, item_id=item_id, now=now)
    return audio


def add(
    audio: ReceivedAudio, *, seconds: float = 1.0, item_id: ItemId = ITEM, now: float = 100.0, index: int = 0
) -> None:
    count = int(seconds * SECOND_OF_PCMU)
    audio.add(item_id=item_id, content_index=index, response_id=RESPONSE, byte_count=count, now=now)


# What a player reports ------------------------------------------------------------------------------


def test_a_tracker_starts_with_nothing() -> None:
    assert RealtimePlaybackTracker().get_state() == NOTHING


def test_the_same_part_adds_up_and_another_starts_again() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.on_play_ms("item_1", 0, 100.5)
    tracker.on_play_ms("item_1", 0, 50)
    assert tracker.get_state() == tracked("item_1", 150.5)
    tracker.on_play_ms("item_1", 1, 7)
    assert tracker.get_state() == tracked("item_1", 7, 1)
    tracker.on_play_ms("item_2", 1, 3)
    assert tracker.get_state() == tracked("item_2", 3, 1)


@pytest.mark.parametrize(
    ("spelling", "expected_ms"),
    [
        ("g711_ulaw", 60.0),
        ("G711_ALAW", 60.0),
        ("audio/pcmu", 60.0),
        ({"type": "audio/pcma"}, 60.0),
        ("pcm16", 10.0),
        ({"type": "audio/pcm", "rate": 24000}, 10.0),
        (None, 10.0),
        ("opus", 10.0),
    ],
)
def test_bytes_last_as_long_as_their_format_says(spelling: Any, expected_ms: float) -> None:
    tracker = RealtimePlaybackTracker()
    tracker.set_audio_format(spelling)
    tracker.on_play_bytes("item_1", 0, bytes(480))
    assert tracker.get_state()["elapsed_ms"] == expected_ms


def test_an_interruption_forgets_the_part_and_keeps_the_format() -> None:
    tracker = RealtimePlaybackTracker()
    tracker.set_audio_format("g711_ulaw")
    tracker.on_play_bytes("item_1", 0, bytes(480))
    tracker.on_interrupted()
    assert tracker.get_state() == NOTHING
    tracker.on_play_bytes("item_1", 0, bytes(480))
    assert tracker.get_state() == tracked("item_1", 60.0)


# What can have been heard ---------------------------------------------------------------------------


def test_nothing_received_is_nothing_heard() -> None:
    assert ReceivedAudio().heard(None, 5.0) is None
    assert ReceivedAudio().playing_until() == 0.0


def test_by_the_clock_audio_plays_as_soon_as_it_comes() -> None:
    heard = received().heard(None, 100.25)
    assert heard is not None
    assert (heard.item_id, heard.heard_ms, heard.response_id) == (ITEM, 250, RESPONSE)
    assert not heard.fully_played


def test_more_than_was_received_cannot_have_been_heard() -> None:
    heard = received(seconds=0.5).heard(None, 109.0)
    assert heard is not None
    assert heard.heard_ms == 500
    assert heard.fully_played


def test_a_second_item_waits_for_the_first_to_be_played() -> None:
    audio = received(seconds=1.0)
    add(audio, seconds=1.0, item_id=OTHER, now=100.1)
    assert audio.playing_until() == pytest.approx(102.0)
    first, second = audio.heard(None, 100.9), audio.heard(None, 101.5)
    assert first is not None
    assert second is not None
    assert (first.item_id, first.heard_ms) == (ITEM, 900)
    assert (second.item_id, second.heard_ms) == (OTHER, 500)


def test_parts_of_one_item_are_told_apart() -> None:
    audio = received(seconds=1.0)
    add(audio, seconds=1.0, now=100.1, index=1)
    heard = audio.heard(None, 101.25)
    assert heard is not None
    assert (heard.content_index, heard.heard_ms) == (1, 250)


def test_audio_that_comes_in_pieces_is_one_part() -> None:
    audio = received(seconds=0.5)
    add(audio, seconds=0.5, now=100.1)
    heard = audio.heard(None, 100.75)
    assert heard is not None
    assert heard.heard_ms == 750


@pytest.mark.parametrize(("elapsed_ms", "expected_ms"), [(250.4, 250), (-3.0, 0), (5000.0, 1000), (0.0, 0)])
def test_a_tracker_is_believed_within_what_was_received(elapsed_ms: float, expected_ms: int) -> None:
    heard = received().heard(tracked(ITEM, elapsed_ms), 500.0)
    assert heard is not None
    assert heard.heard_ms == expected_ms


@pytest.mark.parametrize("elapsed_ms", [math.nan, math.inf, -math.inf])
def test_a_tracker_that_does_not_count_says_nothing(elapsed_ms: float) -> None:
    assert received().heard(tracked(ITEM, elapsed_ms), 500.0) is None


def test_a_tracker_that_plays_nothing_says_nothing() -> None:
    assert received().heard(RealtimePlaybackTracker().get_state(), 500.0) is None


def test_a_tracker_is_believed_about_a_part_nobody_else_knows() -> None:
    heard = ReceivedAudio().heard(tracked("elsewhere", 77.0), 0.0)
    assert heard is not None
    assert (heard.item_id, heard.heard_ms, heard.response_id) == ("elsewhere", 77, None)


def test_what_comes_late_of_an_item_that_was_cut_off_does_not_count() -> None:
    audio = received()
    audio.interrupted()
    assert audio.heard(None, 100.5) is None
    add(audio, now=100.5)
    assert audio.heard(None, 101.0) is None
    assert audio.heard(tracked(ITEM, 10.0), 101.0) is None
    add(audio, item_id=OTHER, now=101.0)
    heard = audio.heard(None, 101.2)
    assert heard is not None
    assert (heard.item_id, heard.heard_ms) == (OTHER, 200)


# What is still to be played -------------------------------------------------------------------------


def test_what_came_first_of_a_part_is_known() -> None:
    audio = ReceivedAudio()
    about: Any = {"item_id": ITEM, "content_index": 0, "response_id": RESPONSE, "byte_count": 480, "now": 1.0}
    assert [audio.add(**about), audio.add(**about), audio.add(**{**about, "content_index": 1})] == [
        True,
        False,
        True,
    ]
    latest = [audio.latest_part]
    audio.interrupted()
    assert [*latest, audio.latest_part] == [(ITEM, 1), None]
    assert not audio.add(**about)


def test_by_the_clock_what_came_is_played_in_time() -> None:
    audio = received(seconds=1.0)
    assert audio.unplayed_ms(RESPONSE, None, 100.25) == pytest.approx(750)
    assert audio.unplayed_ms(RESPONSE, None, 102.0) == 0.0
    assert audio.unplayed_ms(ResponseId("resp_other"), None, 100.25) == 0.0
    audio.interrupted()
    assert audio.unplayed_ms(RESPONSE, None, 100.25) == 0.0


@pytest.mark.parametrize(
    ("item_id", "elapsed_ms", "unplayed_ms"),
    [
        (ITEM, 400.0, 1600.0),  # the rest of this one, and the whole of the next
        (ITEM, 5000.0, 1000.0),
        (ITEM, math.nan, 2000.0),
        (OTHER, 400.0, 600.0),
        ("elsewhere", 400.0, 2000.0),
    ],
)
def test_by_a_tracker_what_it_has_not_reached_is_to_be_played(
    item_id: str, elapsed_ms: float, unplayed_ms: float
) -> None:
    audio = received(seconds=1.0)
    add(audio, seconds=1.0, item_id=OTHER, now=100.1)
    assert audio.unplayed_ms(RESPONSE, tracked(item_id, elapsed_ms), 500.0) == pytest.approx(unplayed_ms)
    assert audio.unplayed_ms(RESPONSE, RealtimePlaybackTracker().get_state(), 500.0) == pytest.approx(2000)


def test_a_tracker_that_has_reached_another_response_has_played_the_one_before() -> None:
    audio = received(seconds=1.0)
    later = ResponseId("resp_2")
    audio.add(item_id=OTHER, content_index=0, response_id=later, byte_count=SECOND_OF_PCMU, now=100.1)
    assert audio.unplayed_ms(RESPONSE, tracked(OTHER, 10.0), 500.0) == 0.0
    assert audio.unplayed_ms(later, tracked(ITEM, 10.0), 500.0) == pytest.approx(1000)


@given(
    pieces=st.lists(
        st.tuples(st.sampled_from([ITEM, OTHER]), st.integers(1, 4000), st.floats(0, 1)),
        min_size=1,
        max_size=8,
    ),
    later=st.floats(0, 10),
)
def test_what_was_heard_lies_within_what_was_received(
    pieces: list[tuple[ItemId, int, float]], later: float
) -> None:
    audio = ReceivedAudio()
    audio.set_audio_format("pcmu")
    now = 0.0
    for item_id, count, pause_s in pieces:
        now += pause_s
        audio.add(item_id=item_id, content_index=0, response_id=RESPONSE, byte_count=count, now=now)
    heard = audio.heard(None, now + later)
    assert heard is not None
    total_ms = sum(count for item_id, count, _ in pieces if item_id == heard.item_id) / 8
    assert 0 <= heard.heard_ms <= total_ms
