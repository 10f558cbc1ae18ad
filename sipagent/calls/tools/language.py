"""A tool by which the agent changes the language that is spoken: the caller asked for it, or speaks it.

From then on the caller's words are written down in that language, and the model has been told to speak it. A
handoff sets the transcription anew, as the agent that takes over has it; what the model was told stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sipagent.calls.context import call_of
from sipagent.calls.tools.failures import ToolFailureError, failure_sentence
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, ToolContext

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
        name = LANGUAGES.get(language, language)
        if transcription is not None:
            changed = {**transcription, "language": language}
            await call.controls.update_session({"audio": {"input": {"transcription": changed}}})
        await call.controls.tell(
            f"From now on, speak {name} with the caller, until they want another language."
        )
        call.controls.note("language_set", language=language)
        return f"The language is now {name}. Go on in {name}, with what the caller wanted last."

    listed = ", ".join(f"{code} ({LANGUAGES.get(code, code)})" for code in offered)
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


def _chosen(arguments: str, offered: Sequence[str]) -> str | None:
    try:
        language = json.loads(arguments)["language"]
    except (ValueError, LookupError, TypeError):
        return None
    return language if isinstance(language, str) and language in offered else None
