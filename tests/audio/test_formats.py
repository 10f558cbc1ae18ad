from __future__ import annotations

from dataclasses import dataclass

import pytest

from sipagent.audio.formats import AudioFormat, audio_format, bytes_to_ms


@dataclass
class TypedFormat:
    type: object


@pytest.mark.parametrize(
    ("spelling", "meant"),
    [
        ("g711_ulaw", AudioFormat.PCMU),
        ("G711_ULAW", AudioFormat.PCMU),
        ("audio/pcmu", AudioFormat.PCMU),
        ("Audio/PCMU", AudioFormat.PCMU),
        ("pcmu", AudioFormat.PCMU),
        (" pcmu ", AudioFormat.PCMU),
        ("g711", AudioFormat.PCMU),
        ("g711_alaw", AudioFormat.PCMA),
        ("audio/pcma", AudioFormat.PCMA),
        ("PCMA", AudioFormat.PCMA),
        ({"type": "audio/pcmu"}, AudioFormat.PCMU),
        ({"type": "audio/pcma"}, AudioFormat.PCMA),
        ({"type": "audio/pcm", "rate": 24000}, AudioFormat.PCM),
        ({}, AudioFormat.PCM),
        ({"type": None}, AudioFormat.PCM),
        (TypedFormat(type="audio/pcmu"), AudioFormat.PCMU),
        (TypedFormat(type=7), AudioFormat.PCM),
        ("pcm16", AudioFormat.PCM),
        ("audio/pcm", AudioFormat.PCM),
        ("opus", AudioFormat.PCM),
        ("", AudioFormat.PCM),
        (None, AudioFormat.PCM),
        (AudioFormat.PCMA, AudioFormat.PCMA),
        (8, AudioFormat.PCM),
    ],
)
def test_every_spelling_has_a_format(spelling: object, meant: AudioFormat) -> None:
    assert audio_format(spelling) is meant


def test_the_api_s_own_types_are_understood() -> None:
    from openai.types.realtime.realtime_audio_formats import AudioPCM, AudioPCMA, AudioPCMU

    assert audio_format(AudioPCMU(type="audio/pcmu")) is AudioFormat.PCMU
    assert audio_format(AudioPCMA(type="audio/pcma")) is AudioFormat.PCMA
    assert audio_format(AudioPCM(type="audio/pcm", rate=24000)) is AudioFormat.PCM


def test_480_bytes_last_60_ms_on_the_telephone_and_10_ms_as_pcm() -> None:
    assert bytes_to_ms(480, "g711_ulaw") == 60.0
    assert bytes_to_ms(480, None) == 10.0
    assert bytes_to_ms(1, "pcm16") == pytest.approx(1 / 48)
    assert bytes_to_ms(0, "pcmu") == 0.0
