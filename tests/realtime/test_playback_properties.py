"""What counts as heard is what a player would have played: never less than nothing, never more than came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.playback import Heard, RealtimePlaybackState, RealtimePlaybackTracker, ReceivedAudio

RUNS = settings(max_examples=150, deadline=None, derandomize=True)
ROUNDING_MS = 1.0
"""Whole milliseconds are told, of a clock that counts in floats."""

PCM = [None, "pcm16", "pcm", "audio/pcm", "AUDIO/PCM", {"type": "audio/pcm", "rate": 24000}, "opus", 7]
MU_LAW = [
    "g711_ulaw",
    "audio/pcmu",
    "pcmu",
    "PCMU",
    {"type": "audio/pcmu"},
    SimpleNamespace(type="audio/pcmu"),
]
A_LAW = [
    "g711_alaw",
    "audio/pcma",
    "pcma",
    " pcma ",
    {"type": "audio/pcma"},
    SimpleNamespace(type="audio/pcma"),
]
BYTES_PER_MS = [*((spelling, 48) for spelling in PCM), *((spelling, 8) for spelling in (*MU_LAW, *A_LAW))]
"""Every spelling: 24,000 samples of two bytes a second, or 8,000 of one."""


# Bytes and milliseconds -----------------------------------------------------------------------------


@pytest.mark.parametrize(("spelling", "bytes_per_ms"), BYTES_PER_MS, ids=str)
def test_bytes_are_exactly_as_long_as_their_format_says(
    spelling: str | Mapping[str, object] | None, bytes_per_ms: int
) -> None:
    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(st.lists(st.integers(0, 5000), min_size=1, max_size=6))
    def check(pieces: list[int]) -> None:
        tracker, received = RealtimePlaybackTracker(), ReceivedAudio()
        tracker.set_audio_format(spelling)
        received.set_audio_format(spelling)
        for count in pieces:
            tracker.on_play_bytes("item", 0, b"\0" * count)
            received.add(
                item_id=ItemId("item"),
                content_index=0,
                response_id=ResponseId("r"),
                byte_count=count,
                now=5.0,
            )
        exactly_ms = sum(pieces) / bytes_per_ms
        assert tracker.get_state()["elapsed_ms"] == pytest.approx(exactly_ms, abs=1e-6)
        assert received.playing_until() - 5.0 == pytest.approx(exactly_ms / 1000, abs=1e-6)
        heard = received.heard(tracker.get_state(), 5.0)
        assert heard is not None
        assert heard.heard_ms <= exactly_ms + 1e-6
        assert heard.heard_ms == pytest.approx(exactly_ms, abs=ROUNDING_MS)

    check()


@RUNS
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1), st.floats(0, 1e6)), min_size=1, max_size=10
    )
)
def test_a_tracker_counts_what_was_played_of_the_latest_part(played: list[tuple[str, int, float]]) -> None:
    tracker = RealtimePlaybackTracker()
    expected_ms = 0.0
    before: tuple[str, int] | None = None
    for item_id, index, played_ms in played:
        tracker.on_play_ms(item_id, index, played_ms)
        expected_ms = played_ms + (expected_ms if (item_id, index) == before else 0.0)
        before = (item_id, index)
    assert tracker.get_state() == {
        "current_item_id": played[-1][0],
        "current_item_content_index": played[-1][1],
        "elapsed_ms": pytest.approx(expected_ms),
    }
    tracker.on_interrupted()
    assert set(tracker.get_state().values()) == {None}


# What was heard -------------------------------------------------------------------------------------


@dataclass
class Part:
    """One part of what the agent says, as a player has it."""

    item_id: ItemId
    content_index: int
    response_id: ResponseId
    received_ms: float = 0.0
    played_ms: float = 0.0
    cut_off: bool = False


@dataclass
class Player:
    """Plays what comes, in the order in which it comes, as soon as it can."""

    now: float = 50.0
    parts: list[Part] = field(default_factory=list)
    playing: Part | None = None
    """The part whose sound was last heard, or that came first when nothing was heard yet."""

    def wait(self, seconds: float) -> None:
        self.now += seconds
        left_ms = seconds * 1000
        for part in self.parts:
            step_ms = min(left_ms, part.received_ms - part.played_ms)
            part.played_ms += step_ms
            left_ms -= step_ms
            if step_ms > 1e-7:
                self.playing = part

    @property
    def unplayed_ms(self) -> float:
        return sum(part.received_ms - part.played_ms for part in self.parts)


class Playing(RuleBasedStateMachine):
    """Audio of one response after the other; a player beside, of which only the clock is known."""

    def __init__(self) -> None:
        super().__init__()
        self.received = ReceivedAudio()
        self.received.set_audio_format("pcmu")
        self.player = Player()
        self.cut: set[ItemId] = set()
        self.responses = 0
        self.count = 0

    def tracker_says(self, part: Part, elapsed_ms: float) -> RealtimePlaybackState:
        return {
            "current_item_id": part.item_id,
            "current_item_content_index": part.content_index,
            "elapsed_ms": elapsed_ms,
        }

    @rule(same_item=st.booleans(), same_response=st.booleans())
    def a_part_begins(self, same_item: bool, same_response: bool) -> None:
        self.count += 1
        last = self.player.parts[-1] if self.player.parts else None
        if last is not None and same_item and last.item_id not in self.cut:
            part = Part(last.item_id, last.content_index + 1, last.response_id)
        else:
            self.responses += not same_response or self.responses == 0
            # Names that do not sort as they come.
            part = Part(ItemId(f"item_{-self.count % 17}_{self.count}"), 0, ResponseId(f"r{self.responses}"))
        self.player.parts.append(part)
        self.sound_comes(0)

    @rule(byte_count=st.sampled_from([0, 1, 7, 160, 800, 4000, 16001]))
    @precondition(lambda self: self.player.parts)
    def sound_comes(self, byte_count: int) -> None:
        part = self.player.parts[-1]
        self.received.add(
            item_id=part.item_id,
            content_index=part.content_index,
            response_id=part.response_id,
            byte_count=byte_count,
            now=self.player.now,
        )
        if part.item_id not in self.cut:
            part.received_ms += byte_count / 8

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.1, 0.7, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.player.wait(seconds)

    @rule()
    def the_caller_interrupts(self) -> None:
        self.received.interrupted()
        self.cut |= {part.item_id for part in self.player.parts}
        self.player.playing = None
        for part in self.player.parts:
            part.received_ms = part.played_ms
        assert self.received.heard(None, self.player.now) is None
        assert self.received.latest_response is None

    @property
    def audible(self) -> list[Part]:
        return [part for part in self.player.parts if part.item_id not in self.cut]

    @invariant()
    def the_clock_says_what_the_player_played(self) -> None:
        heard = self.received.heard(None, self.player.now)
        if not self.audible:
            assert heard is None
            return
        assert heard is not None
        part = self.part_of(heard)
        assert part in self.audible
        assert 0 <= heard.heard_ms <= part.received_ms
        assert abs(heard.heard_ms - part.played_ms) <= ROUNDING_MS
        assert heard.response_id == part.response_id
        if heard.fully_played:
            assert part.received_ms - part.played_ms <= ROUNDING_MS
        if self.player.playing is not None and self.player.playing.received_ms > ROUNDING_MS:
            at_an_edge = self.player.playing.received_ms - self.player.playing.played_ms <= ROUNDING_MS
            assert part is self.player.playing or at_an_edge
        assert self.received.latest_response == self.audible[-1].response_id

    @invariant()
    def what_is_still_to_be_played_is_known(self) -> None:
        left_ms = max(0.0, (self.received.playing_until() - self.player.now) * 1000)
        assert abs(left_ms - self.player.unplayed_ms) <= ROUNDING_MS

    @rule(
        which=st.integers(0, 9),
        elapsed_ms=st.one_of(
            st.floats(-1e7, 1e7), st.sampled_from([math.nan, math.inf, -math.inf, -0.4, 0.5])
        ),
    )
    @precondition(lambda self: self.player.parts)
    def a_tracker_is_believed_within_what_came(self, which: int, elapsed_ms: float) -> None:
        part = self.player.parts[which % len(self.player.parts)]
        heard = self.received.heard(self.tracker_says(part, elapsed_ms), self.player.now)
        if part.item_id in self.cut or not math.isfinite(elapsed_ms):
            assert heard is None
            return
        assert heard is not None
        assert self.part_of(heard) is part
        assert heard.response_id == part.response_id
        assert 0 <= heard.heard_ms <= part.received_ms
        assert abs(heard.heard_ms - min(max(0.0, elapsed_ms), part.received_ms)) <= ROUNDING_MS

    def part_of(self, heard: Heard) -> Part:
        named = (heard.item_id, heard.content_index)
        return next(part for part in self.player.parts if (part.item_id, part.content_index) == named)


TestPlaying = Playing.TestCase
TestPlaying.settings = settings(RUNS, stateful_step_count=40, report_multiple_bugs=False)
