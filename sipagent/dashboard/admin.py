"""``/admin``: calls to look at and to act on, configurations to read and to have read again.

| Request | Role |
| --- | --- |
| ``GET /admin/calls``, ``/admin/calls/ID``, ``/admin/workers`` | read |
| ``POST /admin/calls/ID/hangup``, ``transfer``, ``say`` | operate |
| ``GET /admin/configurations``, ``/admin/configurations/FINGERPRINT``, ``POST /admin/reload`` | admin |

A command reaches its call whichever process holds it. What is asked is written down with the token's name.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, assert_never

from aiohttp import web

from sipagent.calls.access import Role, Visitor
from sipagent.calls.carrier_says import carrier_says
from sipagent.dashboard.guard import BadRequestError, Guard, answer, read_object, refusal
from sipagent.identifiers import CallId
from sipagent.store import Store
from sipagent.store.as_json import (
    audit_as_json,
    configuration_as_json,
    record_as_json,
    summary_as_json,
    worker_as_json,
)
from sipagent.store.orders import (
    MAXIMUM_ARGUMENT,
    NOW,
    POLITELY,
    Answered,
    NoSuchCall,
    Unanswered,
    Verb,
    order,
)
from sipagent.telemetry import bind_call

logger = logging.getLogger(__name__)

MOST_ROWS = 500
LONGEST_ID = 200
PATIENCE_S: Mapping[Verb, float] = {"hangup": 15.0, "say": 15.0, "transfer": 60.0}
LONGEST_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What came of reading the configuration again."""

    usable: bool
    details: Mapping[str, Any]


