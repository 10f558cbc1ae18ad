"""Finding turns in audio, in any size of pieces."""

from __future__ import annotations

from dataclasses import replace

from sipagent.simulator.input_audio import InputAudio
from sipagent.simulator.session_config import TurnDetection
from sipagent.simulator.vad import SpeechStarted, SpeechStopped

LOUD, QUIET = bytes([0x10, 0x90]) * 80, bytes([0xFF]) * 160
TURNS = TurnDetection(
    threshold=0.5,
    prefix_padding_ms=300,
    silence_duration_ms=500,
    idle_timeout_ms=None,
    create_response=True,
    interrupt_response=True,
)


def changes(source: InputAudio, audio: bytes, piece: int) -> list[SpeechStarted | SpeechStopped]:
    found: list[SpeechStarted | SpeechStopped] = []
    for start in range(0, len(audio), piece):
        found.extend(source.feed(audio[start : start + piece]))
    return found


def test_the_size_of_the_pieces_does_not_matter() -> None:
    audio = QUIET * 50 + LOUD * 30 + QUIET * 40
    expected = [SpeechStarted(audio_start_ms=700), SpeechStopped(audio_end_ms=2100)]
    for piece in (160, 1, 77, 1000, len(audio)):
        assert changes(InputAudio(TURNS), audio, piece) == expected


def test_an_utterance_begins_with_its_padding() -> None:
    source = InputAudio(TURNS)
    taken = [
        source.take()
        for change in source.feed(QUIET * 50 + LOUD * 30 + QUIET * 40)
        if change == _stopped(2100)
    ]
    assert [(len(each.audio), each.audio_ms) for each in taken] == [(1400 * 8, 1400)]
    assert source.buffered_ms < 400


def test_without_turn_detection_everything_is_kept_until_taken() -> None:
    source = InputAudio(None)
    assert changes(source, QUIET * 50 + LOUD * 30, 160) == []
    assert source.buffered_ms == 1600
    assert len(source.take().audio) == 1600 * 8
    assert source.buffered_ms == 0
    list(source.feed(QUIET))
    source.clear()
    assert source.buffered_ms == 0
    assert not source.speaking


def test_positions_go_on_across_other_settings() -> None:
    source = InputAudio(TURNS)
    changes(source, QUIET * 50, 160)
    source.configure(replace(TURNS, silence_duration_ms=200))
    assert changes(source, QUIET * 50 + LOUD * 30 + QUIET * 40, 160) == [
        SpeechStarted(audio_start_ms=1700),
        SpeechStopped(audio_end_ms=2800),
    ]


def test_settings_that_judge_the_same_do_not_disturb() -> None:
    source = InputAudio(TURNS)
    changes(source, LOUD * 10, 160)
    source.configure(replace(TURNS, idle_timeout_ms=5000))
    assert source.speaking
    source.configure(None)
    assert not source.speaking


def test_what_is_said_for_more_than_ten_minutes_is_not_kept() -> None:
    source = InputAudio(None)
    for _ in range(610):
        list(source.feed(QUIET * 50))
    assert source.buffered_ms == 600_000


def test_soundless_speech_has_a_length() -> None:
    source = InputAudio(TURNS)
    source.feed_soundless(1234)
    assert source.take().audio_ms == 1234
    assert source.take().audio_ms == 0


def _stopped(position_ms: int) -> SpeechStopped:
    return SpeechStopped(audio_end_ms=position_ms)
