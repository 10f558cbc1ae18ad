"""Each response whose audio comes over the socket begins to play once and ends once, one after the other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.playback import RealtimePlaybackState, RealtimePlaybackTracker, ReceivedAudio
from sipagent.realtime.spoken import STALLED_S, SpokenResponses

R1, R2, R3 = ResponseId("resp_1"), ResponseId("resp_2"), ResponseId("resp_3")
SECOND = 8000
"""Bytes of G.711."""


class Heard:
    """The audio of one connection, and what was told of it, on a clock of the test's own."""

    def __init__(self, tracker: RealtimePlaybackTracker | None = None) -> None:
        self.received = ReceivedAudio()
        self.received.set_audio_format("pcmu")
        self.spoken = SpokenResponses(self.received)
        self.tracker = tracker
        self.told: list[str] = []
        self.now = 100.0

    @property
    def state(self) -> RealtimePlaybackState | None:
        return None if self.tracker is None else self.tracker.get_state()

    def sound(self, response_id: ResponseId, seconds: float = 1.0, *, item: str | None = None) -> None:
        begins = self.received.add(
            item_id=ItemId(item or f"item_of_{response_id}"),
            content_index=0,
            response_id=response_id,
            byte_count=round(seconds * SECOND),
            now=self.now,
        )
        if begins and self.spoken.sounds(response_id, self.now, self.state):
            self.report()

    def made(self, response_id: ResponseId) -> None:
        self.spoken.made(response_id, self.now, self.state)

    def report(self) -> None:
        while (each := self.spoken.next_report(self.now, self.state)) is not None:
            self.told.append(f"{each.response_id} {each.change}")

    def cut(self) -> None:
        self.received.interrupted()
        while (each := self.spoken.cut()) is not None:
            self.told.append(f"{each.response_id} {each.change}")

    def wait(self, until: float = math.inf) -> float:
        """Look whenever it is due, as long as that is before ``until``; when it was last."""
        for _ in range(10_000):
            if self.spoken.due is None or self.spoken.due > until:
                self.now = until if math.isfinite(until) else self.now
                return self.now
            self.now = max(self.now, self.spoken.due)
            self.report()
        raise AssertionError("it is due for ever")


def test_a_response_is_heard_from_its_first_sound_to_the_end_of_its_last() -> None:
    heard = Heard()
    heard.sound(R1, 1.0)
    assert heard.told == ["resp_1 started"]
    heard.sound(R1, 1.0)
    heard.sound(R1, 1.0, item="a second one")
    assert heard.spoken.due is None  # more may come
    heard.made(R1)
    assert heard.wait() == pytest.approx(103.0, abs=0.01)
    assert heard.told == ["resp_1 started", "resp_1 stopped"]
    assert heard.spoken.due is None


def test_one_that_runs_dry_before_it_ends_goes_on() -> None:
    heard = Heard()
    heard.sound(R1, 0.1)
    heard.wait(until=105.0)
    heard.sound(R1, 1.0)
    heard.made(R1)
    assert heard.wait() == pytest.approx(106.0, abs=0.01)
    assert heard.told == ["resp_1 started", "resp_1 stopped"]


def test_a_response_without_sound_is_not_heard() -> None:
    heard = Heard()
    heard.made(R1)
    heard.report()
    assert heard.told == []
    assert heard.spoken.due is None


def test_what_comes_meanwhile_waits_for_its_turn() -> None:
    heard = Heard()
    heard.sound(R1)
    heard.made(R1)
    heard.now += 0.5
    heard.sound(R2)
    heard.made(R2)
    assert heard.told == ["resp_1 started"]
    heard.wait(until=101.5)
    assert heard.told == ["resp_1 started", "resp_1 stopped", "resp_2 started"]
    assert heard.wait() == pytest.approx(102.0, abs=0.01)
    assert heard.told[3:] == ["resp_2 stopped"]


