from __future__ import annotations

from sipagent.simulator.phone.ears import CallTape, Ears
from sipagent.simulator.wav import StereoRecording

SPEECH = b"\x10\x90" * 80
SILENCE = b"\xff" * 160


def hear(ears: Ears, *, speech_ms: int = 0, silence_ms: int = 0) -> int:
    """How many changes there were."""
    frames = [SPEECH] * (speech_ms // 20) + [SILENCE] * (silence_ms // 20)
    return sum(ears.hear(frame) for frame in frames)


def test_one_may_speak_after_the_other_has_finished() -> None:
    ears = Ears(turn_gap_ms=800)
    seen = []
    for speech_ms, silence_ms in [(0, 3000), (1000, 780), (0, 20)]:
        changed = hear(ears, speech_ms=speech_ms, silence_ms=silence_ms)
        seen.append((changed, ears.hears_speech, ears.may_speak))
    assert seen == [(0, False, False), (1, True, False), (1, False, True)]


def test_an_inner_pause_is_not_the_end() -> None:
    ears = Ears(turn_gap_ms=800)
    for _ in range(3):
        hear(ears, speech_ms=400, silence_ms=700)
    assert (ears.turns_begun, ears.turns_finished) == (1, 0)


def test_each_turn_is_answered_once() -> None:
    ears = Ears(turn_gap_ms=400)
    hear(ears, speech_ms=500, silence_ms=500)
    ears.answered()
    assert not ears.may_speak
    hear(ears, speech_ms=500, silence_ms=500)
    assert ears.may_speak


def test_a_turn_that_was_spoken_into_needs_no_second_answer() -> None:
    ears = Ears(turn_gap_ms=400)
    hear(ears, speech_ms=500)
    ears.answered()
    hear(ears, speech_ms=100, silence_ms=500)
    assert not ears.may_speak, "it was interrupted"
    hear(ears, speech_ms=500, silence_ms=500)
    assert ears.may_speak


def test_the_tape_puts_both_sides_on_one_time_line() -> None:
    tape = CallTape()
    assert tape.recording() == StereoRecording(left=b"", right=b"")
    tape.record_said(b"\x01" * 160)
    tape.record_said(b"\x02" * 160)
    tape.record_heard(b"\x03" * 160)
    tape.record_heard(b"\x04" * 160)
    recording = tape.recording()
    assert recording.left == b"\x01" * 160 + b"\x02" * 160
    assert recording.right == b"\xff" * 320 + b"\x03" * 160 + b"\x04" * 160


def test_the_tape_ends_after_an_hour() -> None:
    tape = CallTape()
    minute = SILENCE * 3000
    for _ in range(70):
        tape.record_said(minute)
        tape.record_heard(minute)
    assert len(tape.recording().left) == 60 * len(minute)
    assert len(tape.recording().right) <= 61 * len(minute)
