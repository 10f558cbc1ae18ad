"""Reads a configuration file and checks it against the schema; every mistake has its line and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from sipagent.config.broken import Broken
from sipagent.config.files import FilesRead
from sipagent.config.salvage import salvage
from sipagent.config.schema import Configuration, Reading
from sipagent.config.source import Source, read_source
from sipagent.config.telephone import parse_country
from sipagent.config.values import BadValueError
from sipagent.config.values import suggestion as suggestion
from sipagent.config.wording import explain_all
from sipagent.errors import ConfigurationError, Problem

MAXIMUM_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that fits the schema, with the place of everything in it."""

    configuration: Configuration
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What could be read of a file, and its mistakes of form."""

    document: Document | None
    """Its whole parts; None where there are none that could be looked at."""
    problems: tuple[Problem, ...]
    """In file order; none when the document is the whole file."""
    broken: Broken = field(default_factory=Broken)
    """What is missing from the document."""


def read_document(path: Path, read: FilesRead | None = None) -> Document:
    """The checked content of ``path``, which is noted in ``read``.

    Raises :class:`ConfigurationError` with every mistake found, in file order.
    """
    return _whole(read_draft(path, read))


def parse_document(text: str, *, file: str) -> Document:
    """As :func:`read_document`, for a text that is already here; ``file`` names it in problems."""
    return _whole(parse_draft(text, file=file))


def read_draft(path: Path, read: FilesRead | None = None) -> Draft:
    """As :func:`read_document`, but mistakes of form are no end: what is whole can be looked at further.

    Raises :class:`ConfigurationError` only when there is no text to be read.
    """
    return parse_draft(_read_text(path, FilesRead(path.parent) if read is None else read), file=str(path))


def parse_draft(text: str, *, file: str) -> Draft:
    """As :func:`read_draft`, for a text that is already here; raises nothing."""
    source = read_source(text, file=file)
    problems = list(source.problems)
    configuration: Configuration | None = None
    if source.value is not None or not problems:
        reading = Reading(_default_country(source.value))
        try:
            configuration = Configuration.model_validate(source.value, context=reading)
        except ValidationError as error:
            explained = {(problem.line, problem.column) for problem in problems}
            for problem in explain_all(error.errors(include_url=False), source, reading):
                if (problem.line, problem.column) not in explained:
                    problems.append(problem)
    found = tuple(in_file_order(problems))
    if configuration is not None:
        broken = Broken(parts=source.incomplete)
        return Draft(
            document=Document(configuration=configuration, source=source), problems=found, broken=broken
        )
    salvaged = salvage(source, _default_country(source.value))
    if salvaged is None:
        return Draft(document=None, problems=found)
    document = Document(configuration=salvaged.configuration, source=salvaged.source)
    return Draft(document=document, problems=found, broken=salvaged.broken)


def _whole(draft: Draft) -> Document:
    """Raises :class:`ConfigurationError` for one with mistakes."""
    if draft.problems or draft.document is None:
        raise ConfigurationError(*draft.problems)
    return draft.document


def in_file_order(problems: list[Problem]) -> list[Problem]:
    """Sorted as a reader meets them, each once."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line, problem.column))


def _read_text(path: Path, read: FilesRead) -> str:
    def refuse(message: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(Problem(file=str(path), line=1, column=1, message=message, remedy=remedy))

    try:
        content = read.read_bytes(path)
    except FileNotFoundError as error:
        remedy = "Name one that does, or write one with `sipagent init`."
        raise refuse("This file does not exist.", remedy) from error
    except OSError as error:
        raise refuse(f"This file cannot be read: {error.strerror}.", "Name a readable YAML file.") from error
    if len(content) > MAXIMUM_FILE_BYTES:
        raise refuse(
            f"The file has {len(content)} bytes; at most {MAXIMUM_FILE_BYTES} are read.", "Is it YAML?"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(
            file=str(path),
            line=line,
            column=error.start - content.rfind(b"\n", 0, error.start),
            message="This byte is not UTF-8.",
            remedy="Save the file as UTF-8.",
        )
        raise ConfigurationError(problem) from error
    read.note_text(path, text)
    return text


def _default_country(value: object) -> str | None:
    """The country that the file names for national numbers, as far as it can be told before it is checked."""
    numbers = value.get("numbers") if isinstance(value, dict) else None
    country = numbers.get("default_country") if isinstance(numbers, dict) else None
    try:
        return parse_country(country)
    except BadValueError:
        return None
