"""Changing the language that is spoken."""

from __future__ import annotations

import pytest
from openai.types.realtime import SessionUpdateEvent

from sipagent.calls.tools.language import make_language_tool
from sipagent.calls.tools.updates import partial_update
from sipagent.errors import UserError
from tests.calls.controls import Controls, call
from tests.calls.tools.using import use

TRANSCRIPTION = {"model": "gpt-transcribe", "language": "en", "prompt": "names"}


async def test_the_model_and_the_transcription_change_to_the_language() -> None:
    controls = Controls()
    tool = make_language_tool(["en", "de"], transcription=TRANSCRIPTION)
    result = await use(tool, call(controls), '{"language": "de"}')
    assert not result.is_error
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
    result = await use(tool, call(controls), arguments)
    assert result.is_error
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
