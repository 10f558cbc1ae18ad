"""The voice that says everything with silence."""

from __future__ import annotations

import pytest

from sipagent.simulator.speech import SilentVoice


@pytest.mark.parametrize(
    ("text", "length_ms"), [("", 400), ("Hello.", 400), ("x" * 100, 6500), ("x" * 10_000, 20_000)]
)
async def test_silence_lasts_as_long_as_the_words_would(text: str, length_ms: int) -> None:
    ulaw = await SilentVoice().speak(text)
    assert set(ulaw) == {0xFF}
    assert len(ulaw) == length_ms * 8
    assert len(await SilentVoice(ms_per_character=130).speak(text)) == length_ms * 16
