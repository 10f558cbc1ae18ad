"""Reads YAML while remembering where everything stood, and collects every mistake before it complains.

An `Entry` is one node of the file. Its methods return a usable value even for a mistake, which they note; so
one run finds all of them. `ScriptReader.finish` raises what was noted.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from sipagent.errors import Problem, ScriptError


@dataclass(slots=True)
class _Findings:
    """The mistakes of one file so far."""

    name: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, mark: yaml.Mark | None, message: str, remedy: str) -> None:
        problem = Problem(
            file=self.name,
            line=1 if mark is None else mark.line + 1,
            column=1 if mark is None else mark.column + 1,
            message=message,
            remedy=remedy,
        )
        if problem not in self.problems:
            self.problems.append(problem)


class Entry:
    """One node of the file."""

    def __init__(self, node: yaml.Node, findings: _Findings) -> None:
        self._node = node
        self._findings = findings

    @property
    def is_text(self) -> bool:
        """Whether this is a plain value rather than a list or a mapping."""
        return isinstance(self._node, yaml.ScalarNode)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    def complain(self, message: str, remedy: str) -> None:
        """Note a mistake at this place."""
        self._findings.add(self._node.start_mark, message, remedy)

    def mapping(self, known: Sequence[str], *, again: bool = False) -> Mapping[str, Entry]:
        """The entries by key; unknown and repeated keys are mistakes, unless they were noted ``again``."""
        if not isinstance(self._node, yaml.MappingNode):
            if not again:
                self.complain(
                    f"Keys and values are expected here, not {self._kind()}.",
                    f"Known keys: {', '.join(known)}.",
                )
            return {}
        found: dict[str, Entry] = {}
        for key_node, value_node in self._node.value:
            key = str(key_node.value)
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                remedy = f"Did you mean '{close[0]}'?" if close else f"Known keys: {', '.join(known)}."
                self._findings.add(key_node.start_mark, f"Unknown key '{key}'.", remedy)
            elif key in found:
                self._findings.add(key_node.start_mark, f"The key '{key}' is here twice.", "Remove one.")
            else:
                found[key] = Entry(value_node, self._findings)
        return found

    def named(self) -> list[tuple[str, Entry]]:
        """The entries of a mapping whose keys are the writer's own; a repeated key is a mistake."""
        if not isinstance(self._node, yaml.MappingNode):
            self.complain(f"Names and values are expected here, not {self._kind()}.", "Write 'NAME: ...'.")
            return []
        return list(self.mapping([str(key.value) for key, _ in self._node.value]).items())

    def items(self) -> list[Entry]:
        """The entries of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.complain(f"A list is expected here, not {self._kind()}.", "Begin each entry with '- '.")
            return []
        return [Entry(node, self._findings) for node in self._node.value]

    def text(self) -> str:
        """A text that is not empty."""
        if not isinstance(self._node, yaml.ScalarNode) or self._node.tag.endswith(":null"):
            self.complain(f"A text is expected here, not {self._kind()}.", "Write it in quotes.")
            return ""
        if not self._node.value.strip():
            self.complain("The text is empty.", "Write something, or leave the key out.")
        return str(self._node.value).strip()

    def number(self, lowest: float, highest: float) -> float:
        """A number in a range."""
        value: float | None = None
        if isinstance(self._node, yaml.ScalarNode) and self._node.tag.endswith((":int", ":float")):
            try:
                value = float(self._node.value.replace("_", ""))
            except ValueError:
                value = None
        if value is None or not lowest <= value <= highest:
            seen = self._node.value if isinstance(self._node, yaml.ScalarNode) else self._kind()
            self.complain(f"{seen!r} is no number that fits.", f"Give one from {lowest:g} to {highest:g}.")
            return lowest
        return value

    def boolean(self) -> bool:
        """``true`` or ``false``."""
        if not isinstance(self._node, yaml.ScalarNode) or not self._node.tag.endswith(":bool"):
            self.complain(f"true or false is expected here, not {self._kind()}.", "Write true or false.")
            return False
        return self._node.value.lower() in ("true", "yes", "on")

    def choice(self, options: Sequence[str]) -> str:
        """One of ``options``."""
        value = self.text()
        if value and value not in options:
            self.complain(f"'{value}' is not known here.", f"Choose one of: {', '.join(options)}.")
        return value

    def matching(self, pattern: str, description: str) -> str:
        """A text that matches ``pattern`` as a whole."""
        value = self.text()
        if value and re.fullmatch(pattern, value) is None:
            self.complain(f"'{value}' is not made of {description}.", "Write it in quotes, without spaces.")
        return value

    def pattern(self) -> re.Pattern[str]:
        """A regular expression; letters match in either case."""
        value = self.text()
        try:
            return re.compile(value, re.IGNORECASE)
        except re.error as error:
            self.complain(f"This is no regular expression: {error}.", "Escape special characters with \\.")
            return re.compile("")

    def json_object(self) -> Mapping[str, Any]:
        """Keys and values of any depth that JSON can express."""
        if not isinstance(self._node, yaml.MappingNode):
            self.mapping(("any",))
            return {}
        try:
            value = yaml.SafeLoader("").construct_document(self._node)
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, yaml.YAMLError) as error:
            self.complain(f"JSON cannot express this: {error}.", "Write dates and the like in quotes.")
            return {}
        assert isinstance(value, dict), "a mapping node makes a dict"
        return value

    def _kind(self) -> str:
        match self._node:
            case yaml.MappingNode():
                return "keys and values"
            case yaml.SequenceNode():
                return "a list"
            case yaml.ScalarNode() if self._node.tag.endswith(":null"):
                return "nothing"
            case _:
                return f"'{self._node.value}'"


class ScriptReader:
    """One file.

    Raises:
        ScriptError: it is no YAML at all, or is empty.
    """

    def __init__(self, text: str, *, name: str) -> None:
        self._findings = _Findings(name)
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            self._findings.add(
                error.problem_mark, f"This is no YAML: {error.problem}.", "Check indentation and quotes."
            )
            raise ScriptError(*self._findings.problems) from error
        except yaml.YAMLError as error:
            self._findings.add(None, f"This is no YAML: {error}.", "Save the file as UTF-8 text.")
            raise ScriptError(*self._findings.problems) from error
        if node is None:
            self._findings.add(None, "The script is empty.", "Give it at least a 'greeting'.")
            self.finish()
        assert node is not None, "an empty script has been refused"
        self.root = Entry(node, self._findings)
        """The whole file."""

    def finish(self) -> None:
        """Raises `ScriptError` with every mistake noted, in file order; returns if there are none."""
        if self._findings.problems:
            raise ScriptError(*sorted(self._findings.problems, key=lambda each: (each.line, each.column)))
