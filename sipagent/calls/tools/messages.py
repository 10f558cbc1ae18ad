"""A tool by which the agent takes a message for somebody who is not there.

The message is in the record of the call before anything else happens, so none is lost with a server that is
down. Somebody may be told of it besides, by one HTTP request that carries an ``Idempotency-Key``: it is tried
again only while no server can have taken it, unless the server is said to take the same message once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from sipagent.calls.context import CallContext, call_of
from sipagent.calls.template import clean
from sipagent.calls.tools.arguments import Arguments
from sipagent.calls.tools.failures import ToolFailureError, failure_sentence
from sipagent.calls.tools.ledger import work_key
from sipagent.calls.tools.request_parts import check_header
from sipagent.calls.tools.requests import Request, send
from sipagent.calls.urls import check_plain_url
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, ToolContext
from sipagent.realtime.tool_schema import TOOL_NAME

LONGEST_FIELD = 2_000
LONGEST_NOTIFY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Whom to tell of a message, by a POST of its JSON. Raises `UserError` for what could not be sent."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold secrets: sent, and never shown."""
    timeout_s: float = 5.0
    """For all tries together."""
    retries: int = 2
    idempotent: bool = False
    """Whether the server takes a message once, however often it gets it with the same ``Idempotency-Key``."""

    def __post_init__(self) -> None:
        check_plain_url(f"{self.url}/")
        for name, value in self.headers.items():
            check_header(name, value)
        if not 0 < self.timeout_s <= LONGEST_NOTIFY_S:
            raise UserError(f"its time-out must be above 0 s and at most {LONGEST_NOTIFY_S:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTool:
    """What a message consists of. Raises `UserError` for one without fields."""

    name: str = "take_message"
    description: str = ""
    """For the model: when to take one."""
    fields: Mapping[str, str] = field(default_factory=lambda: {"name": "Who calls", "message": "The message"})
    """From the name of a field to what belongs into it. All are asked for."""
    notify: Notify | None = None

    def __post_init__(self) -> None:
        if TOOL_NAME.match(self.name) is None:
            raise UserError(f"{self.name[:40]!r} cannot be the name of a tool: letters, digits, _ and - only")
        if not self.fields:
            raise UserError(f"tool {self.name}: a message needs at least one field")


def make_message_tool(spec: MessageTool) -> FunctionTool:
    """The function tool that takes it. The same message is taken once in a call."""
    arguments = Arguments(dict(spec.fields))

    async def take(context: ToolContext[Any], arguments_json: str) -> str:
        call = call_of(context)
        given, problems = arguments.read(arguments_json)
        if problems:
            raise ToolFailureError(f"Nothing was stored: {'; '.join(problems[:5])}.", effect="none")
        message = {name: clean(given.get(name, ""), LONGEST_FIELD) for name in spec.fields}
        if missing := [name for name, words in message.items() if not words]:
            listed = "; ".join(f"{name} ({spec.fields[name]})" for name in missing)
            raise ToolFailureError(
                f"Nothing was stored yet. Ask the caller for: {listed}. Then use this tool again.",
                effect="none",
            )
        return await _take(spec, call, message, context.tool_call_id)

    listed = ", ".join(spec.fields)
    purpose = f"{spec.description.rstrip()} " if spec.description else ""
    return FunctionTool(
        name=spec.name,
        description=(
            f"{purpose}Take a message: {listed}. Ask for what you do not know, and make nothing up; leave a "
            "field empty that the caller has not told."
        ),
        params_json_schema=arguments.schema,
        on_invoke_tool=take,
        strict_json_schema=False,
        failure_error_function=failure_sentence,
    )


async def _take(spec: MessageTool, call: CallContext, message: Mapping[str, str], tool_call_id: str) -> str:
    key = work_key(spec.name, json.dumps(message))
    ledger = call.tools.ledger
    earlier = ledger.begin(key, tool_call_id)
    if earlier is not None:
        if earlier.state == "full":
            raise ToolFailureError("Nothing was stored: there were too many messages already.", effect="none")
        if earlier.state == "unclear":
            # The process that took it may have died before it had written it down: better twice than never.
            _store(spec, call, message)
        return "This message was taken before in this call, and is stored once."
    # From here on it is taken, whatever becomes of telling somebody.
    _store(spec, call, message)
    read_back = f"The message is stored. {_read_back(message)}"
    ledger.done(key, read_back)
    effects = call.effects
    if effects is not None:
        try:
            await effects.begin(tool_call_id, key)
        except ToolFailureError as error:
            if error.effect == "unknown":
                return read_back
            effects = None  # told without an entry: whoever is told knows the message by its key
    if spec.notify is not None:
        await _notify(spec.name, spec.notify, call, message, key)
    if effects is not None:
        await effects.end(tool_call_id, key, state="done", outcome=read_back)
    return read_back


def _store(spec: MessageTool, call: CallContext, message: Mapping[str, str]) -> None:
    call.controls.note("message_taken", tool=spec.name, caller=call.caller, fields=dict(message))


def _read_back(message: Mapping[str, str]) -> str:
    listed = "; ".join(f"{name}: {words}" for name, words in message.items())
    return f"Read it back to the caller in one sentence: {listed}."


async def _notify(name: str, notify: Notify, call: CallContext, message: Mapping[str, str], key: str) -> None:
    """Tell somebody, and note how that went. Nothing of it is for the caller: the message is stored."""
    about = {
        "call_id": call.call_id,
        "caller": call.caller,
        "dialled": call.dialled,
        "message": dict(message),
    }
    headers = {**notify.headers}
    if not any(each.lower() == "content-type" for each in headers):
        headers["Content-Type"] = "application/json"
    headers["Idempotency-Key"] = hashlib.sha256(f"{call.call_id}\n{key}".encode()).hexdigest()[:40]
    request = Request(
        tool=name,
        method="POST",
        url=URL(notify.url),
        headers=headers,
        body=json.dumps(about, ensure_ascii=False).encode(),
        timeout_s=notify.timeout_s,
        retries=notify.retries,
        idempotent=notify.idempotent,
    )
    try:
        await send(request, call.http)
    except ToolFailureError as error:
        call.controls.note("message_notified", tool=name, outcome="failed", effect=error.effect)
    except asyncio.CancelledError:
        call.controls.note("message_notified", tool=name, outcome="cut off by the end of the call")
        raise
    else:
        call.controls.note("message_notified", tool=name, outcome="taken")
