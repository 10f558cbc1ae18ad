"""The bench of media bridges, small: that it counts and times what it says, not how fast anything is."""

from __future__ import annotations

import json

import pytest

from tests.bench.bridge import (
    OURS,
    Direction,
    Load,
    contender,
    interruptions,
    load,
    percentile,
    show_capacity,
    show_interruptions,
    show_loads,
)
from tests.bench.bridge_world import (
    FRAME_BYTES,
    Interruption,
    Way,
    World,
    as_pcm,
    frame,
    is_loud,
    number_of,
    pcm_is_loud,
)

LOUD, QUIET = frame(1, loud=True), frame(2, loud=False)


async def test_our_bridge_carries_every_frame_of_every_call() -> None:
    result = await load(OURS, 3, 1.0)
    for direction in (result.to_model, result.to_caller):
        assert direction.sent == 150
        assert direction.lost == 0
        assert direction.samples > 0
        assert 0 <= direction.p50_ms <= direction.p99_ms < 20_000
    assert 0 < result.cores < 2


async def test_a_caller_who_cuts_the_agent_off_is_measured_at_both_ends() -> None:
    first, second = await interruptions(OURS, 2)
    for one in (first, second):
        assert one.to_clear_ms is not None
        assert one.truncated_ms is not None
        assert 0 < one.heard_ms < 6500
        assert one.after_clear == 0
    assert first.heard_ms != second.heard_ms


async def test_a_contender_that_ends_is_no_result() -> None:
    with pytest.raises(SystemExit, match="too early"):
        async with contender("nobody", World(1)):
            pass


# What the callers are made of -----------------------------------------------------------------------


@pytest.mark.parametrize("audio", [LOUD, QUIET])
def test_a_frame_has_its_number(audio: bytes) -> None:
    assert len(audio) == FRAME_BYTES
    assert number_of(audio) == (1 if audio is LOUD else 2)
    assert number_of(audio[1:]) is None


def test_what_is_loud_stays_loud_when_it_is_converted() -> None:
    assert is_loud(LOUD)
    assert not is_loud(QUIET)
    assert pcm_is_loud(as_pcm(LOUD))
    assert not pcm_is_loud(as_pcm(QUIET))


def way(*came: tuple[float, bytes], sent_at: float = 0.0) -> Way:
    made = Way()
    made.sending(sent_at, loud=True)
    for at, audio in came:
        made.coming(audio, at)
    return made


def test_a_loud_frame_tells_how_long_it_was_on_its_way_once() -> None:
    assert list(way((0.010, QUIET), (0.030, LOUD), (0.050, LOUD)).late_ms) == [pytest.approx(30.0)]


def test_a_frame_that_is_left_out_is_lost() -> None:
    made = way(*((at / 50, frame(number, loud=False)) for at, number in enumerate((5, 6, 9))))
    assert (made.came, made.lost, made.exact) == (3, 2, True)
    assert list(made.apart_ms) == [pytest.approx(20.0)] * 2


def test_frames_that_were_changed_cannot_be_told_apart() -> None:
    assert not way((0.0, bytes(FRAME_BYTES))).exact


# Showing --------------------------------------------------------------------------------------------


def test_tables_and_numbers_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    direction = Direction(
        sent=500, came=500, lost=None, p50_ms=1.0, p99_ms=2.0, uneven_p99_ms=3.0, samples=20
    )
    loads = [
        Load(name="other", calls=calls, to_model=direction, to_caller=direction, cores=0.5, world_cores=0.1)
        for calls in (1, 10)
    ]
    show_loads(loads)
    show_capacity(loads)
    cut = Interruption(to_clear_ms=1.0, after_clear=0, truncated_ms=990.0, heard_ms=1000.0)
    show_interruptions(
        "other", [cut, Interruption(to_clear_ms=None, after_clear=1, truncated_ms=None, heard_ms=5)]
    )
    text = capsys.readouterr().out
    assert "other: 10 calls with p99 2.0 ms on 0.50 of a core: 20 calls a core" in text
    assert "1 without" in text
    assert "worst 10.0" in text


def test_percentiles() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert json.dumps(percentile([], 0.5)) == "NaN"
