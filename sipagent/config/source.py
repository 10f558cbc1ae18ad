"""A YAML text as plain values that remember where they were written.

PyYAML resolves scalars by YAML 1.1, in which ``no`` is false, ``10:30`` is 630 and ``+15550100000`` is a
number. None of these is ever meant in a configuration, so each is a problem with its remedy instead of a
value that surprises on the telephone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from sipagent.config.syntax import explain_syntax
from sipagent.errors import Problem

KeyPath = tuple[str | int, ...]
"""From the root of the document: names of keys and indices of items."""

MAXIMUM_VALUES = 50_000
"""Values a document may hold once its aliases are expanded; more is a mistake or an attack."""

_TIME_OF_DAY = re.compile(r"\d{1,3}:[0-5]\d(:[0-5]\d)?")
_TRUTH = {"true": True, "false": False}
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in a text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a YAML text says, and where it says it."""

    file: str
    """As the operator wrote it."""
    text: str
    value: Any
    """Dicts, lists, strings, numbers, booleans and None. None when the text could not be parsed."""
    problems: tuple[Problem, ...]
    """What could not be read as it was meant; the rest of ``value`` is usable all the same."""
    values: dict[KeyPath, Place] = field(repr=False)
    keys: dict[KeyPath, Place] = field(repr=False)
    spans: dict[KeyPath, tuple[int, int]] = field(repr=False)
    """Where each text begins and ends, in characters of the whole."""
    incomplete: frozenset[KeyPath] = frozenset()
    """Mappings with a key that could not be read."""

    def has(self, path: KeyPath) -> bool:
        """Whether something is written at ``path``."""
        return path in self.values

    def value_at(self, path: KeyPath) -> Any:
        """What is written at ``path``, where something is."""
        value = self.value
        for part in path:
            value = value[part]
        return value

    def problem(self, path: KeyPath, message: str, remedy: str, *, at_key: bool = False) -> Problem:
        """A mistake at ``path``, or at the nearest thing around it that is written down."""
        place = (self.keys.get(path) if at_key else None) or self.values.get(path)
        while place is None and path:
            path = path[:-1]
            place = self.values.get(path)
        place = place or Place(line=1, column=1)
        return Problem(file=self.file, line=place.line, column=place.column, message=message, remedy=remedy)

    def problem_inside(self, path: KeyPath, text: str, offset: int, message: str, remedy: str) -> Problem:
        """A mistake at ``offset`` of ``text``, which is what is written at ``path``, or begins there."""
        begin, end = self.spans.get(path, (0, 0))
        place = _nth_place(self.text, begin, end, text, offset)
        if place is None:
            return self.problem(path, message, remedy)
        return Problem(file=self.file, line=place.line, column=place.column, message=message, remedy=remedy)


def _nth_place(whole: str, begin: int, end: int, text: str, offset: int) -> Place | None:
    """Where the sign at ``offset`` of ``text`` stands between ``begin`` and ``end`` of ``whole``.

    What a block or a quoted text says is not what is written, character by character: indentation and folded
    line breaks are gone. Its signs come in the same order, though, so the n-th of a kind is the n-th there.
    """
    sign = text[offset : offset + 2]
    at = -1
    for _ in range(1 + sum(text.startswith(sign, each) for each in range(offset))):
        at = whole.find(sign, begin if at < 0 else at + 1, end)
        if at < 0:
            return None
    return Place(line=whole.count("\n", 0, at) + 1, column=at - whole.rfind("\n", 0, at))


def read_source(text: str, *, file: str) -> Source:
    """Parse ``text``; never raises, mistakes are in ``problems``. ``file`` only names it in them."""
    reader = _Reader(file)
    value = None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            reader.report(None, "The file is empty.", "Begin with `version: 1`, `agents:` and `routes:`.")
        else:
            value = reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        reader.report_syntax(error)
    except yaml.YAMLError as error:
        # The only one without a mark: a character that YAML forbids.
        said = str(error).splitlines()[0]
        reader.report(None, f"This is not YAML: {said}.", "Save the file as plain UTF-8 text.")
    except RecursionError:
        reader.report(None, "Lists or mappings are nested too deeply.", "Close brackets where they belong.")
    return Source(
        file=file,
        text=text,
        value=value,
        problems=tuple(reader.problems),
        values=reader.values,
        keys=reader.keys,
        spans=reader.spans,
        incomplete=frozenset(reader.incomplete),
    )


def _place(mark: yaml.Mark) -> Place:
    return Place(line=mark.line + 1, column=mark.column + 1)


