"""Guardrails as operators write them down."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import openai
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.guardrails import (
    Check,
    GuardrailSpec,
    Moderation,
    ModerationFailedError,
    Patterns,
    Phrases,
    PythonCheck,
    make_guardrails,
    openai_moderation,
)
from sipagent.calls.template import Template
from sipagent.errors import ConnectionLostError, UserError
from sipagent.realtime import (
    GuardrailFunctionOutput,
    RealtimeAgent,
    RunContextWrapper,
)
from tests.calls.controls import Controls, call
from tests.calls.tools.using import caller_silent, caller_speaks, response_started
from tests.support.virtual_time import run_virtually
from tests.support.web import serving

AGENT: RealtimeAgent[Any] = RealtimeAgent(name="desk")


async def trips(check: Check, words: str, *, controls: Controls | None = None, **spec: Any) -> bool:
    made = make_guardrails([GuardrailSpec(name="rule", check=check, **spec)])
    context = RunContextWrapper(call(controls or Controls()))
    for output in made.output:
        return (await output.run(context, AGENT, words)).output.tripwire_triggered
    (given,) = made.input
    return (await given.run(AGENT, words, context)).output.tripwire_triggered


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("We give you a full refund today.", True),
        ("FULL REFUND!", True),
        ("full, refund", True),
        ("a full\nrefund", True),
        ("ｆｕｌｌ refund", True),
        ("fullrefund", False),
        ("full refunds", False),
        ("a wonderful refund", False),
        ("refund full", False),
        ("", False),
    ],
)
async def test_phrases_are_whole_words_in_any_case(words: str, expected: bool) -> None:
    assert await trips(Phrases(phrases=("lawsuit", "full refund")), words) is expected


async def test_a_phrase_in_another_script_is_found() -> None:
    assert await trips(Phrases(phrases=("Straße",)), "In der STRASSE dort")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("my card is 4111 1111 1111 1111", True),
        ("my number is 4111", False),
        ("x" * 3000 + " 4111-1111-1111-1111", True),
    ],
)
async def test_patterns_are_found_wherever_they_stand(words: str, expected: bool) -> None:
    assert await trips(Patterns(patterns=("secret", r"(?:\d[ -]?){13,16}")), words) is expected


@given(st.text(max_size=500))
def test_any_words_can_be_looked_at(words: str) -> None:
    run_virtually(trips(Phrases(phrases=("a",)), words))
    run_virtually(trips(Patterns(patterns=("a.*b",)), words))


async def test_functions_say_so_in_their_own_way() -> None:
    def plain(context: Any, agent: Any, words: str) -> bool:
        return "gold" in words

    async def reason(context: Any, agent: Any, words: str) -> str:
        return "no gold" if "gold" in words else ""

    def verdict(context: Any, agent: Any, words: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="gold", tripwire_triggered="gold" in words)

    for function in (plain, reason, verdict):
        assert await trips(PythonCheck(function=function), "gold")
        assert not await trips(PythonCheck(function=function), "tea")
    with pytest.raises(TypeError):
        await trips(PythonCheck(function=lambda context, agent, words: 7), "x")


# What follows a trip --------------------------------------------------------------------------------


async def test_a_trip_is_noted_and_something_fixed_is_said() -> None:
    controls = Controls()
    say = Template("I may not talk about that, {{caller | dear caller}}.")
    assert await trips(Phrases(phrases=("refund",)), "A refund!", controls=controls, say=say)
    assert controls.notes == [("guardrail_tripped", {"guardrail": "rule", "on": "agent", "found": "refund"})]
    assert controls.asked == ["speak: I may not talk about that, dear caller."]


async def test_without_words_the_agent_finds_its_own() -> None:
    controls = Controls()
    assert await trips(Phrases(phrases=("refund",)), "A refund!", controls=controls)
    assert controls.asked == []


async def test_the_fixed_words_are_not_cut_off_by_what_they_are_about() -> None:
    controls = Controls()
    say = Template("I may not promise a refund, {{caller | dear caller}}.")
    check = Phrases(phrases=("refund",))
    for said in ("I may not promise a refund", "I may not promise a refund, dear caller."):
        assert not await trips(check, said, controls=controls, say=say)
    assert await trips(check, "I may not promise a refund, but here it is", controls=controls, say=say)


async def test_two_that_trip_over_one_answer_speak_once() -> None:
    controls = Controls()
    specs = [
        GuardrailSpec(name=name, check=Phrases(phrases=("refund",)), say=Template(f"Not {name}."))
        for name in ("one", "two")
    ]
    context = RunContextWrapper(call(controls))
    for guardrail in make_guardrails(specs).output:
        await guardrail.run(context, AGENT, "a refund")
    assert controls.asked == ["speak: Not one."]
    context.context.tools.observe(response_started(1))
    await make_guardrails(specs).output[1].run(context, AGENT, "a refund")
    assert controls.asked == ["speak: Not one.", "speak: Not two."]


def test_words_about_the_caller_wait_for_the_answer_that_they_replace() -> None:
    async def run() -> None:
        controls = Controls()
        context = RunContextWrapper(call(controls))
        spec = GuardrailSpec(name="rule", check=Phrases(phrases=("bomb",)), on="caller", say=Template("No."))
        (guardrail,) = make_guardrails([spec]).input
        context.context.tools.observe(caller_speaks())
        context.context.tools.observe(caller_silent())
        looking = asyncio.create_task(guardrail.run(AGENT, "a bomb", context))
        await asyncio.sleep(0.5)
        assert controls.asked == []
        context.context.tools.observe(response_started(1))
        assert (await looking).output.tripwire_triggered
        assert controls.asked == ["speak: No."]
        # Where no answer begins by itself, the agent is told and finds words of its own.
        context.context.tools.observe(caller_silent())
        assert (await guardrail.run(AGENT, "a bomb", context)).output.tripwire_triggered
        assert controls.asked == ["speak: No."]

    run_virtually(run())


async def test_words_that_cannot_be_said_are_no_failure_of_the_guardrail() -> None:
    class Gone(Controls):
        async def speak(self, words: str) -> None:
            raise ConnectionLostError("gone")

    assert await trips(Phrases(phrases=("x",)), "x", controls=Gone(), say=Template("No."))


async def test_a_guardrail_looks_outside_of_a_call_too() -> None:
    (guardrail,) = make_guardrails([GuardrailSpec(name="rule", check=Phrases(phrases=("x",)))]).output
    assert (await guardrail.run(RunContextWrapper(None), AGENT, "x")).output.tripwire_triggered


# Moderation -----------------------------------------------------------------------------------------


async def test_moderation_counts_the_categories_that_are_wanted() -> None:
    async def moderate(model: str, text: str) -> Mapping[str, bool]:
        return {"violence": "hit" in text, "hate": "hate" in text}

    for categories, words, expected in (
        ((), "hit", True),
        ((), "hate", True),
        (("violence",), "hate", False),
        (("violence",), "hit", True),
        ((), "tea", False),
    ):
        spec = GuardrailSpec(name="rule", check=Moderation(categories=categories))
        (guardrail,) = make_guardrails([spec], moderate=moderate).output
        run = await guardrail.run(RunContextWrapper(None), AGENT, words)
        assert run.output.tripwire_triggered is expected


async def test_the_moderation_endpoint_is_asked_through_the_official_client() -> None:
    asked: list[Any] = []
    categories = {"violence": True, "self-harm": False, "illicit": None}
    status = 200

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, await request.json()))
        result = {"flagged": True, "categories": categories, "category_scores": {}}
        result["category_applied_input_types"] = {}
        return web.json_response({"id": "x", "model": "m", "results": [result]}, status=status)

    async with serving(answer) as base, openai.AsyncOpenAI(api_key="sk-test", base_url=base) as client:
        moderate = openai_moderation(client)
        flagged = await moderate("omni-moderation-latest", "I hit you")
        assert flagged["violence"] is True
        assert flagged["self-harm"] is False
        assert asked == [("/moderations", {"model": "omni-moderation-latest", "input": "I hit you"})]
        status = 500
        with pytest.raises(ModerationFailedError):
            await moderate("omni-moderation-latest", "I hit you")
        assert len(asked) == 2


# What is refused ------------------------------------------------------------------------------------


def test_guardrails_that_could_not_work_are_refused() -> None:
    with pytest.raises(UserError):
        Phrases(phrases=())
    with pytest.raises(UserError):
        Phrases(phrases=("...",))
    with pytest.raises(UserError):
        Patterns(patterns=())
    for pattern in ("(", "(a+)+b"):
        with pytest.raises(UserError):
            Patterns(patterns=(pattern,))
    with pytest.raises(UserError, match="harassment"):
        Moderation(categories=("rudeness",))
    with pytest.raises(UserError, match="client"):
        make_guardrails([GuardrailSpec(name="rule", check=Moderation())])
    twice = GuardrailSpec(name="rule", check=Phrases(phrases=("x",)))
    with pytest.raises(UserError, match="two guardrails"):
        make_guardrails([twice, twice])
