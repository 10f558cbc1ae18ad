"""Guardrails as an operator writes them down: forbidden phrases and patterns, moderation, and functions.

They look at what the agent says, or at what the caller said. None can hold a word back: one that trips has
the response cut off (see `sipagent.realtime.guardrails`), and may have the agent say fixed words instead. One
that cannot look, because a service is down, lets the talk go on and says so in the log.
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import openai

from sipagent.calls.context import CallContext
from sipagent.calls.patterns import bounded_pattern, windows
from sipagent.calls.preparation import spoken
from sipagent.calls.template import Template
from sipagent.errors import SipAgentError, UserError
from sipagent.realtime import GuardrailFunctionOutput, InputGuardrail, OutputGuardrail, RunContextWrapper
from sipagent.realtime.user_code import call_user_code, name_of

logger = logging.getLogger(__name__)

Side = Literal["agent", "caller"]
LONGEST_LOOKED_AT: Final = 4_000
"""Characters: of a longer text, the end is looked at. Earlier words were looked at when they were new."""
MODERATION_TIMEOUT_S: Final = 3.0
"""Later, what was said has been heard."""
DEFAULT_MODERATION_MODEL: Final = "omni-moderation-latest"
CATEGORIES: Final = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence",
    "violence/graphic",
)  # fmt: skip
"""Of the moderation endpoint (API reference, "Moderations")."""
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """Trips on whole words, in any case. Raises `UserError` when there is nothing to look for."""

    phrases: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.phrases or not all(_WORDS.search(phrase) for phrase in self.phrases):
            raise UserError("a guardrail needs phrases to look for, each with a letter or digit in it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Trips on regular expressions, which match upper and lower case alike. Raises `UserError` for what is
    none, and for what may take for ever (see `patterns`)."""

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.patterns:
            raise UserError("a guardrail needs patterns to look for")
        for pattern in self.patterns:
            bounded_pattern(pattern, re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moderation:
    """Trips on what OpenAI's moderation endpoint flags. Raises `UserError` for categories that it has not."""

    categories: tuple[str, ...] = ()
    """Which flags count; empty for all."""
    model: str = DEFAULT_MODERATION_MODEL

    def __post_init__(self) -> None:
        for category in self.categories:
            if category not in CATEGORIES:
                raise UserError(f"{category!r} is no category; use some of {', '.join(CATEGORIES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCheck:
    """Trips when a function says so.

    It is called as guardrails of the Agents SDK are, with the context, the agent and the words, and gives a
    bool, a reason as a str (empty: let it pass), or a `GuardrailFunctionOutput`.
    """

    function: Callable[..., Any]


Check = Phrases | Patterns | Moderation | PythonCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailSpec:
    """One guardrail of an agent."""

    name: str
    """In events, in records, and for the model, which learns that this one tripped."""
    check: Check
    on: Side = "agent"
    say: Template | None = None
    """Spoken word for word after a trip; None leaves it to the agent to find other words."""


Moderate = Callable[[str, str], Awaitable[Mapping[str, bool]]]
"""Given a model and a text, which categories are flagged. Raises `SipAgentError` when it cannot tell."""


class ModerationFailedError(SipAgentError):
    """The moderation endpoint did not answer, or refused."""


def openai_moderation(client: openai.AsyncOpenAI) -> Moderate:
    """Asks the moderation endpoint through ``client``, once and within `MODERATION_TIMEOUT_S`."""
    quick = client.with_options(timeout=MODERATION_TIMEOUT_S, max_retries=0)

    async def moderate(model: str, text: str) -> Mapping[str, bool]:
        try:
            async with asyncio.timeout(MODERATION_TIMEOUT_S):
                answer = await quick.moderations.create(model=model, input=text)
        except (openai.OpenAIError, TimeoutError) as error:
            raise ModerationFailedError(f"moderation failed: {type(error).__name__}") from error
        flagged: dict[str, bool] = {}
        for result in answer.results:
            for category, flag in result.categories.model_dump(by_alias=True).items():
                flagged[category] = flagged.get(category, False) or bool(flag)
        return flagged

    return moderate


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrails:
    """What `make_guardrails` makes, for `RealtimeAgent`."""

    output: list[OutputGuardrail[Any]] = field(default_factory=list)
    input: list[InputGuardrail[Any]] = field(default_factory=list)


def make_guardrails(specs: Sequence[GuardrailSpec], *, moderate: Moderate | None = None) -> Guardrails:
    """The guardrails of one agent. Raises `UserError` for a moderation without ``moderate``, and for two of
    one name."""
    made = Guardrails()
    own_words = [spec.say for spec in specs if spec.say is not None]
    _check_names(specs)
    for spec in specs:
        look = _Look(spec, _finder(spec.check, moderate), own_words)
        if spec.on == "agent":
            made.output.append(OutputGuardrail(guardrail_function=look, name=spec.name))
        else:
            made.input.append(InputGuardrail(guardrail_function=look, name=spec.name))
    return made


class _Look:
    """The function of one guardrail."""

    def __init__(self, spec: GuardrailSpec, find: Find, own_words: Sequence[Template]) -> None:
        self._spec = spec
        self._find = find
        self._own_words = own_words

    async def __call__(
        self, context: RunContextWrapper[Any], agent: Any, words: Any
    ) -> GuardrailFunctionOutput:
        text = str(words)[-LONGEST_LOOKED_AT:]
        call = context.context if isinstance(context.context, CallContext) else None
        if self._spec.on == "agent" and call is not None and self._is_ours(text, call):
            # What a guardrail has the agent say may name what it is about, and must not be cut off in turn.
            found = ""
        else:
            found = await self._find(context, agent, text)
        if found and call is not None:
            await self._tripped(call, found)
        return GuardrailFunctionOutput(output_info=found or None, tripwire_triggered=bool(found))

    def _is_ours(self, text: str, call: CallContext) -> bool:
        said = _normal(text)
        return any(said and _normal(spoken(words, call)).startswith(said) for words in self._own_words)

    async def _tripped(self, call: CallContext, found: str) -> None:
        spec = self._spec
        call.controls.note("guardrail_tripped", guardrail=spec.name, on=spec.on, found=found)
        if spec.say is None or not call.tools.claim_words():
            return
        if spec.on == "caller" and not await call.tools.answer_begun():
            # Words that come before the answer would be taken for the answer, and cut off.
            logger.warning("What guardrail %s has to say was left to the agent: no answer began", spec.name)
            return
        try:
            # It waits for the response that is about to be cut off, and comes before what follows that.
            await call.controls.speak(spoken(spec.say, call))
        except SipAgentError as error:
            logger.warning("What guardrail %s says was not said: %s", spec.name, type(error).__name__)


def _check_names(specs: Sequence[GuardrailSpec]) -> None:
    names = [spec.name for spec in specs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two guardrails are named {twice!r}; give one of them another name")


# What there is to find ------------------------------------------------------------------------------

Find = Callable[[RunContextWrapper[Any], Any, str], Awaitable[str]]
"""What was found in a text, in a word or two; empty when nothing was."""


def _finder(check: Check, moderate: Moderate | None) -> Find:
    match check:
        case Phrases(phrases=phrases):
            return _phrase_finder(phrases)
        case Patterns(patterns=patterns):
            return _pattern_finder(patterns)
        case Moderation():
            if moderate is None:
                raise UserError("moderation needs a client of the OpenAI API")
            return _moderation_finder(check, moderate)
        case PythonCheck(function=function):
            return _python_finder(function)


def _phrase_finder(phrases: Sequence[str]) -> Find:
    wanted = [(phrase, f" {_normal(phrase)} ") for phrase in phrases]

    async def find(context: RunContextWrapper[Any], agent: Any, text: str) -> str:
        words = f" {_normal(text)} "
        return next((phrase for phrase, normal in wanted if normal in words), "")

    return find


def _normal(text: str) -> str:
    """The words of ``text`` as they compare: case folded, compatible letters alike, one space between."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))


def _pattern_finder(patterns: Sequence[str]) -> Find:
    compiled = [(pattern, bounded_pattern(pattern, re.IGNORECASE)) for pattern in patterns]

    async def find(context: RunContextWrapper[Any], agent: Any, text: str) -> str:
        for window in windows(text):
            for pattern, each in compiled:
                if each.search(window) is not None:
                    return pattern
                # Other calls go on between any two searches.
                await asyncio.sleep(0)
        return ""

    return find


def _moderation_finder(check: Moderation, moderate: Moderate) -> Find:
    async def find(context: RunContextWrapper[Any], agent: Any, text: str) -> str:
        flagged = await moderate(check.model, text)
        wanted = check.categories or tuple(flagged)
        return ", ".join(category for category in wanted if flagged.get(category))

    return find


def _python_finder(function: Callable[..., Any]) -> Find:
    async def find(context: RunContextWrapper[Any], agent: Any, text: str) -> str:
        verdict = await call_user_code(function, context, agent, text)
        match verdict:
            case bool():
                return name_of(function) if verdict else ""
            case str():
                return verdict
            case GuardrailFunctionOutput(output_info=info, tripwire_triggered=tripped):
                return (str(info) if info else name_of(function)) if tripped else ""
            case _:
                raise TypeError(f"a guardrail gives a bool, a str or a verdict, not {type(verdict).__name__}")

    return find
