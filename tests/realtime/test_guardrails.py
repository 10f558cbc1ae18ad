"""Guardrails by themselves: how they are made, and what they may give."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sipagent.errors import UserError
from sipagent.realtime import (
    GuardrailFunctionOutput,
    InputGuardrail,
    OutputGuardrail,
    RealtimeAgent,
    RunContextWrapper,
    input_guardrail,
    output_guardrail,
)

AGENT = RealtimeAgent[str](name="front-desk")
CONTEXT = RunContextWrapper("Ann")


@output_guardrail
async def no_prices(
    context: RunContextWrapper[Any], agent: RealtimeAgent[Any], output: str
) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(
        output_info=(context.context, agent.name), tripwire_triggered="price" in output
    )


@input_guardrail(name="no swearing")
def no_curses(
    context: RunContextWrapper[Any], agent: RealtimeAgent[Any], said: str
) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(
        output_info=(context.context, agent.name, threading.get_ident()), tripwire_triggered="damn" in said
    )


async def test_an_output_guardrail_is_made_of_a_function() -> None:
    assert isinstance(no_prices, OutputGuardrail)
    assert no_prices.get_name() == "no_prices"
    result = await no_prices.run(CONTEXT, AGENT, "The price is 5.")
    assert result.guardrail is no_prices
    assert (result.agent, result.agent_output) == (AGENT, "The price is 5.")
    assert result.output == GuardrailFunctionOutput(
        output_info=("Ann", "front-desk"), tripwire_triggered=True
    )
    assert not (await no_prices.run(CONTEXT, AGENT, "Hello")).output.tripwire_triggered


async def test_an_input_guardrail_that_blocks_does_so_in_a_thread() -> None:
    assert isinstance(no_curses, InputGuardrail)
    assert no_curses.get_name() == "no swearing"
    result = await no_curses.run(AGENT, "damn it", CONTEXT)
    assert result.guardrail is no_curses
    assert result.output.tripwire_triggered
    assert result.output.output_info[:2] == ("Ann", "front-desk")
    assert result.output.output_info[2] != threading.get_ident()


@pytest.mark.parametrize("decorate", [input_guardrail, output_guardrail])
def test_both_decorators_work_with_and_without_parentheses(decorate: Any) -> None:
    def look(context: Any, agent: Any, words: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    assert decorate(look).get_name() == "look"
    assert decorate()(look).get_name() == "look"
    assert decorate(name="other")(look).get_name() == "other"


@pytest.mark.parametrize("kind", [InputGuardrail, OutputGuardrail])
def test_a_guardrail_needs_a_function(kind: Any) -> None:
    with pytest.raises(UserError, match="needs a function"):
        kind(guardrail_function="no")


async def test_a_guardrail_without_a_verdict_is_a_mistake() -> None:
    def nothing(context: Any, agent: Any, words: str) -> Any:
        return None

    with pytest.raises(TypeError, match="NoneType"):
        await OutputGuardrail[Any](guardrail_function=nothing).run(CONTEXT, AGENT, "")
    with pytest.raises(TypeError, match="NoneType"):
        await InputGuardrail[Any](guardrail_function=nothing).run(AGENT, "", CONTEXT)
