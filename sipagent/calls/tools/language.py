"""A tool by which the agent changes the language that is spoken: the caller asked for it, or speaks it.

From then on the caller's words are written down in that language, and the model has been told to speak it. It
is the caller's choice, so it outlasts a handoff: see `in_chosen_language`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sipagent.calls.context import call_of
from sipagent.calls.tools.failures import ToolFailureError, failure_sentence
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, RealtimeSessionModelSettings, ToolContext

SET_LANGUAGE = "set_language"
LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak",
    "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""Names of languages by their ISO 639-1 code, for the model; any other code is used as it is."""
LISTING_MODEL = "gpt-transcribe"
"""Takes a list of languages where other models of transcription take one (API reference)."""


def make_language_tool(
    languages: Sequence[str], *, transcription: Mapping[str, Any] | None = None
) -> FunctionTool:
    """The function tool that changes to one of ``languages`` (ISO 639-1 codes, such as ``de``).

    ``transcription`` is the session's, as the API writes it; None when it is off. Raises `UserError` when
    there is nothing to choose from.
    """
    offered = tuple(dict.fromkeys(languages))
    if len(offered) < 2:
        raise UserError(f"{SET_LANGUAGE} needs at least two `languages` to choose from")

    async def set_language(context: ToolContext[Any], arguments: str) -> str:
        call = call_of(context)
        language = _chosen(arguments, offered)
        if language is None:
            raise ToolFailureError(
                f"Nothing was changed: there is no such language here. Choose one of: {', '.join(offered)}.",
                effect="none",
            )
        name = named(language)
        if transcription is not None:
            changed = transcribed_in(transcription, language)
            await call.controls.update_session({"audio": {"input": {"transcription": changed}}})
        call.tools.language = language
        await call.controls.tell(
            f"From now on, speak {name} with the caller, until they want another language."
        )
        call.controls.note("language_set", language=language)
        return f"The language is now {name}. Go on in {name}, with what the caller wanted last."

    listed = ", ".join(f"{code} ({named(code)})" for code in offered)
    return FunctionTool(
        name=SET_LANGUAGE,
        description=(
            "Change the language of the conversation when the caller asks for it, or speaks another one than "
            f"you do. Languages: {listed}."
        ),
        params_json_schema={
            "type": "object",
            "properties": {"language": {"type": "string", "enum": list(offered)}},
            "required": ["language"],
            "additionalProperties": False,
        },
        on_invoke_tool=set_language,
        failure_error_function=failure_sentence,
        timeout_s=10.0,
    )


def named(language: str) -> str:
    """What a language is called by the model, from its tag: ``German`` for ``de`` and ``de-AT``."""
    return LANGUAGES.get(language) or LANGUAGES.get(_code(language), language)


def transcribed_in(transcription: Mapping[str, Any], language: str) -> dict[str, Any]:
    """``transcription`` with the hint that ``language`` is spoken, under the key that it has or its model
    takes."""
    told = {key: value for key, value in transcription.items() if key not in ("language", "languages")}
    lists = transcription.get("model") == LISTING_MODEL and "language" not in transcription
    if lists or "languages" in transcription:
        return {**told, "languages": [_code(language)]}
    return {**told, "language": _code(language)}


def in_chosen_language(
    settings: RealtimeSessionModelSettings, language: str | None, languages: Sequence[str]
) -> RealtimeSessionModelSettings:
    """``settings`` of an agent that speaks ``languages`` (none: any), for a caller who chose ``language`` of
    the agent before it; None: who chose none."""
    if language is None:
        return settings
    if languages and _code(language) not in map(_code, languages):
        spoken = languages[0]
        rule = (
            f"{named(language)} was spoken so far. You do not speak it: say so, and go on in {named(spoken)}."
        )
    else:
        spoken = language
        rule = f"The caller has chosen {named(language)}: speak it, until they want another language."
    instructions = f"{settings.get('instructions') or ''}\n\n{rule}"
    changed: RealtimeSessionModelSettings = {**settings, "instructions": instructions}
    if (transcription := settings.get("input_audio_transcription")) is not None:
        # Left out, the hint of the agent before would stay: the API keeps what an update does not name.
        changed["input_audio_transcription"] = cast(Any, transcribed_in(transcription, spoken))
    return changed


def _code(language: str) -> str:
    return language.partition("-")[0].lower()


def _chosen(arguments: str, offered: Sequence[str]) -> str | None:
    try:
        language = json.loads(arguments)["language"]
    except (ValueError, LookupError, TypeError):
        return None
    return language if isinstance(language, str) and language in offered else None
