"""Values that are fetched over HTTP while the telephone rings: who the caller is to the operator, say.

The answer waits for them, so all are fetched at once under one deadline. Whatever goes wrong (no answer in
time, an error, a redirect, too much, no JSON, nothing at the place looked at) leaves the defaults that the
configuration gives: a lookup decides nothing about whether a call is answered.

What a stranger sends is used inside the URL's path and query, escaped, and inside the body's strings; scheme
and host are the configuration's alone, and redirects are not followed, so that no caller can choose whom we
ask.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from yarl import URL

from sipagent import __version__
from sipagent.calls.pointers import MISSING, is_pointer, value_at
from sipagent.calls.template import Template, TemplateError, clean
from sipagent.calls.urls import as_url, check_plain_url, walks
from sipagent.calls.variables import name_problem
from sipagent.errors import UserError

LONGEST_TIMEOUT_S = 3.0
"""Of one lookup, and of all of them counted from the webhook: a call that rings unanswered for longer may be
gone when it is answered."""
LARGEST_ANSWER_BYTES = 64 * 1024

BodyTemplate = Template | Mapping[str, "BodyTemplate"] | Sequence["BodyTemplate"] | int | float | bool | None
"""A JSON value whose strings are templates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """One request before the answer, and what of its result is kept.

    Raises `UserError` for names that are none, for a URL whose scheme is not http(s) or whose host is not
    written out, for a pointer that is none, for a body of a GET, for a time-out that no call can wait for.
    """

    name: str
    url: Template
    take: Mapping[str, str]
    """From the name of a value to the JSON pointer (RFC 6901) of its place in the answer."""
    defaults: Mapping[str, str]
    """What stands for a value that could not be had; empty for one that is not named here."""
    method: Literal["GET", "POST"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold secrets: sent, and never shown."""
    body: BodyTemplate = None
    """Sent as JSON by a POST; None sends none."""
    timeout_s: float = 1.0

    def __post_init__(self) -> None:
        if problem := name_problem(self.name) or next(filter(None, map(name_problem, self.take)), None):
            raise UserError(f"lookup {self.name[:40]}: {problem}")
        _check_url(self.name, self.url)
        for taken, pointer in self.take.items():
            if not is_pointer(pointer):
                raise UserError(f"lookup {self.name}: {pointer!r} of {taken} is no JSON pointer: write /a/b")
        if unknown := self.defaults.keys() - self.take.keys():
            raise UserError(
                f"lookup {self.name}: defaults for what is not taken: {', '.join(sorted(unknown))}"
            )
        if self.method == "GET" and self.body is not None:
            raise UserError(f"lookup {self.name}: a GET has no body; use POST")
        if not 0 < self.timeout_s <= LONGEST_TIMEOUT_S:
            raise UserError(
                f"lookup {self.name}: its time-out must be above 0 s and at most {LONGEST_TIMEOUT_S:g} s, "
                "because the caller hears ringing meanwhile"
            )

    @property
    def default_values(self) -> dict[str, str]:
        """The default of each value that is taken, by the value's dotted name."""
        return {f"{self.name}.{taken}": self.defaults.get(taken, "") for taken in self.take}


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupOutcome:
    """How one lookup went, fit for records and logs: it holds no value, no URL and no header."""

    name: str
    failure: str | None
    """Why there are only defaults; None when there was an answer."""
    defaulted: tuple[str, ...]
    """The values for which a default stands."""
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """What all lookups of a call gave."""

    values: Mapping[str, str] = field(default_factory=dict)
    """By dotted name; every value of every lookup is there."""
    outcomes: tuple[LookupOutcome, ...] = ()


def open_lookup_session() -> aiohttp.ClientSession:
    """Connections for lookups, to be closed by whoever opens them (``async with``).

    No cookies: one caller's answer must not change the next one's. Nothing is taken from the environment.
    """
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=1000),
        timeout=aiohttp.ClientTimeout(),  # `fetch_all` bounds each request as a whole
        headers={
            "User-Agent": f"sipagent/{__version__}",
            "Accept": "application/json",
            # What is small needs no compression, and what is compressed may unfold without end.
            "Accept-Encoding": "identity",
        },
        auto_decompress=False,
    )


