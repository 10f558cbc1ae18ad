"""Turns the guardrails of the file into functions that look at what is said."""

from __future__ import annotations

from collections.abc import Mapping

from sipagent.calls.guardrails import (
    CATEGORIES,
    Check,
    Guardrails,
    GuardrailSpec,
    Moderate,
    Moderation,
    ModerationFailedError,
    Patterns,
    Phrases,
    PythonCheck,
    make_guardrails,
)
from sipagent.calls.variables import VariableSource
from sipagent.config.compiling import Compiling
from sipagent.config.effective import Effective
from sipagent.config.schema import GuardrailEntry, ModerationGuard, PatternsGuard, PhrasesGuard, PythonGuard
from sipagent.config.source import KeyPath
from sipagent.config.tools import load_function
from sipagent.config.values import BadValueError, suggestion
from sipagent.errors import UserError


class GuardrailCompiler:
    """Compiles each guardrail of the file once, however many agents inherit it."""

    def __init__(self, compiling: Compiling, source: VariableSource, moderate: Moderate | None) -> None:
        self._compiling = compiling
        self._source = source
        self._moderate = _nobody_moderates if moderate is None else moderate
        self._made: dict[KeyPath, Guardrails] = {}

    def of_agent(self, effective: Effective) -> Guardrails:
        """The guardrails of one agent; reports those that cannot be."""
        path = effective.path("guardrails")
        if path not in self._made:
            self._made[path] = self._make(path, effective.keys("guardrails").guardrails)
        return self._made[path]

    def _make(self, path: KeyPath, entries: list[GuardrailEntry]) -> Guardrails:
        specs: list[GuardrailSpec] = []
        for index, entry in enumerate(entries):
            spec = self._spec((*path, index), index, entry)
            if spec is None:
                continue
            if any(earlier.name == spec.name for earlier in specs):
                self._compiling.report(
                    (*path, index, "name"),
                    f"Two guardrails are called `{spec.name}`: records could not tell them apart.",
                    "Give one of them another name.",
                )
                continue
            specs.append(spec)
        return make_guardrails(specs, moderate=self._moderate)

    def _spec(self, path: KeyPath, index: int, entry: GuardrailEntry) -> GuardrailSpec | None:
        check = self._check(path, entry)
        say = None if entry.say is None else self._compiling.words((*path, "say"), entry.say, self._source)
        if check is None or (entry.say is not None and say is None):
            return None
        name = entry.name or f"guardrail-{index + 1}"
        return GuardrailSpec(name=name, check=check, on=entry.listens_to, say=say)

    def _check(self, path: KeyPath, entry: GuardrailEntry) -> Check | None:
        try:
            match entry:
                case PhrasesGuard(phrases=phrases):
                    return Phrases(phrases=tuple(phrases))
                case PatternsGuard(patterns=patterns):
                    return Patterns(patterns=tuple(patterns))
                case ModerationGuard(moderation=keys):
                    return self._moderation((*path, "moderation", "categories"), keys.categories, keys.model)
                case PythonGuard(python=reference):
                    return PythonCheck(function=load_function(reference, folder=self._compiling.folder))
        except BadValueError as error:
            self._compiling.report((*path, "python"), error.message, error.remedy)
        except UserError as error:
            said = str(error)
            self._compiling.report(path, f"{said[:1].upper()}{said[1:]}.", "Write other words.")
        return None

    def _moderation(self, path: KeyPath, categories: list[str] | None, model: str) -> Moderation | None:
        wrong = [index for index, category in enumerate(categories or ()) if category not in CATEGORIES]
        for index in wrong:
            category = (categories or [])[index]
            self._compiling.report(
                (*path, index),
                f"`{category}` is no category of moderation.",
                suggestion(category, CATEGORIES),
            )
        return None if wrong else Moderation(categories=tuple(categories or ()), model=model)


async def _nobody_moderates(model: str, text: str) -> Mapping[str, bool]:
    """Where a configuration is only looked at, there is no client of the API."""
    raise ModerationFailedError("nobody was given to ask for moderation")