def test_a_response_whose_end_was_missed_ends_where_the_next_one_begins() -> None:
    heard = Heard()
    heard.sound(R1)
    heard.sound(R2)
    heard.wait(until=101.5)
    assert heard.told == ["resp_1 started", "resp_1 stopped", "resp_2 started"]


def test_an_interruption_ends_all_that_is_heard_or_waits_to_be() -> None:
    heard = Heard()
    heard.sound(R1)
    heard.made(R1)
    heard.sound(R2)
    heard.cut()
    assert heard.told == ["resp_1 started", "resp_1 cleared", "resp_2 cleared"]
    assert heard.spoken.due is None
    heard.cut()
    heard.sound(R3)
    assert heard.told[3:] == ["resp_3 started"]


def test_an_interruption_after_the_end_tells_nothing() -> None:
    heard = Heard()
    heard.sound(R1)
    heard.made(R1)
    heard.wait()
    heard.cut()
    assert heard.told == ["resp_1 started", "resp_1 stopped"]


# By a tracker ---------------------------------------------------------------------------------------


def test_a_tracker_knows_better_than_the_clock() -> None:
    tracker = RealtimePlaybackTracker()
    heard = Heard(tracker)
    heard.sound(R1, 1.0)
    heard.made(R1)
    tracker.on_play_ms("item_of_resp_1", 0, 600)
    heard.wait(until=101.2)
    assert heard.told == ["resp_1 started"]
    tracker.on_play_ms("item_of_resp_1", 0, 400)
    assert heard.wait() < 101.5
    assert heard.told == ["resp_1 started", "resp_1 stopped"]


def test_a_tracker_that_moves_slowly_is_believed_for_as_long_as_it_moves() -> None:
    tracker = RealtimePlaybackTracker()
    heard = Heard(tracker)
    heard.sound(R1, 1.0)
    heard.made(R1)
    for second in range(9):
        heard.wait(until=101.0 + second)
        tracker.on_play_ms("item_of_resp_1", 0, 100)
    assert heard.told == ["resp_1 started"]
    tracker.on_play_ms("item_of_resp_1", 0, 100)
    heard.wait()
    assert heard.told == ["resp_1 started", "resp_1 stopped"]


@pytest.mark.parametrize("played_ms", [None, 300.0])
def test_a_tracker_that_stands_still_is_not_waited_for(played_ms: float | None) -> None:
    tracker = RealtimePlaybackTracker()
    heard = Heard(tracker)
    if played_ms is not None:
        tracker.on_play_ms("item_of_resp_1", 0, played_ms)
    heard.sound(R1, 1.0)
    heard.made(R1)
    assert STALLED_S <= heard.wait() - 100.0 <= STALLED_S + 1.5
    assert heard.told == ["resp_1 started", "resp_1 stopped"]


# Whatever comes -------------------------------------------------------------------------------------


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["sound", "made", "cut", "wait", "play"]),
            st.sampled_from([R1, R2, R3]),
            st.floats(0.0, 3.0),
        ),
        max_size=30,
    ),
    tracked=st.booleans(),
)
def test_what_begins_ends_and_nothing_else_does(
    steps: list[tuple[str, ResponseId, float]], tracked: bool
) -> None:
    tracker = RealtimePlaybackTracker() if tracked else None
    heard = Heard(tracker)
    for what, response_id, amount in steps:
        match what:
            case "sound":
                heard.sound(response_id, amount)
            case "made":
                heard.made(response_id)
            case "cut":
                heard.cut()
            case "play" if tracker is not None:
                tracker.on_play_ms(f"item_of_{response_id}", 0, amount * 1000)
            case _:
                heard.wait(until=heard.now + amount)
    for response_id in (R1, R2, R3):
        heard.made(response_id)
    heard.wait()
    playing: str | None = None
    for told in heard.told:
        response, change = told.rsplit(" ", 1)
        match change:
            case "started":
                assert playing is None, heard.told
                playing = response
            case "stopped":
                assert playing == response, heard.told
                playing = None
            case _:
                assert playing in (response, None), heard.told
                playing = None
    assert playing is None, heard.told
