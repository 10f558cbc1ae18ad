"""The texts of tools: with arguments, variables and secrets in them, each checked where it stands."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from sipagent.calls.template import Template, TemplateError
from sipagent.calls.tools.request_parts import BodyText
from sipagent.calls.tools.texts import ToolText
from sipagent.calls.variables import VariableSource, check_template
from sipagent.config.compiling import Compiling, missing_remedy, variable_places
from sipagent.config.schema import CollectDigitsEntry
from sipagent.config.secrets import REFERENCE
from sipagent.config.source import KeyPath
from sipagent.config.values import closest
from sipagent.errors import UserError

DIGITS = "digits"
"""``{{digits.NAME}}`` is what the caller typed for the tool of that name."""


class ToolTexts:
    """Reads texts of tools; ``source`` has what they may name besides their arguments."""

    def __init__(self, compiling: Compiling, source: VariableSource) -> None:
        self.compiling = compiling
        self._source = source
        typed = {f"{DIGITS}.{name}": "" for name in _digit_tools(compiling)}
        self._with_digits = replace(source, looked_up={**source.looked_up, **typed})

    def spoken(self, path: KeyPath, text: str | None) -> Template | None:
        """Words that are said as they stand."""
        return None if text is None else self.compiling.words(path, text, self._with_digits)

    def tool_text(
        self, path: KeyPath, text: str | None, arguments: AbstractSet[str] | None, *, spoken: bool = False
    ) -> ToolText | None:
        """The text at ``path``, or None after reporting what is wrong with it; secrets are put in.

        Which ``arguments`` there are may not be known yet (None).
        """
        if text is None:
            return None
        # A reference looks like an argument behind a dollar sign; blanks keep every offset where it is.
        blanked = REFERENCE.sub(lambda found: " " * len(found[0]), text)
        before = len(self.compiling.problems)
        try:
            parsed = ToolText(blanked)
        except TemplateError as error:
            self._report(path, text, error.offset, error.message, error.remedy)
            return None
        if arguments is not None:
            try:
                parsed.check_arguments(frozenset(arguments))
            except TemplateError as error:
                remedy = _argument_remedy(error, text, arguments)
                self._report(path, text, error.offset, error.message, remedy)
        for problem in check_template(parsed.variables, self._with_digits, spoken=spoken):
            name = next(each.name for each in parsed.variables.placeholders if each.offset == problem.offset)
            if self.compiling.broken.explains((), self._places(name)):
                continue
            remedy = missing_remedy(name, self._with_digits) or problem.remedy
            self._report(path, text, problem.offset, problem.message, remedy)
        if len(self.compiling.problems) > before:
            return None
        if blanked == text:
            return parsed
        return self._with_secrets(path, text, named=bool(parsed.arguments or parsed.variables.names))

    def sendables(
        self, path: KeyPath, mapping: dict[str, str], arguments: AbstractSet[str]
    ) -> dict[str, ToolText | str]:
        """Headers or query at ``path``; reports literal secrets among them."""
        resolved = self.compiling.sendables(path, mapping)
        made: dict[str, ToolText | str] = {}
        for name, text in mapping.items():
            parsed = self.tool_text((*path, name), text, arguments)
            # A secret without names beside it is sent as it is, whatever it holds.
            plain = parsed is None or not (parsed.arguments or parsed.variables.names)
            made[name] = resolved[name] if plain or parsed is None else parsed
        return made

    def body(self, path: KeyPath, value: Any, arguments: AbstractSet[str]) -> BodyText:
        """The JSON at ``path``, its texts read."""
        match value:
            case str():
                return self.tool_text(path, value, arguments) or ToolText("")
            case dict():
                return {key: self.body((*path, key), inner, arguments) for key, inner in value.items()}
            case list():
                return [self.body((*path, index), inner, arguments) for index, inner in enumerate(value)]
            case _:
                assert value is None or isinstance(value, int | float), "YAML has no other values"
                return value

    def refused(self, path: KeyPath, error: UserError) -> None:
        """What a tool said of itself that could not be made."""
        said = str(error).partition(": ")[2] if str(error).startswith("tool ") else str(error)
        message, _, remedy = said.partition("; ") if "; " in said else said.partition(": ")
        if not remedy:
            remedy = "`sipagent guide configuration` says what may stand here."
        self.compiling.report(path, _sentence(message), _sentence(remedy))

    def _with_secrets(self, path: KeyPath, text: str, *, named: bool) -> ToolText | None:
        resolved = self.compiling.secret(path, text)
        if resolved == text:
            return None  # it was reported why
        if named and any("{" in value for value in self.compiling.secrets.values):
            self.compiling.report(
                path,
                "A secret with braces cannot stand beside names.",
                "Put the secret into a header of its own.",
            )
            return None
        return ToolText(resolved)

    def _report(self, path: KeyPath, text: str, offset: int, message: str, remedy: str) -> None:
        self.compiling.report_inside(path, text, offset, message, remedy)

    def _places(self, name: str) -> tuple[KeyPath, ...]:
        """As `variable_places`; what the caller types is described by tools."""
        if name.partition(".")[0] != DIGITS:
            return variable_places(name)
        agents = (("agents", agent, "tools") for agent in self.compiling.names("agents"))
        return (("defaults", "tools"), *agents)


def _digit_tools(compiling: Compiling) -> list[str]:
    configuration = compiling.configuration
    return [
        entry.collect_digits.name
        for keys in (configuration.defaults, *configuration.agents.values())
        for entry in keys.tools
        if isinstance(entry, CollectDigitsEntry)
    ]


def _argument_remedy(error: TemplateError, text: str, arguments: AbstractSet[str]) -> str:
    name = text[error.offset :].partition("{")[2].partition("}")[0]
    if close := closest(name, sorted(arguments)):
        return f"Did you mean `{{{close}}}`?"
    return error.remedy


def _sentence(words: str) -> str:
    words = words.strip()
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."