class _Reader:
    """Turns composed nodes into values and notes their places."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.values: dict[KeyPath, Place] = {}
        self.keys: dict[KeyPath, Place] = {}
        self.spans: dict[KeyPath, tuple[int, int]] = {}
        self.incomplete: set[KeyPath] = set()
        self._enclosing: set[int] = set()
        self._too_many_reported = False

    def report(self, place: Place | None, message: str, remedy: str) -> None:
        place = place or Place(line=1, column=1)
        self.problems.append(
            Problem(file=self.file, line=place.line, column=place.column, message=message, remedy=remedy)
        )

    def report_syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark, message, remedy = explain_syntax(error)
        self.report(_place(mark) if mark else None, message, remedy)

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        place = _place(node.start_mark)
        self.values[path] = place
        if id(node) in self._enclosing:
            self.report(place, "This alias holds itself.", "Remove the alias.")
            return None
        if len(self.values) > MAXIMUM_VALUES:
            if not self._too_many_reported:
                self._too_many_reported = True
                self.report(
                    place, f"The file holds more than {MAXIMUM_VALUES} values.", "Remove the aliases."
                )
            return None
        self._enclosing.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.ScalarNode), f"PyYAML composes three kinds of nodes, not {node!r}"
            self.spans[path] = (node.start_mark.index, node.end_mark.index)
            return self._scalar(node)
        finally:
            self._enclosing.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(key_node.start_mark)
            key = self._key(key_node, place)
            if key is None:
                self.incomplete.add(path)
                continue
            if key in mapping:
                first = self.keys[(*path, key)]
                self.report(
                    place,
                    f"The key `{key}` stands here a second time; the first is in line {first.line}.",
                    "Keep one of them: YAML would silently forget the other.",
                )
                continue
            self.keys[(*path, key)] = place
            mapping[key] = self.read(value_node, (*path, key))
        return mapping

    def _key(self, node: yaml.Node, place: Place) -> str | None:
        """The key, or None after reporting why it is none."""
        if not isinstance(node, yaml.ScalarNode):
            self.report(
                place, "A key must be a word, not a list or a mapping.", "Quote text that begins with [ or {."
            )
            return None
        if node.tag == f"{_TAG}merge":
            self.report(place, "`<<` is not supported here.", "Use `defaults:` for what agents share.")
            return None
        before = len(self.problems)
        value = self._scalar(node)
        if len(self.problems) > before:
            return None
        if not isinstance(value, str):
            self.report(place, f"The key `{node.value}` is not text.", f'Put it in quotes: "{node.value}".')
            return None
        return value

    def _scalar(self, node: yaml.ScalarNode) -> str | int | float | bool | None:
        text: str = node.value
        if node.tag == f"{_TAG}str" and (node.style is not None or not _TIME_OF_DAY.fullmatch(text)):
            return text
        if node.tag == f"{_TAG}null":
            return None
        if node.tag == f"{_TAG}bool" and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        if (trap := _trap(node.tag.removeprefix(_TAG), text)) is not None:
            self.report(_place(node.start_mark), *trap)
            return text
        if node.tag == f"{_TAG}int":
            return int(text.replace("_", ""), 0)
        assert node.tag == f"{_TAG}float", f"a tag that _trap let through: {node.tag}"
        return _float(text)


def _float(text: str) -> float:
    plain = text.replace("_", "").lower()
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


def _trap(tag: str, text: str) -> tuple[str, str] | None:
    """Why a scalar would not be read as it was meant, and the remedy; None when it is a plain number."""
    quoted = f'Put it in quotes: "{text}".'
    if tag == "bool":
        truth = "true" if text.lower() in {"yes", "on"} else "false"
        return (
            f"YAML reads `{text}` as {truth}, not as a word.",
            f'Write {truth} if that is meant, or put the word in quotes: "{text}".',
        )
    if _TIME_OF_DAY.fullmatch(text):
        return f"YAML reads an unquoted time such as `{text}` as a number of seconds or minutes.", quoted
    match tag:
        case "int" if ":" in text:
            return f"YAML reads `{text}` as a number in base 60.", quoted
        case "int" if text.startswith("+"):
            return f"YAML reads `{text}` as a number and drops the plus sign.", quoted
        case "int" if re.match(r"-?0[0-9_]", text):
            return f"YAML reads `{text}` as an octal number.", quoted
        case "float" if ":" in text:
            return f"YAML reads `{text}` as a number in base 60.", quoted
        case "int" | "float":
            return None
        case "timestamp":
            return f"YAML reads `{text}` as a date.", quoted
        case _:
            return (
                f"The tag or sign of `{text}` has no meaning here.",
                f"Remove it, or quote the text: {text!r}.",
            )
