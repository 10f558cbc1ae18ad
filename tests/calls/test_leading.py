"""Whose manners and settings count while a call is handed from one agent to another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sipagent.calls import AgentProfile, Manners
from sipagent.calls.leading import Leadership, Team
from sipagent.calls.template import Template
from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings, RunContextWrapper
from tests.calls.controls import call

FIRST = AgentProfile(
    name="front-desk",
    agent=RealtimeAgent(name="front-desk"),
    settings={
        "model_name": "gpt-realtime-2.1",
        "voice": "marin",
        "turn_detection": {"type": "server_vad"},
        "input_audio_transcription": {"model": "gpt-transcribe", "languages": ["en"]},
        "tool_choice": "required",
    },
    languages=("en", "de"),
)
SECOND = AgentProfile(
    name="night-desk",
    agent=RealtimeAgent(name="night-desk"),
    settings={
        "model_name": "gpt-realtime-mini",
        "voice": "cedar",
        "turn_detection": {"type": "semantic_vad"},
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "max_output_tokens": 500,
    },
    languages=("en", "de-AT"),
    manners=Manners(goodbye=Template("Good night.")),
)
STRANGER = RealtimeAgent[Any](name="brought along")
TEAM = Team([FIRST, SECOND])


def settings_for(
    agent: RealtimeAgent[Any], team: Team = TEAM, *, language: str | None = None
) -> RealtimeSessionModelSettings:
    """As the session resolves them: those of whoever answered, and the agent's instructions."""
    context = call()
    context.tools.language = language
    resolved: RealtimeSessionModelSettings = {**FIRST.settings, "instructions": "Be kind."}
    return team.settings_of_agent(agent, RunContextWrapper(context), resolved)


# Manners ----------------------------------------------------------------------------------------------


def test_the_manners_are_those_of_whoever_leads() -> None:
    leadership = Leadership(FIRST, TEAM)
    assert leadership.manners is FIRST.manners
    assert leadership.look("front-desk") is None
    assert leadership.look("night-desk") is SECOND.manners
    assert leadership.manners is SECOND.manners
    assert leadership.look("night-desk") is None, "they count already"
    assert leadership.look("front-desk") is FIRST.manners


def test_an_agent_without_a_profile_has_the_manners_of_the_one_before_it() -> None:
    leadership = Leadership(FIRST, TEAM)
    leadership.look("night-desk")
    assert leadership.look(STRANGER.name) is None
    assert leadership.manners is SECOND.manners


# Settings ---------------------------------------------------------------------------------------------


def test_whoever_answers_has_what_it_was_accepted_with() -> None:
    changed = settings_for(FIRST.agent, Team([FIRST]))
    assert changed == {**FIRST.settings, "instructions": "Be kind."}


def test_another_agent_listens_in_its_own_way_and_speaks_with_the_voice_of_the_call() -> None:
    assert settings_for(SECOND.agent) == {
        **SECOND.settings,
        "model_name": "gpt-realtime-2.1",
        "voice": "marin",
        "tool_choice": "auto",
        "instructions": "Be kind.",
    }


def test_what_only_another_agent_had_is_undone_when_the_first_leads_again() -> None:
    back = settings_for(FIRST.agent)
    assert back["input_audio_noise_reduction"] is None
    assert back["max_output_tokens"] == "inf"
    assert back["tool_choice"] == "required"


def test_an_agent_without_a_profile_has_the_settings_of_the_call() -> None:
    assert settings_for(STRANGER) == {**FIRST.settings, "instructions": "Be kind."}


def test_outside_of_a_call_nobody_has_chosen_a_language() -> None:
    told: RealtimeSessionModelSettings = {"instructions": "Be kind."}
    assert Team().settings_of_agent(STRANGER, RunContextWrapper(None), told) == told


# The language -----------------------------------------------------------------------------------------


def test_the_language_that_the_caller_chose_outlasts_a_handoff() -> None:
    changed = settings_for(SECOND.agent, language="de")
    assert changed["input_audio_transcription"] == {"model": "whisper-1", "language": "de"}
    instructions = changed["instructions"]
    assert instructions.startswith("Be kind.\n\n")
    assert "The caller has chosen German" in instructions


def test_an_agent_that_speaks_another_language_says_so() -> None:
    english = replace(SECOND, languages=("en",))
    changed = settings_for(english.agent, Team([FIRST, english]), language="de")
    assert changed["input_audio_transcription"] == {"model": "whisper-1", "language": "en"}
    assert "You do not speak it: say so, and go on in English." in changed["instructions"]


def test_an_agent_of_no_certain_language_speaks_any() -> None:
    changed = settings_for(STRANGER, language="fr")
    assert changed["input_audio_transcription"] == {"model": "gpt-transcribe", "languages": ["fr"]}
    assert "French" in changed["instructions"]
