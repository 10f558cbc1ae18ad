"""Regular expressions."""

from __future__ import annotations

import re
from typing import Annotated

from sipagent.calls.patterns import bounded_pattern
from sipagent.config.schema.base import parsed_by
from sipagent.config.values import BadValueError
from sipagent.errors import UserError


def parse_pattern(value: object) -> str:
    """A regular expression of Python. Raises :class:`BadValueError`."""
    if not isinstance(value, str) or not value:
        raise BadValueError(f"{value!r} is no regular expression.", 'Write one in quotes: "^[0-9]+$".')
    try:
        re.compile(value)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise BadValueError(
            f"{value!r} is no regular expression: {error.msg}{where}.",
            "Mend it; write a backslash before a sign that stands for itself.",
        ) from error
    try:
        bounded_pattern(value)
    except UserError as error:
        said, _, remedy = str(error).partition(": ")
        raise BadValueError(f"{said}.", f"{remedy[:1].upper()}{remedy[1:]}.") from error
    return value


Pattern = Annotated[str, parsed_by(parse_pattern, format="regex")]