async def fetch_all(
    lookups: Sequence[Lookup],
    values: Mapping[str, str],
    *,
    deadline: float,
    http: aiohttp.ClientSession,
) -> LookedUp:
    """Make every lookup at once, with ``values`` in their texts, until ``deadline`` (``loop.time()``).

    Raises nothing but `asyncio.CancelledError`; cancel-safe: no request goes on.
    """
    if not lookups:
        return LookedUp()
    if len(lookups) == 1:
        fetched = [await _fetch(lookups[0], values, deadline, http)]
    else:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_fetch(lookup, values, deadline, http), name=f"lookup {lookup.name}")
                for lookup in lookups
            ]
        fetched = [task.result() for task in tasks]
    together: dict[str, str] = {}
    for found, _ in fetched:
        together.update(found)
    return LookedUp(values=together, outcomes=tuple(outcome for _, outcome in fetched))


def _check_url(name: str, url: Template) -> None:
    # Without a variable, a URL may be a host and no more.
    fixed = url.text[: url.placeholders[0].offset] if url.placeholders else f"{url.text}/"
    try:
        check_plain_url(fixed, before="variable")
    except UserError as error:
        raise UserError(f"lookup {name}: {error}") from None


class _FailedError(Exception):
    """A lookup gave nothing; its text says why, and holds nothing of the request or the answer."""


async def _fetch(
    lookup: Lookup, values: Mapping[str, str], deadline: float, http: aiohttp.ClientSession
) -> tuple[dict[str, str], LookupOutcome]:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    failure: str | None = None
    answer: Any = MISSING
    try:
        async with asyncio.timeout_at(min(deadline, begun + lookup.timeout_s)):
            answer = await _ask(lookup, values, http)
    except _FailedError as error:
        failure = str(error)
    except TimeoutError:
        failure = f"no answer within {(loop.time() - begun) * 1000:.0f} ms"
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
        # The message of the package may quote the URL, and with it what the caller sent.
        failure = f"the request failed: {type(error).__name__}"
    found, defaulted = lookup.default_values, []
    for taken, pointer in lookup.take.items():
        value = clean(_text(value_at(answer, pointer)))
        if value:
            found[f"{lookup.name}.{taken}"] = value
        else:
            defaulted.append(taken)
    return found, LookupOutcome(
        name=lookup.name,
        failure=failure,
        defaulted=tuple(defaulted),
        milliseconds=(loop.time() - begun) * 1000,
    )


async def _ask(lookup: Lookup, values: Mapping[str, str], http: aiohttp.ClientSession) -> Any:
    """The answer as JSON; raises `_FailedError`, and what the package raises."""
    try:
        url = _url(lookup.url, values)
        body = None if lookup.body is None else json.dumps(_filled(lookup.body, values)).encode()
    except TemplateError as error:
        raise _FailedError(f"not asked: {error.message}") from error
    headers = {**lookup.headers}
    if body is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    async with http.request(
        lookup.method, url, headers=headers, data=body, allow_redirects=False
    ) as response:
        if 300 <= response.status < 400:
            raise _FailedError(f"answered {response.status}: redirects are not followed")
        if response.status >= 300:
            raise _FailedError(f"answered {response.status}")
        content = bytearray()
        async for chunk in response.content.iter_chunked(LARGEST_ANSWER_BYTES):
            content += chunk
            if len(content) > LARGEST_ANSWER_BYTES:
                raise _FailedError(f"the answer is larger than {LARGEST_ANSWER_BYTES // 1024} KiB")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _FailedError("the answer is no JSON") from error


def _url(url: Template, values: Mapping[str, str]) -> URL:
    return as_url(url.render(values, write=_escaped))


def _escaped(name: str, value: str) -> str:
    """A value inside a URL. Raises `_FailedError` for one that would walk up its path."""
    if walks(value):
        raise _FailedError(f"not asked: `{name}` is nothing but dots")
    return quote(value, safe="")


def _filled(body: BodyTemplate, values: Mapping[str, str]) -> Any:
    match body:
        case Template():
            return body.render(values)
        case Mapping():
            return {key: _filled(inner, values) for key, inner in body.items()}
        case list() | tuple():
            return [_filled(inner, values) for inner in body]
        case _:
            return body


def _text(value: object) -> str:
    """A value of the answer as text; empty for what no template can say."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(value)
        case _:
            return ""
