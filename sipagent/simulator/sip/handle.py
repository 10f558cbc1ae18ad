"""One transaction on the event loop: its actions are done, its timer is kept (RFC 3261 section 17)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from sipagent.simulator.sip.address import stamp_received
from sipagent.simulator.sip.message import HeaderList, Request, Response, make_response
from sipagent.simulator.sip.transaction import (
    Action,
    ClientTransaction,
    Happened,
    InviteClientTransaction,
    InviteServerTransaction,
    Outcome,
    Received,
    ServerTransaction,
    Transaction,
    Transmit,
)
from sipagent.simulator.sip.transport import Address, Flow


class Driver:
    """Runs one transaction on the event loop: does its actions and keeps its timer."""

    def __init__(self, transaction: Transaction, flow: Flow, forget: Callable[[], None]) -> None:
        self.flow = flow
        self._transaction = transaction
        self._forget = forget
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    def run(self, actions: list[Action]) -> None:
        """Do what the transaction says, then set the timer for its next deadline."""
        for action in actions:
            match action:
                case Transmit(message=message):
                    self.flow.send(message.encode())
                case Received(response=response):
                    self.received(response)
                case Happened(outcome=outcome):
                    self.happened(outcome)
        self._set_timer()

    def received(self, response: Response) -> None:
        raise AssertionError("only client transactions receive answers")

    def happened(self, outcome: Outcome) -> None:
        """Nobody needs to know, unless a subclass says so."""

    def terminate(self) -> None:
        self._transaction.terminate()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transaction.over:
            self._forget()
        elif self._transaction.deadline is not None:
            self._timer = self._loop.call_at(self._transaction.deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        # The loop may wake a clock tick early; what is not due yet gets the timer set again.
        self.run(self._transaction.expire(self.now()))


class ServerHandle(Driver):
    """A request we received, to be answered."""

    def __init__(
        self,
        request: Request,
        flow: Flow,
        source: Address,
        transaction: InviteServerTransaction | ServerTransaction,
        forget: Callable[[], None],
    ) -> None:
        super().__init__(transaction, flow, forget)
        self._source = source
        self.request = request
        """As it was received."""
        self.transaction = transaction
        self.on_outcome: Callable[[Outcome], None] = lambda outcome: None
        """Told when the ACK of a final answer to INVITE came, or never came."""
        self.on_cancel: Callable[[], None] = lambda: None
        """Told when the peer cancels the request before a final answer."""
        self.to_tag = secrets.token_hex(8)
        """Tag for To in answers to a request that has none."""

    def respond(
        self, status: int, reason: str | None = None, *, headers: HeaderList = (), body: bytes = b""
    ) -> None:
        """Answer; ignored once a final answer was given."""
        tag = self.to_tag if status > 100 else None
        request = stamped(self.request, self._source)
        response = make_response(request, status, reason, to_tag=tag, headers=headers, body=body)
        self.run(self.transaction.respond(response, self.now()))

    def acknowledge(self) -> None:
        """The ACK came; repetitions are harmless."""
        if isinstance(self.transaction, InviteServerTransaction):
            self.run(self.transaction.acknowledge(self.now()))

    def repeat(self) -> None:
        """The request came again."""
        self.run(self.transaction.repeated())

    def happened(self, outcome: Outcome) -> None:
        self.on_outcome(outcome)


class ClientHandle(Driver):
    """A request we sent."""

    def __init__(
        self,
        request: Request,
        flow: Flow,
        transaction: InviteClientTransaction | ClientTransaction,
        forget: Callable[[], None],
        on_response: Callable[[Response], None],
    ) -> None:
        super().__init__(transaction, flow, forget)
        self.request = request
        self.transaction = transaction
        self._on_response = on_response

    def received(self, response: Response) -> None:
        self._on_response(response)

    def happened(self, outcome: Outcome) -> None:
        # To its user, silence is an answer of its own making (RFC 3261 section 8.1.3.1).
        self._on_response(make_response(self.request, 408))

    def flow_lost(self) -> None:
        """The connection is gone: no answer can come any more (RFC 3261 section 8.1.3.1)."""
        waiting = not self._transaction.over
        self.terminate()
        if waiting:
            self._on_response(make_response(self.request, 503))


def with_headers(request: Request, headers: HeaderList) -> Request:
    """The same request with other headers."""
    return Request(
        method=request.method,
        uri=request.uri,
        version=request.version,
        headers=headers,
        body=request.body,
        defects=request.defects,
    )


def stamped(request: Request, source: Address) -> Request:
    """The request with its sender's address in Via, as answers repeat it (RFC 3581)."""
    return with_headers(request, stamp_received(request.headers, *source))
