from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sipagent.simulator.rtp.playout import Playout

LOUD = b"\x10"


def drain(playout: Playout, frames: int) -> tuple[bytes, list[str]]:
    """The audio of the next frames without padding, and what happened."""
    heard = bytearray()
    events = []
    for _ in range(frames):
        frame = playout.next_frame()
        if frame.started:
            events.append("started")
        if frame.ulaw is not None:
            assert len(frame.ulaw) == 160
            heard += frame.ulaw
        if frame.stopped:
            events.append("stopped")
    return bytes(heard), events


def test_quiet_gives_nothing() -> None:
    assert drain(Playout(), 3) == (b"", [])


def test_a_burst_starts_once_and_stops_once() -> None:
    playout = Playout()
    playout.play(LOUD * 160)
    playout.play(LOUD * 200)
    playout.finish()
    assert playout.queued_ms == 45.0
    assert drain(playout, 5) == (LOUD * 360 + b"\xff" * 120, ["started", "stopped"])
    assert playout.queued_ms == 0


def test_a_remainder_waits_for_more_instead_of_tearing_a_hole() -> None:
    playout = Playout()
    playout.play(LOUD * 200)
    assert drain(playout, 3) == (LOUD * 160, ["started"])
    playout.play(b"\x11" * 120)
    assert drain(playout, 3) == (LOUD * 40 + b"\x11" * 120, [])
    playout.finish()
    assert drain(playout, 2) == (b"", ["stopped"])


def test_bursts_queue_up_one_behind_the_other() -> None:
    playout = Playout()
    for _ in range(2):
        playout.play(LOUD * 100)
        playout.finish()
    assert drain(playout, 3) == (
        (LOUD * 100 + b"\xff" * 60) * 2,
        ["started", "stopped", "started", "stopped"],
    )


def test_clearing_reports_what_was_heard_and_never_a_stop() -> None:
    playout = Playout()
    playout.play(LOUD * 1600)
    playout.finish()
    drain(playout, 4)
    assert playout.clear() == 80.0
    assert playout.clear() == 0.0
    assert drain(playout, 3) == (b"", [])
    playout.play(LOUD * 160)
    assert drain(playout, 1) == (LOUD * 160, ["started"])
    assert playout.clear() == 20.0


def test_padding_does_not_count_as_heard() -> None:
    playout = Playout()
    playout.play(LOUD * 200)
    playout.finish()
    playout.play(LOUD * 160)
    drain(playout, 1)
    assert playout.clear() == 20.0


def test_finishing_nothing_is_nothing() -> None:
    playout = Playout()
    playout.finish()
    playout.play(b"")
    playout.finish()
    assert drain(playout, 2) == (b"", [])


def test_no_more_than_ten_minutes_wait() -> None:
    playout = Playout()
    playout.play(LOUD * 4_800_000)
    playout.play(LOUD)
    assert playout.bytes_dropped == 1
    assert playout.queued_ms == 600_000


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=400), st.just("finish"), st.just("frame"))))
def test_every_byte_comes_out_in_order(script: list[bytes | str]) -> None:
    playout = Playout()
    given_audio = bytearray()
    heard: list[bytes] = []
    bursts = {"started": 0, "stopped": 0}

    def take() -> None:
        frame = playout.next_frame()
        bursts["started"] += frame.started
        bursts["stopped"] += frame.stopped
        if frame.ulaw is not None:
            heard.append(frame.ulaw)

    for step in script:
        if isinstance(step, bytes):
            playout.play(step)
            given_audio += step
        elif step == "finish":
            playout.finish()
        else:
            take()
    playout.finish()
    for _ in range(len(given_audio) // 160 + 2 * len(script) + 2):
        take()
    assert bursts["started"] <= bursts["stopped"] <= len(script) + 1
    assert playout.queued_ms == 0
    # Padding stands only at the ends of bursts; without it the bytes are those that were given.
    position = 0
    for frame in heard:
        matching = 0
        while matching < 160 and given_audio[position : position + 1] == frame[matching : matching + 1]:
            matching += 1
            position += 1
        assert frame[matching:].strip(b"\xff") == b""
    assert position <= len(given_audio)
    assert not given_audio[position:].strip(b"\xff")
