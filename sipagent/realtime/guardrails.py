"""Guardrails of an agent: functions that look at what the caller said, or at what the agent says.

An output guardrail sees the words of a response while they are made and once more at their end; an input
guardrail sees each transcript of the caller. The server speaks and answers by itself, so neither can hold a
word back: one that trips has the response cut off. One that raises is logged, and the talk goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, overload

from sipagent.errors import UserError
from sipagent.realtime.run_context import RunContextWrapper, TContext
from sipagent.realtime.user_code import call_user_code, name_of


@dataclass(slots=True)
class GuardrailFunctionOutput:
    """The verdict of a guardrail."""

    output_info: Any
    """Anything of the guardrail's own; the event that tells of a trip carries it."""
    tripwire_triggered: bool
    """True: this must not go on."""


GuardrailFunction = Callable[
    [RunContextWrapper[Any], Any, Any], GuardrailFunctionOutput | Awaitable[GuardrailFunctionOutput]
]
"""Given the context, the agent, and the words as a str. A plain function runs in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGuardrailResult:
    """What an input guardrail found."""

    guardrail: InputGuardrail[Any]
    output: GuardrailFunctionOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputGuardrailResult:
    """What an output guardrail found in ``agent_output``, the words of ``agent`` so far."""

    guardrail: OutputGuardrail[Any]
    agent_output: Any
    agent: Any
    output: GuardrailFunctionOutput


@dataclass(slots=True, eq=False)
class InputGuardrail(Generic[TContext]):
    """Looks at what the caller said. Raises `UserError` unless it is given a function."""

    guardrail_function: GuardrailFunction
    name: str | None = None

    def __post_init__(self) -> None:
        _require_callable(self.guardrail_function)

    def get_name(self) -> str:
        """The name given, or that of the function."""
        return self.name or name_of(self.guardrail_function)

    async def run(self, agent: Any, input: str, context: RunContextWrapper[TContext]) -> InputGuardrailResult:
        """Ask the guardrail. Raises what it raises, and `TypeError` when it gives no verdict. Cancel-safe."""
        verdict = _verdict(await call_user_code(self.guardrail_function, context, agent, input))
        return InputGuardrailResult(guardrail=self, output=verdict)


@dataclass(slots=True, eq=False)
class OutputGuardrail(Generic[TContext]):
    """Looks at what the agent says. Raises `UserError` unless it is given a function."""

    guardrail_function: GuardrailFunction
    name: str | None = None

    def __post_init__(self) -> None:
        _require_callable(self.guardrail_function)

    def get_name(self) -> str:
        """The name given, or that of the function."""
        return self.name or name_of(self.guardrail_function)

    async def run(
        self, context: RunContextWrapper[TContext], agent: Any, agent_output: Any
    ) -> OutputGuardrailResult:
        """Ask the guardrail. Raises what it raises, and `TypeError` when it gives no verdict. Cancel-safe."""
        verdict = _verdict(await call_user_code(self.guardrail_function, context, agent, agent_output))
        return OutputGuardrailResult(guardrail=self, agent_output=agent_output, agent=agent, output=verdict)


@overload
def input_guardrail(func: GuardrailFunction) -> InputGuardrail[Any]: ...


@overload
def input_guardrail(*, name: str | None = None) -> Callable[[GuardrailFunction], InputGuardrail[Any]]: ...


def input_guardrail(
    func: GuardrailFunction | None = None, *, name: str | None = None
) -> InputGuardrail[Any] | Callable[[GuardrailFunction], InputGuardrail[Any]]:
    """Make an input guardrail of a function, with or without parentheses.

    Raises `UserError` for anything but a function.
    """

    def make(function: GuardrailFunction) -> InputGuardrail[Any]:
        return InputGuardrail(guardrail_function=function, name=name)

    return make if func is None else make(func)


@overload
def output_guardrail(func: GuardrailFunction) -> OutputGuardrail[Any]: ...


@overload
def output_guardrail(*, name: str | None = None) -> Callable[[GuardrailFunction], OutputGuardrail[Any]]: ...


def output_guardrail(
    func: GuardrailFunction | None = None, *, name: str | None = None
) -> OutputGuardrail[Any] | Callable[[GuardrailFunction], OutputGuardrail[Any]]:
    """Make an output guardrail of a function, with or without parentheses.

    Raises `UserError` for anything but a function.
    """

    def make(function: GuardrailFunction) -> OutputGuardrail[Any]:
        return OutputGuardrail(guardrail_function=function, name=name)

    return make if func is None else make(func)


def check_guardrails(given: Any, kind: type[Any]) -> None:
    """Raises `UserError` unless ``given`` is a list or tuple of ``kind``, or None."""
    if given is not None and not isinstance(given, list | tuple):
        raise UserError(f"guardrails are a list of {kind.__name__}, not {given!r}")
    for each in given or ():
        if not isinstance(each, kind):
            raise UserError(f"{each!r} is no {kind.__name__}; make one of it with its decorator")


def _verdict(given: Any) -> GuardrailFunctionOutput:
    if not isinstance(given, GuardrailFunctionOutput):
        raise TypeError(f"a guardrail gives a GuardrailFunctionOutput, not {type(given).__name__}")
    return given


def _require_callable(function: Any) -> None:
    if not callable(function):
        raise UserError(f"a guardrail needs a function, not {function!r}")
