"""What any function tool may be given: words while it takes long, a question before it, and at most once.

`with_manners` wraps a tool, whatever it does. The order of things in one call of it: what was done before is
told, and not done again; the caller is asked; the work begins and is written into the ledger of the call; if
it takes long, the agent says so; how it ended is written down, and told as it is. Nothing is awaited between
looking into the ledger and writing there, so two calls at once cannot both begin.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sipagent.calls.context import CallContext, call_of
from sipagent.calls.tools.failures import Effect, ToolFailureError
from sipagent.calls.tools.ledger import Entry, state_after, work_key
from sipagent.calls.tools.texts import MissingArgumentError, ToolText
from sipagent.calls.variables import UNKNOWN
from sipagent.errors import ModelBehaviorError, SipAgentError, UserError
from sipagent.realtime import FunctionTool, RunContextWrapper, ToolContext
from sipagent.realtime.tools import default_tool_error_function, output_text

logger = logging.getLogger(__name__)

DEFAULT_PATIENCE_S = 2.0
RUNNING = (
    "This is being done already, and its outcome is not known yet. Do not ask for it again, and do not tell "
    "the caller that it is done."
)
UNCLEAR = (
    "Nobody knows whether this was done. It is not tried again. Tell the caller the truth: "
    "it has to be checked."
)
FULL = (
    "Nothing was done: too much was done in this call already. Tell the caller that it is not possible now."
)

_SENTENCES: dict[Effect, str] = {"unknown": UNCLEAR, "none": "It failed, and nothing was done."}

Invoke = Callable[[ToolContext[Any], str], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolManners:
    """How a tool behaves towards the caller. Raises `UserError` for a patience that is no time."""

    filler: ToolText | None = None
    """Spoken word for word, once, when the tool takes longer than `patience_s` and nobody speaks."""
    patience_s: float = DEFAULT_PATIENCE_S
    confirm: ToolText | None = None
    """What the caller is asked before the tool does anything; ``{argument}`` names what it would do."""
    side_effects: bool = False
    """Whether the tool is run at most once for the same arguments in one call."""

    def __post_init__(self) -> None:
        if not self.patience_s > 0:
            raise UserError(f"patience is some time, not {self.patience_s:g} s")


def with_manners(tool: FunctionTool, manners: ToolManners) -> FunctionTool:
    """``tool`` with ``manners``; it can then only be used in a telephone call, or a `Chat`.

    Its deadline counts for the work. Raises `TemplateError` for a text that names no argument of the tool.
    """
    arguments = frozenset(tool.params_json_schema.get("properties", {}))
    invoke: Invoke = tool.on_invoke_tool
    say_failure = tool.failure_error_function or default_tool_error_function
    for text in (manners.filler, manners.confirm):
        if text is not None:
            text.check_arguments(arguments)
    if manners.filler is not None:
        invoke = _filling(tool.name, invoke, manners.filler, manners.patience_s)
    if manners.side_effects:
        invoke = _once(tool.name, invoke)
    if manners.confirm is not None:
        invoke = _confirmed(tool.name, invoke, manners.confirm, look_first=manners.side_effects)

    def failure(context: RunContextWrapper[Any], error: Exception) -> str | Awaitable[str]:
        match error:
            case ToolFailureError():
                return str(error)
            case _ if manners.side_effects and _effect_of(error) == "unknown":
                return UNCLEAR
            case _:
                return say_failure(context, error)

    return dataclasses.replace(tool, on_invoke_tool=invoke, failure_error_function=failure)


# At most once ---------------------------------------------------------------------------------------


def _once(name: str, invoke: Invoke) -> Invoke:
    async def once(context: ToolContext[Any], arguments: str) -> Any:
        ledger = call_of(context).tools.ledger
        key = work_key(name, arguments)
        earlier = ledger.begin(key, context.tool_call_id)
        if earlier is not None:
            return _told_again(earlier, context.tool_call_id)
        effects = call_of(context).effects
        try:
            if effects is not None:
                await effects.begin(context.tool_call_id, key)
            outcome = await invoke(context, arguments)
        except Exception as error:
            effect = _effect_of(error)
            sentence = str(error) if isinstance(error, ToolFailureError) else _SENTENCES[effect]
            ledger.failed(key, effect, sentence)
            if effects is not None:
                await effects.end(context.tool_call_id, key, state=state_after(effect), outcome=sentence)
            raise
        except BaseException:
            # Cancelled: by its deadline, or because the call is over or another's. What was begun may have
            # had its effect. Its entry in the store stays without an end, which says the same.
            ledger.failed(key, "unknown", UNCLEAR)
            raise
        ledger.done(key, outcome)
        if effects is not None:
            await effects.end(context.tool_call_id, key, state="done", outcome=outcome)
        return outcome

    return once


def _effect_of(error: Exception) -> Effect:
    match error:
        case ToolFailureError(effect=effect):
            return effect
        case ModelBehaviorError():
            # Arguments that do not fit are found before the function is called.
            return "none"
        case _:
            return "unknown"


def _told_again(entry: Entry, tool_call_id: str) -> Any:
    """What a call is told whose work was begun before."""
    match entry.state:
        case "running":
            return RUNNING
        case "full":
            raise ToolFailureError(FULL, effect="none")
        case "failed" | "unclear":
            raise ToolFailureError(
                str(entry.outcome), effect="none" if entry.state == "failed" else "unknown"
            )
        case "done":
            if entry.tool_call_id == tool_call_id:
                return entry.outcome
            return (
                "This was done before in this call, and was not done again. "
                f"Its outcome was: {output_text(entry.outcome)}"
            )


# Confirmation ---------------------------------------------------------------------------------------


def _confirmed(name: str, invoke: Invoke, question: ToolText, *, look_first: bool) -> Invoke:
    async def confirmed(context: ToolContext[Any], arguments: str) -> Any:
        call = call_of(context)
        key = work_key(name, arguments)
        await call.tools.caught_up(context.tool_call_id)
        if not (look_first and call.tools.ledger.earlier(key, context.tool_call_id)):
            words = _words(question, call, arguments)
            match call.tools.questions.consider(name, key, context.tool_call_id):
                case "ask":
                    return (
                        f"Nothing has been done yet. Ask the caller: {json.dumps(words, ensure_ascii=False)} "
                        "Wait for the answer. Only if the caller agrees, use this tool again with the same "
                        "arguments."
                    )
                case "wait":
                    return (
                        "Nothing has been done: the caller has not answered yet. Ask: "
                        f"{json.dumps(words, ensure_ascii=False)} and wait for the answer."
                    )
                case "confirmed":
                    pass
        return await invoke(context, arguments)

    return confirmed


def _words(text: ToolText, call: CallContext, arguments_json: str) -> str:
    """Raises `ToolFailureError` for arguments with which nobody could be asked."""
    try:
        given = json.loads(arguments_json or "{}")
        if not isinstance(given, dict):
            raise ToolFailureError("Nothing was done: the arguments are no JSON object.", effect="none")
        return text.render(given, call.values, missing=UNKNOWN)
    except MissingArgumentError as error:
        raise ToolFailureError(f"Nothing was done: {error.name} is missing.", effect="none") from error
    except (ValueError, RecursionError) as error:
        raise ToolFailureError("Nothing was done: the arguments are no JSON.", effect="none") from error


# Fillers --------------------------------------------------------------------------------------------


def _filling(name: str, invoke: Invoke, filler: ToolText, patience_s: float) -> Invoke:
    async def filling(context: ToolContext[Any], arguments: str) -> Any:
        call = call_of(context)
        try:
            words = _words(filler, call, arguments)
        except ToolFailureError:
            # The tool says itself what is wrong with its arguments.
            return await invoke(context, arguments)
        async with _speaking_meanwhile(name, call, words, patience_s):
            return await invoke(context, arguments)

    return filling


@asynccontextmanager
async def _speaking_meanwhile(
    name: str, call: CallContext, words: str, patience_s: float
) -> AsyncIterator[None]:
    filler = asyncio.create_task(
        _fill(call, words, patience_s), name=f"call {call.call_id}: filler of {name}"
    )
    try:
        yield
    finally:
        filler.cancel()
        # Gathered, so that a failure of the filler is none of the tool.
        (outcome,) = await asyncio.gather(filler, return_exceptions=True)
        if isinstance(outcome, SipAgentError):
            logger.info("The filler of tool %s was not said: %s", name, type(outcome).__name__)
        elif isinstance(outcome, Exception):
            logger.warning("The filler of tool %s failed", name, exc_info=outcome)


async def _fill(call: CallContext, words: str, patience_s: float) -> None:
    """Say ``words`` at the end of ``patience_s`` without a word from anybody."""
    while True:
        await asyncio.sleep(patience_s)
        if call.controls.agent_is_busy:
            await call.controls.finish_speaking()
        elif not call.tools.caller_is_speaking:
            break
    await call.controls.speak(words)
