"""The settings of an agent on the telephone, for a conversation in writing. Pure."""

from __future__ import annotations

from typing import Final, Literal

from sipagent.realtime import RealtimeSessionModelSettings

_ABOUT_SOUND: Final[
    tuple[
        Literal[
            "audio",
            "include",
            "input_audio_format",
            "input_audio_noise_reduction",
            "modalities",
            "output_audio_format",
            "speed",
            "voice",
        ],
        ...,
    ]
] = (
    "audio",
    "include",
    "input_audio_format",
    "input_audio_noise_reduction",
    "modalities",
    "output_audio_format",
    "speed",
    "voice",
)


def in_writing(settings: RealtimeSessionModelSettings) -> RealtimeSessionModelSettings:
    """``settings`` of an agent on the telephone, for a talk in text: what is about sound is out, or off."""
    written = settings.copy()
    for name in _ABOUT_SOUND:
        written.pop(name, None)
    written["output_modalities"] = ["text"]
    written["turn_detection"] = None
    written["input_audio_transcription"] = None
    return written
