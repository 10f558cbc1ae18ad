"""Secrets of a configuration: written as references, read when it is compiled, and shown to nobody.

``${NAME}`` stands for a variable of the environment, ``${file:/run/secrets/name}`` for the content of a file.
A reference may stand in the midst of a text: ``Bearer ${CRM_TOKEN}``. What it stands for is never part of an
error, of a fingerprint or of what `explain` shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sipagent.config.files import FilesRead
from sipagent.config.values import BadValueError, closest

REFERENCE = re.compile(r"\$\{([^}]*)\}")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = "file:"
_TELLING_HEADER = re.compile(
    r"(?i)authorization$|cookie$|api-?key|(^|[-_])key$|token|secret|password|signature$"
)
_TELLING_VALUE = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{16,}|whsec_[A-Za-z0-9+/=]{8,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abp]-\S{10,}|AKIA[A-Z0-9]{16})"
)
_HARMLESS_SCHEMES = re.compile(r"(?i)(bearer|basic|token|apikey)\s*")


class Secrets:
    """Reads what references stand for, and remembers it for whoever must keep it out of sight."""

    def __init__(self, variables: Mapping[str, str], folder: Path, read: FilesRead) -> None:
        """``variables`` are those of the environment; relative names of files begin at ``folder``, and each
        file is noted in ``read``."""
        self._variables = variables
        self._folder = folder
        self._read = read
        self._values: dict[str, str] = {}
        self._hidden: dict[str, None] = {}

    @property
    def values(self) -> tuple[str, ...]:
        """Everything that was read as a secret: none of it may appear in a log."""
        values = (self._values.get(reference) for reference in self._hidden)
        return tuple(dict.fromkeys(value for value in values if value))

    def resolve(self, text: str, *, hide: bool = True) -> str:
        """``text`` with what its references stand for; without ``hide`` it is no secret, such as an address.

        Blocks: it may read files. Raises :class:`BadValueError`, which holds no secret.
        """
        check_references(text)
        if hide:
            self._hidden.update((match[1].strip(), None) for match in REFERENCE.finditer(text))
        return REFERENCE.sub(lambda match: self._value(match[1].strip()), text)

    def _value(self, reference: str) -> str:
        if reference not in self._values:
            if reference.startswith(_FILE):
                self._values[reference] = self._file(reference.removeprefix(_FILE).strip())
            else:
                self._values[reference] = self._variable(reference)
        return self._values[reference]

    def _variable(self, name: str) -> str:
        value = self._variables.get(name, "").strip()
        if value:
            _check_printable(f"The variable {name}", value)
            return value
        state = "is empty" if name in self._variables else "is not set"
        remedy = f"Set {name} for the service, or name another: ${{NAME}}."
        # Names only: another variable's value is nobody's business.
        if state == "is not set" and (close := closest(name, self._variables)):
            remedy = f"Did you mean `${{{close}}}`? Else set {name} for the service."
        raise BadValueError(f"The variable {name} {state} in the environment.", remedy)

    def _file(self, name: str) -> str:
        file = self._folder / name
        try:
            value = self._read.read_secret(file).strip()
        except OSError as error:
            raise BadValueError(
                f"The secret's file {file} cannot be read: {error.strerror}.",
                "Create it, and let the service's user read it.",
            ) from error
        except UnicodeDecodeError as error:
            raise BadValueError(
                f"The secret's file {file} is not UTF-8.", "Write the secret as plain text."
            ) from error
        if not value:
            raise BadValueError(f"The secret's file {file} is empty.", "Write the secret into it.")
        _check_printable(f"The secret's file {file}", value)
        return value


def check_references(text: str) -> None:
    """Raises :class:`BadValueError` for a ``${…}`` of ``text`` that is no reference."""
    remedy = "Write ${NAME} for a variable of the environment, or ${file:/run/secrets/name} for a file."
    for match in REFERENCE.finditer(text):
        inside = match[1].strip()
        if inside.startswith(_FILE):
            if not inside.removeprefix(_FILE).strip():
                raise BadValueError(f"`{match[0]}` names no file.", remedy)
        elif inside.lower().startswith(("env:", "env.")):
            raise BadValueError(
                f"`{match[0]}` is not how variables are named here.", f"Write ${{{inside[4:]}}}."
            )
        elif _NAME.fullmatch(inside) is None:
            raise BadValueError(f"`{match[0]}` is no reference.", remedy)
    rest = REFERENCE.sub("", text)
    if (begin := rest.find("${")) >= 0:
        raise BadValueError(f"`{rest[begin : begin + 20]}` is never closed.", "Close it with }: ${NAME}.")


def reference_in_words(text: str) -> tuple[int, str] | None:
    """The first ``${…}`` of words that people or the model get as they stand, and where it begins."""
    for match in REFERENCE.finditer(text):
        inside = match[1].strip()
        if inside.startswith(_FILE) or _NAME.fullmatch(inside):
            return match.start(), match[0]
    return None


def looks_secret(header: str, value: str) -> bool:
    """Whether ``value``, as it is written for ``header`` or a variable of that name, is itself a secret."""
    rest = _HARMLESS_SCHEMES.sub("", REFERENCE.sub("", value)).strip()
    if "${" in value or "{{" in value:
        return _TELLING_VALUE.search(rest) is not None
    return bool(rest) and (
        _TELLING_HEADER.search(header) is not None or _TELLING_VALUE.search(rest) is not None
    )


def _check_printable(what: str, value: str) -> None:
    if not value.isprintable():
        raise BadValueError(
            f"{what} holds a line break or another character that cannot be sent.", "Write it on one line."
        )
