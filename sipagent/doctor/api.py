"""Whether the API is there, takes the key, knows the models, and agrees about the time.

One request, ``GET /models`` (API reference, "List models"): it costs nothing and starts nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from sipagent.doctor.finding import Area, Finding, fail, hint, ok, warn
from sipagent.doctor.network import why_unreachable
from sipagent.doctor.pages import API_KEYS, LIMITS, PROJECT
from sipagent.realtime.provider import AUTHORIZATION, RealtimeProvider

MAXIMUM_BODY_BYTES = 4 * 1024 * 1024
SKEW_WARNED_S = 30.0
SKEW_FATAL_S = 240.0
"""Webhooks whose timestamp is more than 300 seconds off are refused as replayed (Standard Webhooks)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. ``ours`` is our time in the middle of the exchange."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    ours: datetime

    @property
    def code(self) -> str:
        """The code of its error, or ""."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who is asked, and as whom."""

    provider: RealtimeProvider
    api_key: str = field(repr=False)
    project: str = ""
    models: Sequence[str] = ()
    """Those that the configuration names."""


async def examine_api(
    asked: Asked, *, http: aiohttp.ClientSession, timeout_s: float, utc_now: Callable[[], datetime]
) -> tuple[Finding, ...]:
    """Ask once. Raises nothing but `asyncio.CancelledError`; cancel-safe."""
    base = asked.provider.rest_base_url
    headers = asked.provider.headers(asked.api_key)
    if asked.project and asked.provider.key_header == AUTHORIZATION:
        headers["OpenAI-Project"] = asked.project
    before = utc_now()
    try:
        async with (
            asyncio.timeout(timeout_s),
            http.get(asked.provider.rest_url("/models"), headers=headers, allow_redirects=False) as response,
        ):
            after = utc_now()
            body = await response.content.read(MAXIMUM_BODY_BYTES)
            answer = Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=_json(body),
                ours=before + (after - before) / 2,
            )
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason, remedy = why_unreachable(error, timeout_s=timeout_s)
        return (fail(Area.API, f"{base} cannot be reached: {reason}.", remedy),)
    return read_answer(asked, answer)


def read_answer(asked: Asked, answer: Answer) -> tuple[Finding, ...]:
    """What ``answer`` tells."""
    return (*_key(asked, answer), *_models(asked, answer), *_clock(answer))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _key(asked: Asked, answer: Answer) -> Iterator[Finding]:
    base = asked.provider.rest_base_url
    match answer.status:
        case 200:
            yield ok(Area.API, f"{base} answers, and takes the key.")
            yield from _project(asked, answer)
        case 401 if answer.code == "mismatched_project":
            said = f"The key belongs to another project than {asked.project}."
            yield fail(Area.API, said, "Take a key of the project whose number rings.", API_KEYS)
        case 401:
            said = f"{base} answers, and does not take the key{_because(answer)}."
            yield fail(Area.API, said, "Create a new key in the project whose number rings.", API_KEYS)
        case 403:
            said = f"{base} takes the key, but it may not list models{_because(answer)}."
            remedy = "Give it the permission for Realtime; whether it has that is not seen from here."
            yield warn(Area.API, said, remedy, API_KEYS)
        case 404:
            said = f"{base} answers, but lists no models: whether it takes the key is not known."
            remedy = "Compare `openai:` and OPENAI_BASE_URL; OpenAI's is https://api.openai.com/v1."
            yield warn(Area.API, said, remedy)
        case 429:
            said = f"{base} takes the key, and has had enough of it{_because(answer)}."
            yield warn(Area.API, said, "Look at the limits and the credit of the project.", LIMITS)
        case status:
            said = f"{base} answers with HTTP {status}{_because(answer)}."
            yield warn(Area.API, said, "Try again in a minute; if it stays, see https://status.openai.com.")


def _because(answer: Answer) -> str:
    # A message may repeat parts of the key; a code never does.
    code = answer.code[:60]
    return f" ({code})" if code and code.isascii() and code.isprintable() else ""


def _project(asked: Asked, answer: Answer) -> Iterator[Finding]:
    """The API names the project of the key in a header; not every API does."""
    named = answer.headers.get("openai-project", "")[:100]
    if named and asked.project and named != asked.project:
        said = f"The key belongs to {named}, not to {asked.project}."
        yield fail(Area.API, said, "Use the id and the key of one and the same project.", PROJECT)
    elif named and named.isascii() and named.isprintable():
        yield ok(Area.API, f"The key belongs to {named}.")


def _models(asked: Asked, answer: Answer) -> Iterator[Finding]:
    listed = answer.body.get("data") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(listed, list):
        return
    known = {entry.get("id") for entry in listed if isinstance(entry, dict)}
    missing = [model for model in asked.models if model not in known]
    if asked.provider.key_header != AUTHORIZATION:  # Azure names models by deployment, and lists others
        return
    for model in missing:
        said = f"The project has no model {model}, which the configuration names."
        yield warn(Area.API, said, "Compare its name, or allow it to the project.", LIMITS)
    if asked.models and not missing:
        yield ok(Area.API, f"The project has {' and '.join(asked.models)}.")


def _clock(answer: Answer) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        yield hint(Area.MACHINE, "The API's answer names no time: our clock was not compared.")
        return
    skew_s = (answer.ours - theirs).total_seconds()
    # The header counts whole seconds, which alone may look like one second.
    seconds, direction = abs(skew_s), "ahead" if skew_s > 0 else "behind"
    remedy = "Let the machine follow a time server (timedatectl set-ntp true)."
    if seconds > SKEW_FATAL_S:
        said = f"The clock of this machine is {seconds:.0f} s {direction}: webhooks are refused as replayed."
        yield fail(Area.MACHINE, said, remedy)
    elif seconds > SKEW_WARNED_S:
        said = f"The clock of this machine is {seconds:.0f} s {direction}; beyond 300 s webhooks are refused."
        yield warn(Area.MACHINE, said, remedy)
    else:
        yield ok(Area.MACHINE, f"The clock agrees with the API's (within {max(seconds, 1):.0f} s).")