class AdminSurface:
    """The handlers. One for each service."""

    def __init__(
        self,
        *,
        guard: Guard,
        store: Store,
        reload: Callable[[], Awaitable[Reloaded]] | None,
        utc_now: Callable[[], datetime],
    ) -> None:
        """``reload`` of None: there is no file to read again."""
        self._guard = guard
        self._store = store
        self._reload = reload
        self._utc_now = utc_now

    def add_to(self, app: web.Application) -> None:
        """Serve everything below ``/admin``."""
        needs = self._guard.needs
        router = app.router
        router.add_get("/admin/calls", needs(Role.READ, self._calls))
        router.add_get("/admin/calls/{call_id}", needs(Role.READ, self._call))
        router.add_get("/admin/workers", needs(Role.READ, self._workers))
        router.add_post("/admin/calls/{call_id}/hangup", needs(Role.OPERATE, self._hangup))
        router.add_post("/admin/calls/{call_id}/transfer", needs(Role.OPERATE, self._transfer))
        router.add_post("/admin/calls/{call_id}/say", needs(Role.OPERATE, self._say))
        router.add_get("/admin/configurations", needs(Role.ADMIN, self._configurations))
        router.add_get("/admin/configurations/{fingerprint}", needs(Role.ADMIN, self._configuration))
        router.add_post("/admin/reload", needs(Role.ADMIN, self._read_again))
        # Without a token nobody learns what there is and what there is not.
        router.add_route("*", "/admin{rest:.*}", needs(Role.READ, self._nothing))

    # Looking ----------------------------------------------------------------------------------------

    async def _calls(self, request: web.Request, visitor: Visitor) -> web.Response:
        query = request.query
        found = await self._store.calls(
            limit=_count(query.get("limit", "50")),
            before=_moment(query.get("before")),
            agent=query.get("agent"),
            reason=query.get("reason"),
        )
        return answer({"calls": [summary_as_json(summary) for summary in found]})

    async def _call(self, request: web.Request, visitor: Visitor) -> web.Response:
        call_id = _call_id(request)
        record = await self._store.call(call_id)
        if record is None and (of_leg := await self._store.calls_of_leg(call_id)):
            # A carrier's name for the caller's leg, of which the last call is meant.
            record = await self._store.call(call_id := of_leg[0].call_id)
        if record is None:
            return refusal(404, "no_such_call", "There is no such call.")
        holder = await self._store.holder(call_id)
        body = {
            **record_as_json(record),
            "carrier_says": [asdict(one) for one in carrier_says(record)],
            "worker": None if holder is None else holder.worker,
            "commands": [audit_as_json(line) for line in await self._store.audit(call_id)],
        }
        return answer(body)

    async def _workers(self, request: web.Request, visitor: Visitor) -> web.Response:
        return answer({"workers": [worker_as_json(worker) for worker in await self._store.workers()]})

    # Acting -----------------------------------------------------------------------------------------

    async def _hangup(self, request: web.Request, visitor: Visitor) -> web.Response:
        body = await read_object(request)
        now = body.pop("now", False)
        if not isinstance(now, bool):
            raise BadRequestError("`now` is true or false.")
        return await self._order(request, visitor, "hangup", NOW if now else POLITELY, body)

    async def _transfer(self, request: web.Request, visitor: Visitor) -> web.Response:
        body = await read_object(request)
        return await self._order(request, visitor, "transfer", _words(body, "target"), body)

    async def _say(self, request: web.Request, visitor: Visitor) -> web.Response:
        body = await read_object(request)
        return await self._order(request, visitor, "say", _words(body, "words"), body)

    async def _order(
        self, request: web.Request, visitor: Visitor, verb: Verb, argument: str, rest: dict[str, Any]
    ) -> web.Response:
        patience_s = rest.pop("patience_s", PATIENCE_S[verb])
        if isinstance(patience_s, bool) or not isinstance(patience_s, int | float):
            raise BadRequestError("`patience_s` is a number of seconds.")
        if not 0 < patience_s <= LONGEST_PATIENCE_S:
            raise BadRequestError(f"`patience_s` is more than 0 and at most {LONGEST_PATIENCE_S:g}.")
        if rest:
            raise BadRequestError(f"`{next(iter(rest))[:50]}` is no key of this request.")
        call_id = _call_id(request)
        reply = await order(
            self._store,
            call_id,
            verb,
            argument,
            asked_by=f"token {visitor.name}",
            patience_s=float(patience_s),
            utc_now=self._utc_now,
        )
        with bind_call(call_id):
            fields = {"token": visitor.name, "verb": verb, "outcome": type(reply).__name__}
            logger.info("A command was asked over HTTP", extra={"fields": fields})
        match reply:
            case Answered(outcome=outcome):
                body = {"outcome": outcome.outcome, "detail": outcome.detail}
                return answer(body, status=200 if reply.done else 409)
            case NoSuchCall(detail=detail):
                return refusal(404, "no_such_call", detail)
            case Unanswered(detail=detail):
                return refusal(504, "no_answer", detail)
            case never:
                assert_never(never)

    # Configurations ---------------------------------------------------------------------------------

    async def _configurations(self, request: web.Request, visitor: Visitor) -> web.Response:
        found = await self._store.configurations(limit=_count(request.query.get("limit", "50")))
        listed = [configuration_as_json(one) for one in found]
        without_text = [{key: value for key, value in one.items() if key != "text"} for one in listed]
        return answer({"configurations": without_text})

    async def _configuration(self, request: web.Request, visitor: Visitor) -> web.Response:
        found = await self._store.configuration(request.match_info["fingerprint"])
        if found is None:
            return refusal(404, "no_such_configuration", "There is no such configuration.")
        return answer(configuration_as_json(found))

    async def _read_again(self, request: web.Request, visitor: Visitor) -> web.Response:
        await read_object(request)
        if self._reload is None:
            return refusal(409, "no_file", "The configuration did not come from a file.")
        reloaded = await self._reload()
        fields = {"token": visitor.name, "usable": reloaded.usable}
        logger.info("The configuration was read again over HTTP", extra={"fields": fields})
        return answer(reloaded.details, status=200 if reloaded.usable else 422)

    async def _nothing(self, request: web.Request, visitor: Visitor) -> web.Response:
        return refusal(404, "nothing", "There is nothing at this address, or not for this method.")


def _call_id(request: web.Request) -> CallId:
    text: str = request.match_info["call_id"]
    if not (text.isascii() and text.isprintable() and len(text) <= LONGEST_ID):
        raise BadRequestError("No call has such an id.", status=404)
    return CallId(text)


def _words(body: dict[str, Any], key: str) -> str:
    """What ``body`` says for ``key``, which it loses. Raises `BadRequestError`."""
    words = body.pop(key, None)
    if not isinstance(words, str) or not words.strip():
        raise BadRequestError(f"The body needs `{key}`, a text.")
    if len(words) > MAXIMUM_ARGUMENT:
        raise BadRequestError(f"`{key}` has more than {MAXIMUM_ARGUMENT} characters.")
    return words.strip()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= MOST_ROWS):
        raise BadRequestError(f"`limit` is a number from 1 to {MOST_ROWS}.")
    return int(text)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequestError("`before` is a moment such as 2026-11-30T09:00.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
