"""Reads a configuration file and checks it against the schema; every mistake has its line and its remedy."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sipagent.config.files import FilesRead
from sipagent.config.schema import Configuration, ModelsSeen
from sipagent.config.source import KeyPath, Source, read_source
from sipagent.errors import ConfigurationError, Problem

MAXIMUM_FILE_BYTES = 1_000_000

_KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}
_EXPECTED = {
    "string_type": ("text", "Write text; in quotes if it looks like a number."),
    "int_type": ("a whole number", "Write digits without quotes."),
    "float_type": ("a number", "Write digits without quotes."),
    "bool_type": ("true or false", "Write true or false without quotes."),
    "list_type": ("a list", "Begin each item with a dash, or write [a, b]."),
    "dict_type": ("a mapping", "Write `key: value` lines, indented below the key."),
    "model_type": ("a mapping", "Write `key: value` lines, indented below the key."),
    "model_attributes_type": ("a mapping", "Write `key: value` lines, indented below the key."),
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that fits the schema, with the place of everything in it."""

    configuration: Configuration
    source: Source


def read_document(path: Path, read: FilesRead | None = None) -> Document:
    """The checked content of ``path``, which is noted in ``read``.

    Raises :class:`ConfigurationError` with every mistake found, in file order.
    """
    return parse_document(_read_text(path, FilesRead(path.parent) if read is None else read), file=str(path))


def parse_document(text: str, *, file: str) -> Document:
    """As :func:`read_document`, for a text that is already here; ``file`` names it in problems."""
    source = read_source(text, file=file)
    problems = list(source.problems)
    configuration: Configuration | None = None
    if source.value is not None or not problems:
        models = ModelsSeen()
        try:
            configuration = Configuration.model_validate(source.value, context=models)
        except ValidationError as error:
            explained = {(problem.line, problem.column) for problem in problems}
            for problem in _explain_all(error.errors(include_url=False), source, models):
                if (problem.line, problem.column) not in explained:
                    problems.append(problem)
    if problems:
        raise ConfigurationError(*in_file_order(problems))
    assert configuration is not None, "no problem means that validation gave a configuration"
    return Document(configuration=configuration, source=source)


def in_file_order(problems: list[Problem]) -> list[Problem]:
    """Sorted as a reader meets them, each once."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line, problem.column))


def suggestion(word: str, known: tuple[str, ...]) -> str:
    """``Did you mean …?``, or the list of what is known."""
    if close := _closest(word, known):
        return f"Did you mean `{close[0]}`?"
    return f"Known here: {', '.join(known)}." if known else "Remove it."


def _closest(word: str, known: tuple[str, ...]) -> list[str]:
    """The one of ``known`` that ``word`` most likely means, if any."""
    return difflib.get_close_matches(word, known, n=1, cutoff=0.6)


def _read_text(path: Path, read: FilesRead) -> str:
    def refuse(message: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(Problem(file=str(path), line=1, column=1, message=message, remedy=remedy))

    try:
        content = read.read_bytes(path)
    except FileNotFoundError as error:
        raise refuse("This file does not exist.", "Name the configuration with --config FILE.") from error
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


def _explain_all(found: list[ErrorDetails], source: Source, models: ModelsSeen) -> list[Problem]:
    """A problem for each error, but none for a missing key whose misspelling is reported already."""
    misspelt: set[KeyPath] = set()
    for details in found:
        if details["type"] == "extra_forbidden":
            path, _ = _written_path(details["loc"], source)
            known = models.known_keys(_value_at(source.value, path[:-1]))
            misspelt.update((*path[:-1], key) for key in _closest(str(path[-1]), known))
    problems = []
    for details in found:
        path, rest = _written_path(details["loc"], source)
        if details["type"] != "missing" or (*path, *rest[-1:]) not in misspelt:
            problems.append(_explain(details, source, models))
    return problems


def _explain(details: ErrorDetails, source: Source, models: ModelsSeen) -> Problem:
    path, rest = _written_path(details["loc"], source)
    where = _dotted(path)
    kind = details["type"]
    value = details.get("input")
    context: dict[str, Any] = details.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(path[-1])
        parent = _value_at(source.value, path[:-1])
        message = f"`{key}` is no key of {_dotted(path[:-1])}."
        return source.problem(path, message, suggestion(key, models.known_keys(parent)), at_key=True)
    if kind == "missing" and rest:
        return source.problem(
            path, f"{where} lacks the key `{rest[-1]}`.", f"Add `{rest[-1]}:` here.", at_key=True
        )
    if rest and rest[-1] == "[key]":
        message = f"{str(path[-1])!r} cannot be a name."
        return source.problem(
            path, message, "Use up to 64 letters, digits, dashes and underscores.", at_key=True
        )
    message, remedy = _sentences(kind, where, value, context, details["msg"])
    return source.problem(path, message, remedy)


def _sentences(kind: str, where: str, value: Any, context: dict[str, Any], said: str) -> tuple[str, str]:
    if "remedy" in context:
        return f"{where}: {context.get('said', said)}", str(context["remedy"])
    if value is None and kind != "missing":
        return f"{where} is empty.", "Write a value, or remove the key."
    if kind in _EXPECTED:
        expected, remedy = _EXPECTED[kind]
        return f"{where} must be {expected}, not {_KINDS.get(type(value), 'that')}.", remedy
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{where} is {value}.", f"Write {words} {context[key]:g}."
    if kind == "literal_error":
        expected = str(context["expected"])
        allowed = tuple(word.strip("'") for word in expected.replace(" or ", ", ").split(", "))
        if len(allowed) == 1:
            return f"{where} is {value!r}.", f"Write {allowed[0]}."
        return f"{where} is {value!r}, which is no choice.", suggestion(str(value), allowed)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return (
            f"{where} has no `type`, or none that exists.",
            "Write `type: server_vad` or `type: semantic_vad`.",
        )
    if kind in {"too_short", "string_too_short"}:
        return f"{where} is empty.", "Write at least one."
    if kind == "string_pattern_mismatch":
        return (
            f"{where}: {value!r} cannot be a name.",
            "Use up to 64 letters, digits, dashes and underscores.",
        )
    return f"{where}: {said}.", "Compare with the example in the README."


def _written_path(location: tuple[int | str, ...], source: Source) -> tuple[KeyPath, KeyPath]:
    """The part of a validation location that stands in the file, and what remains of it.

    Members of unions add a part of their own, which is skipped: it names no key.
    """
    path: KeyPath = ()
    rest: KeyPath = ()
    for part in location:
        if source.has((*path, part)):
            path, rest = (*path, part), ()
        else:
            rest = (*rest, part)
    return path, rest


def _value_at(value: Any, path: KeyPath) -> Any:
    for part in path:
        value = value[part]
    return value


def _dotted(path: KeyPath) -> str:
    if not path:
        return "the file"
    words = ""
    for part in path:
        words += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if words else part
    return f"`{words}`"
