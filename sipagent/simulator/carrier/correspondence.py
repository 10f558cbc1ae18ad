"""The carrier's correspondence with the service: signed requests, their repetitions, status callbacks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Protocol

import aiohttp

from sipagent.simulator.carrier.desk import Fetch
from sipagent.simulator.carrier.dialect import Dialect
from sipagent.simulator.carrier.faults import CarrierFault
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.markup import parse_document
from sipagent.simulator.carrier.options import CarrierOptions
from sipagent.simulator.carrier.posting import (
    Exchange,
    OutgoingRequest,
    Poster,
    document_of,
    form_request,
)
from sipagent.simulator.carrier.reports import ReportQueue
from sipagent.simulator.carrier.verbs import Document, ReportTo


class Spawn(Protocol):
    """Runs work beside the calls."""

    def __call__(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> object: ...


class Correspondence:
    """All requests of one carrier."""

    def __init__(self, dialect: Dialect, *, spawn: Spawn) -> None:
        self.http: aiohttp.ClientSession
        self._poster: Poster
        self._dialect = dialect
        self._spawn = spawn
        self._queues: dict[str, ReportQueue] = {}

    def open(self, http: aiohttp.ClientSession, options: CarrierOptions) -> None:
        """Use ``http`` from now on."""
        self.http = http
        self._poster = Poster(http, timeout_s=options.answer_timeout_s, tls=options.client_tls)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The latest 5,000, with what came of them."""
        return tuple(self._poster.exchanges)

    async def send(self, request: OutgoingRequest, *, leg: Leg, event_id: str | None = None) -> Exchange:
        """Sign ``request`` as the faults of ``leg`` want it, and send it. Safe to cancel."""
        event_id = event_id or secrets.token_hex(16)
        signed = self._dialect.sign(request, faults=leg.facts.faults, event_id=event_id)
        return await self._send_signed(replace(request, headers={**request.headers, **signed}), leg=leg)

    async def send_first(self, request: OutgoingRequest, *, leg: Leg) -> Exchange:
        """Announce a call: twice at once, or once more later, where the faults of ``leg`` want it."""
        event_id = secrets.token_hex(16)
        tries = 2 if CarrierFault.DUPLICATE in leg.facts.faults else 1
        exchange, *_ = await asyncio.gather(
            *(self.send(request, leg=leg, event_id=event_id) for _ in range(tries))
        )
        after_s = leg.facts.faults.number(CarrierFault.REPLAYED)
        if after_s is not None:
            self._spawn(lambda: self._replay(exchange, leg, after_s), name="replay of a voice webhook")
        return exchange

    async def send_again(self, exchange: Exchange, *, leg: Leg) -> Exchange:
        """Send a request once more, word for word, signature and all."""
        again = replace(exchange.request, purpose=f"{exchange.request.purpose} again")
        return await self._send_signed(again, leg=leg)

    async def ask(self, leg: Leg, fetch: Fetch) -> Document:
        """Ask for a document. Raises `ServiceFailedError` and `MarkupError`."""
        parameters = {**self._dialect.call_parameters(leg), **fetch.parameters}
        request = form_request(fetch.purpose, fetch.method, fetch.url, parameters)
        send = self.send_first if fetch.purpose == "voice" else self.send
        return parse_document(document_of(await send(request, leg=leg)), lacks=self._dialect.lacks)

    def report(self, leg: Leg, report_to: ReportTo, parameters: Mapping[str, str], *, last: bool) -> None:
        """Send a status callback behind those that ``leg`` has waiting for the same address."""
        self.queue(leg, report_to.url).add(
            form_request("report", report_to.method, report_to.url, parameters), last=last
        )

    def queue(self, leg: Leg, url: str) -> ReportQueue:
        """The callbacks of ``leg`` for one address."""
        key = f"{leg.sid} {url}"
        if key not in self._queues:
            self._queues[key] = ReportQueue(
                lambda request: self.send(request, leg=leg),
                faults=leg.facts.faults,
                spawn=lambda work, name: self._spawn(work, name=name),
            )
        return self._queues[key]

    def forget(self, leg: Leg) -> None:
        """Keep nothing for a leg that is over."""
        for key in [key for key in self._queues if key.startswith(f"{leg.sid} ")]:
            del self._queues[key]

    async def _replay(self, exchange: Exchange, leg: Leg, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.send_again(exchange, leg=leg)

    async def _send_signed(self, request: OutgoingRequest, *, leg: Leg) -> Exchange:
        answer: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()

        async def post() -> None:
            exchange = await self._poster.send(request, leg=leg.sid)
            leg.note("request", purpose=request.purpose, status=str(exchange.status or exchange.error))
            if not answer.done():
                answer.set_result(exchange)

        # A request that has been made is made to its end, though nobody waits for its answer any more.
        self._spawn(post, name=f"request about {leg.sid}")
        return await answer
