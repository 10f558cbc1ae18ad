"""Languages by their tags."""

from __future__ import annotations

import re
from typing import Annotated

from sipagent.config.schema.base import parsed_by
from sipagent.config.values import BadValueError

_TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2}|-[0-9]{3})?")
_NAMES = {
    "english": "en", "german": "de", "deutsch": "de", "french": "fr", "français": "fr", "spanish": "es",
    "español": "es", "italian": "it", "italiano": "it", "portuguese": "pt", "dutch": "nl", "polish": "pl",
    "turkish": "tr", "russian": "ru", "ukrainian": "uk", "arabic": "ar", "chinese": "zh", "japanese": "ja",
    "korean": "ko", "hindi": "hi", "swedish": "sv", "norwegian": "no", "danish": "da", "finnish": "fi",
    "czech": "cs", "greek": "el",
}  # fmt: skip


def parse_language(value: object) -> str:
    """A language tag (BCP 47): ``en``, ``pt-BR``. Raises :class:`BadValueError`."""
    remedy = 'Write its tag, in quotes: "en", "de" or "pt-BR".'
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is no language.", remedy)
    if _TAG.fullmatch(value):
        return value
    if tag := _NAMES.get(value.lower()):
        raise BadValueError(f"{value!r} is no tag of a language.", f"Write {tag}.")
    first, *rest = re.split(r"[-_]", value)
    tidy = "-".join((first.lower(), *(part.upper() if len(part) == 2 else part.title() for part in rest)))
    if _TAG.fullmatch(tidy):
        raise BadValueError(f"{value!r} is not how tags of languages are written.", f"Write {tidy}.")
    raise BadValueError(f"{value!r} is no tag of a language.", remedy)


LanguageTag = Annotated[
    str, parsed_by(parse_language, pattern=f"^{_TAG.pattern}$", examples=["en", "de", "pt-BR"])
]
