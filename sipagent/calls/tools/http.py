"""Tools that are HTTP requests, described in configuration instead of written in Python.

What the model, a caller or a lookup chose fills places in a request, and never changes its shape (see
`request_parts`); scheme and host are the configuration's alone, and redirects are not followed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sipagent.calls.context import CallContext, call_of
from sipagent.calls.template import TemplateError
from sipagent.calls.tools.answers import Wanted, check_wanted, result_text
from sipagent.calls.tools.arguments import Arguments
from sipagent.calls.tools.failures import ToolFailureError, failure_sentence
from sipagent.calls.tools.ledger import work_key
from sipagent.calls.tools.request_parts import (
    LEFT_OUT,
    BodyText,
    check_header,
    check_url,
    fill_body,
    fill_header,
    fill_query,
    fill_url,
    not_sent,
    texts_in,
)
from sipagent.calls.tools.requests import IDEMPOTENT_METHODS, READING_METHODS, Request, send
from sipagent.calls.tools.texts import MissingArgumentError, ToolText
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, ToolContext

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LONGEST_TIMEOUT_S = 60.0
MOST_RETRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTool:
    """One such tool.

    Raises `UserError` (and `TemplateError`, which is one) for what could not work: an argument nobody gives,
    a URL whose host is not written out, a header that ends the line, a body where there can be none.
    """

    name: str
    description: str
    url: ToolText
    arguments: Arguments = field(default_factory=lambda: Arguments({}))
    method: Method = "GET"
    headers: Mapping[str, ToolText | str] = field(default_factory=dict, repr=False)
    """May hold secrets: sent, and never shown. A plain str has no names in it."""
    query: Mapping[str, ToolText] = field(default_factory=dict)
    """Behind those that the URL has. One whose argument was not given is left out."""
    body: BodyText = None
    """Sent as JSON; None sends none."""
    result: Wanted = None
    """What of the answer the model gets."""
    timeout_s: float = 5.0
    """For the request with its retries."""
    retries: int = 0
    """How often more it is sent when it failed for a moment: one that may be sent twice in any such case, any
    other only while nothing of it can have arrived."""
    idempotent: bool | None = None
    """Whether it may be sent twice; None lets the method decide."""
    side_effects: bool | None = None
    """Whether it changes something in the world; None lets the method decide: all but GET and HEAD do."""

    def __post_init__(self) -> None:
        known = self.arguments.names
        try:
            self._check(known)
        except TemplateError:
            raise
        except UserError as error:
            raise UserError(f"tool {self.name}: {error}") from error

    @property
    def changes_something(self) -> bool:
        """Whether it is to be run at most once for the same arguments."""
        return self.method not in READING_METHODS if self.side_effects is None else self.side_effects

    @property
    def may_repeat(self) -> bool:
        """Whether a request may be sent again that may have arrived."""
        return self.method in IDEMPOTENT_METHODS if self.idempotent is None else self.idempotent

    @property
    def texts(self) -> tuple[ToolText, ...]:
        """Every text of it that has names in it."""
        headers = [text for text in self.headers.values() if isinstance(text, ToolText)]
        return (self.url, *headers, *self.query.values(), *texts_in(self.body))

    def _check(self, known: frozenset[str]) -> None:
        if self.method not in METHODS:
            raise UserError(f"{self.method!r} is no method; use one of {', '.join(METHODS)}")
        check_url(self.url)
        for text in self.texts:
            text.check_arguments(known)
        if sometimes := self.url.arguments - self.arguments.always:
            raise UserError(
                f"the URL needs {', '.join(sorted(sometimes))}: put it under `required`, or into `query`, "
                "where it is left out when it is not given"
            )
        for name, value in self.headers.items():
            check_header(name, value)
        if self.body is not None and self.method in READING_METHODS:
            raise UserError(f"a {self.method} has no body; put it into `query`, or use POST")
        check_wanted(self.result)
        if not 0 < self.timeout_s <= LONGEST_TIMEOUT_S:
            raise UserError(f"its time-out must be above 0 s and at most {LONGEST_TIMEOUT_S:g} s")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise UserError(f"it may be tried again from 0 to {MOST_RETRIES} times")


def make_http_tool(spec: HttpTool) -> FunctionTool:
    """The function tool that makes the request. At most once and confirmation are for `with_manners`."""

    async def invoke(context: ToolContext[Any], arguments_json: str) -> str:
        call = call_of(context)
        arguments, problems = spec.arguments.read(arguments_json)
        if problems:
            raise ToolFailureError(
                f"Nothing was done: {'; '.join(problems[:5])}. Correct the arguments and try again.",
                effect="none",
            )
        request = _request(spec, call, arguments, context.tool_call_id)
        answer = await send(request, call.http)
        return answer.remark or result_text(answer.content, answer.charset, spec.result)

    return FunctionTool(
        name=spec.name,
        description=spec.description,
        params_json_schema=spec.arguments.schema,
        on_invoke_tool=invoke,
        strict_json_schema=False,
        failure_error_function=failure_sentence,
    )


def idempotency_key(
    spec: HttpTool, call: CallContext, arguments: Mapping[str, Any], tool_call_id: str
) -> str:
    """The same for every request that must have one effect: of the same work within a call where the tool
    changes something, else of the same call of the model."""
    work = work_key(spec.name, json.dumps(arguments)) if spec.changes_something else tool_call_id
    return hashlib.sha256(f"{call.call_id}\n{work}".encode()).hexdigest()[:40]


def _request(spec: HttpTool, call: CallContext, arguments: Mapping[str, Any], tool_call_id: str) -> Request:
    """Raises `ToolFailureError` for values with which there can be no request."""
    values = call.values
    try:
        headers = {name: fill_header(name, text, arguments, values) for name, text in spec.headers.items()}
        query = fill_query(spec.query, arguments, values)
        url = fill_url(spec.url, arguments, values).extend_query(query)
        body = None
        if spec.body is not None:
            filled = fill_body(spec.body, arguments, values)
            body = json.dumps(None if filled is LEFT_OUT else filled, ensure_ascii=False).encode()
    except MissingArgumentError as error:
        raise not_sent(f"the argument {error.name} is missing") from error
    except (TemplateError, ValueError) as error:
        reason = error.message if isinstance(error, TemplateError) else "a value cannot be sent"
        raise not_sent(reason.rstrip(".")) from error
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    if spec.method not in READING_METHODS:
        headers["Idempotency-Key"] = idempotency_key(spec, call, arguments, tool_call_id)
    return Request(
        tool=spec.name,
        method=spec.method,
        url=url,
        headers=headers,
        body=body,
        timeout_s=spec.timeout_s,
        retries=spec.retries,
        idempotent=spec.may_repeat,
    )
