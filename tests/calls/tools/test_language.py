"""Changing the language that is spoken."""

from __future__ import annotations

import pytest
from openai.types.realtime import SessionUpdateEvent

from sipagent.calls.tools.language import in_chosen_language, make_language_tool, transcribed_in
from sipagent.calls.tools.updates import partial_update
from sipagent.errors import UserError
from sipagent.realtime import RealtimeSessionModelSettings
from tests.calls.controls import Controls, call
from tests.calls.tools.using import use

TRANSCRIPTION = {"model": "gpt-transcribe", "language": "en", "prompt": "names"}


async def test_the_model_and_the_transcription_change_to_the_language() -> None:
    controls = Controls()
    tool = make_language_tool(["en", "de"], transcription=TRANSCRIPTION)
    context = call(controls)
    result = await use(tool, context, '{"language": "de"}')
    assert not result.is_error
    assert context.tools.language == "de", "whoever takes over knows"
    assert "German" in result.text
    assert controls.updates == [{"audio": {"input": {"transcription": {**TRANSCRIPTION, "language": "de"}}}}]
    assert controls.asked == [
        "tell: From now on, speak German with the caller, until they want another language."
    ]
    assert controls.notes == [("language_set", {"language": "de"})]
    message = partial_update(controls.updates[0]).message
    sent = SessionUpdateEvent.model_validate({**message["other_data"], "type": message["type"]})
    assert sent.session.type == "realtime"


async def test_where_nothing_is_transcribed_nothing_is_updated() -> None:
    controls = Controls()
    await use(make_language_tool(["en", "de"]), call(controls), '{"language": "de"}')
    assert controls.updates == []
    assert len(controls.asked) == 1


@pytest.mark.parametrize("arguments", ['{"language": "fr"}', '{"language": ["de"]}', "{}", "[]", "de", ""])
async def test_a_language_that_is_not_offered_changes_nothing(arguments: str) -> None:
    controls = Controls()
    tool = make_language_tool(["en", "de"], transcription=TRANSCRIPTION)
    context = call(controls)
    result = await use(tool, context, arguments)
    assert result.is_error
    assert context.tools.language is None
    assert "Choose one of: en, de." in result.text
    assert (controls.updates, controls.asked, controls.notes) == ([], [], [])


def test_the_model_reads_what_there_is() -> None:
    tool = make_language_tool(["en", "de", "gsw", "de"])
    assert tool.params_json_schema["properties"]["language"]["enum"] == ["en", "de", "gsw"]
    assert "de (German)" in tool.description
    assert "gsw (gsw)" in tool.description


@pytest.mark.parametrize("languages", [[], ["en"], ["en", "en"]])
def test_one_language_is_no_choice(languages: list[str]) -> None:
    with pytest.raises(UserError):
        make_language_tool(languages)


@pytest.mark.parametrize(
    ("transcription", "hint"),
    [
        ({"model": "gpt-transcribe"}, {"languages": ["pt"]}),
        ({"model": "gpt-transcribe", "language": "en"}, {"language": "pt"}),
        ({"model": "gpt-transcribe", "languages": ["en", "es"]}, {"languages": ["pt"]}),
        ({"model": "whisper-1"}, {"language": "pt"}),
    ],
)
def test_the_hint_stands_where_the_model_looks_for_it(
    transcription: dict[str, object], hint: dict[str, object]
) -> None:
    assert transcribed_in(transcription, "pt-BR") == {"model": transcription["model"], **hint}


def test_where_nobody_chose_and_where_nothing_is_transcribed_nothing_is_hinted() -> None:
    off: RealtimeSessionModelSettings = {"instructions": "Be kind.", "input_audio_transcription": None}
    assert in_chosen_language(off, None, ["en"]) is off
    chosen = in_chosen_language(off, "gsw", [])
    assert chosen["input_audio_transcription"] is None
    assert "chosen gsw" in chosen["instructions"]
