from __future__ import annotations

from sipagent.calls.writing import in_writing
from tests.calls.chatting import profile


def test_settings_of_a_telephone_lose_what_is_about_sound() -> None:
    written = in_writing(profile().settings)
    assert written == {
        "model_name": "gpt-realtime-2.1",
        "output_modalities": ["text"],
        "turn_detection": None,
        "input_audio_transcription": None,
    }
    assert (
        in_writing({"tool_choice": "required", "max_output_tokens": 10}).items()
        >= {
            "tool_choice": "required",
            "max_output_tokens": 10,
        }.items()
    )
