"""What pydantic found, in the words of the file: every mistake with its place and its remedy."""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails

from sipagent.config.schema import Reading
from sipagent.config.source import KeyPath, Source
from sipagent.config.values import closest, suggestion
from sipagent.errors import Problem

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
_MISSING = {
    "version": "Add `version: 1`.",
    "agents": "Add `agents:`, and below it each agent by its name.",
    "routes": "Add `routes:`, and below it `- {agent: NAME}` with the agent that answers.",
    "description": "Add `description:`, by which the model knows what it is for.",
}
"""What to do about keys of which more can be said than their name."""
_INSTEAD: dict[KeyPath, str] = {
    (): "Begin with `version: 1`, `agents:` and `routes:`.",
    ("agents",): "Write each agent as `name:`, and its keys indented below.",
    ("calendars",): "Write each calendar as `name:`, and its keys indented below.",
    ("routes",): "Begin each route with a dash: `- {agent: NAME}`.",
}
"""What to write at places that have the wrong kind of value."""
_NAME = "Use up to 64 letters, digits, dashes and underscores."


def explain_all(found: list[ErrorDetails], source: Source, reading: Reading) -> list[Problem]:
    """A problem for each error, but none for a missing key whose misspelling is reported already."""
    misspelt: set[KeyPath] = set()
    for details in found:
        if details["type"] == "extra_forbidden":
            path, _ = written_path(details["loc"], source)
            known = reading.known_keys(source.value_at(path[:-1]))
            if (key := closest(str(path[-1]), known)) is not None:
                misspelt.add((*path[:-1], key))
    problems = []
    for details in found:
        path, rest = written_path(details["loc"], source)
        if details["type"] != "missing" or (*path, *rest[-1:]) not in misspelt:
            problems.append(_explain(details, source, reading))
    return problems


def _explain(details: ErrorDetails, source: Source, reading: Reading) -> Problem:
    path, rest = written_path(details["loc"], source)
    where = _dotted(path)
    kind = details["type"]
    value = details.get("input")
    context: dict[str, Any] = details.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(path[-1])
        parent = source.value_at(path[:-1])
        message = f"`{key}` is no key of {_dotted(path[:-1])}."
        remedy = reading.hint(parent, key) or suggestion(key, reading.known_keys(parent))
        return source.problem(path, message, remedy, at_key=True)
    if kind == "missing" and rest:
        remedy = _MISSING.get(str(rest[-1]), f"Add `{rest[-1]}:` here.")
        return source.problem(path, f"{_sentence(where)} lacks the key `{rest[-1]}`.", remedy, at_key=True)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _explain_tag(path, context, source)
    if rest and rest[-1] == "[key]":
        message, remedy = f"{str(path[-1])!r} cannot be a name.", _NAME
        if "remedy" in context:
            message, remedy = f"{_dotted(path[:-1])}: {context['said']}", str(context["remedy"])
        return source.problem(path, message, remedy, at_key=True)
    message, remedy = _sentences(kind, where, value, context, details["msg"])
    if kind in _EXPECTED and path in _INSTEAD:
        remedy = _INSTEAD[path]
    at = (*path, *context.get("at", ()))
    return source.problem(at if source.has(at) else path, _sentence(message), remedy, at_key=at != path)


def _explain_tag(path: KeyPath, context: dict[str, Any], source: Source) -> Problem:
    """A mapping of which nobody can tell the kind, because the key that says it is missing or wrong."""
    key = str(context["discriminator"]).strip("'")
    if "tag" not in context:
        return source.problem(
            path,
            f"{_dotted(path)} lacks the key `{key}`.",
            f"Write `{key}: server_vad` or `{key}: semantic_vad`.",
            at_key=True,
        )
    known = [tag.strip("' ") for tag in str(context["expected_tags"]).split(",")]
    message = f"{_dotted((*path, key))} is {context['tag']!r}, which is no choice."
    return source.problem((*path, key), message, suggestion(str(context["tag"]), known))


def _as(kind: str, value: object) -> str | None:
    """How ``value`` is written as what it should be, where that is plain."""
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f'Put it in quotes: "{value}".'
    if kind == "list_type" and isinstance(value, str):
        return f"Write [{value}], or begin each item with a dash."
    return None


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _sentences(kind: str, where: str, value: object, context: dict[str, Any], said: str) -> tuple[str, str]:
    if "remedy" in context:
        return f"{where}: {context.get('said', said)}", str(context["remedy"])
    if value is None and kind != "missing":
        return f"{where} is empty.", "Write a value, or remove the key."
    if kind in _EXPECTED:
        expected, remedy = _EXPECTED[kind]
        return f"{where} must be {expected}, not {_KINDS.get(type(value), 'that')}.", _as(
            kind, value
        ) or remedy
    if kind == "finite_number":
        return f"{where} is {value}, which is no number to count with.", "Write digits without quotes."
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{where} is {value}.", f"Write {words} {context[key]:g}."
    if kind == "literal_error":
        expected = str(context["expected"])
        allowed = tuple(word.strip("'") for word in expected.replace(" or ", ", ").split(", "))
        if len(allowed) == 1:
            return f"{where} is {value!r}.", f"Write {allowed[0]}."
        close = closest(str(value), allowed)
        remedy = f"Did you mean `{close}`?" if close else f"Write one of {', '.join(allowed)}."
        return f"{where} is {value!r}, which is no choice.", remedy
    if kind == "string_too_short":
        return f"{where} is empty.", "Write some text, or remove the key."
    if kind == "too_short":
        return f"{where} is empty.", "Write at least one."
    if kind == "string_pattern_mismatch":
        return (
            f"{where}: {value!r} cannot be a name.",
            _NAME,
        )
    return f"{where}: {said}.", "`sipagent guide configuration` says what may stand here."


def written_path(location: tuple[int | str, ...], source: Source) -> tuple[KeyPath, KeyPath]:
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


def _dotted(path: KeyPath) -> str:
    if not path:
        return "the file"
    words = ""
    for part in path:
        words += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if words else part
    return f"`{words}`"
