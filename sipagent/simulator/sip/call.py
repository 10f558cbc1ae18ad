"""Calls: those that come to us and those we make."""

from __future__ import annotations

import asyncio

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.dialog import Dialog
from sipagent.simulator.sip.handle import ClientHandle, ServerHandle
from sipagent.simulator.sip.listener import SipCallListener, SipEnd
from sipagent.simulator.sip.message import Request, Response, make_response
from sipagent.simulator.sip.session import CallSupport, SipCall
from sipagent.simulator.sip.transport import Flow

__all__ = ["IncomingSipCall", "OutgoingSipCall", "SipCall", "SipCallListener", "SipEnd"]


class IncomingSipCall(SipCall):
    """A call that came to us: trying, then perhaps ringing, then answered, rejected or cancelled.

    Whichever of `answer`, `reject` and the caller's CANCEL comes first decides; the others do nothing.
    """

    def __init__(self, support: CallSupport, handle: ServerHandle) -> None:
        """Raises `SipSyntaxError` when the INVITE cannot found a dialog."""
        super().__init__(support, handle.flow, handle.request)
        self._handle = handle
        self._dialog = Dialog.as_callee(handle.request, local_tag=handle.to_tag)
        self._remote_sdp = handle.request.body
        self._answered = False
        handle.on_cancel = self._cancelled
        support.enter(self, self._dialog.key)

    @property
    def request_uri(self) -> str:
        """Whom the caller dialled."""
        return self._invite.uri

    def ring(self) -> None:
        """Send 180 Ringing."""
        if not self._decided:
            routes = tuple(("Record-Route", value) for value in self._invite.every("record-route"))
            self._handle.respond(180, headers=(*routes, ("Contact", self._contact)))

    def answer(self, sdp: bytes) -> None:
        """Send 200 with our session description and repeat it until the ACK comes."""
        if not self._decided:
            self._answered = True
            self._accept(self._handle, sdp)

    def reject(self, status: int, reason: str | None = None) -> None:
        """Refuse with a final status (300-699)."""
        assert 300 <= status <= 699, f"{status} is no refusal"
        if not self._decided:
            self._finish(SipEnd.LOCAL)
            self._handle.respond(status, reason)
            self._leave()

    def bye(self) -> None:
        """End the call, whatever its state: BYE when answered, else 480; idempotent."""
        if self._answered and not self.is_over:
            self._hang_up()
        else:
            self.reject(480)

    def receive(self, handle: ServerHandle) -> None:
        """A request within the dialog came; BYE may come before the answer (RFC 3261 section 15)."""
        if handle.request.method == "INVITE" and not self._decided:
            handle.respond(500, headers=(("Retry-After", "1"),))
            return
        super().receive(handle)
        if self.is_over and not self._answered:
            self._handle.respond(487)

    def flow_lost(self) -> None:
        """An unanswered call cannot be answered any more."""
        if not self._decided:
            self._finish(SipEnd.FAILED)
            self._handle.terminate()
            self._leave()

    @property
    def _decided(self) -> bool:
        return self._answered or self.is_over

    def _cancelled(self) -> None:
        if not self._decided:
            self._finish(SipEnd.CANCELLED)
            self._handle.respond(487)
            self._leave()


class OutgoingSipCall(SipCall):
    """A call we make."""

    def __init__(self, support: CallSupport, flow: Flow, invite: Request) -> None:
        super().__init__(support, flow, invite)
        self._final: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._handle: ClientHandle | None = None

    def start(self) -> None:
        """Send the INVITE; once, after `listen`."""
        self._handle = self._support.layer.request(self._invite, self._flow, self._receive_response)

    async def final_response(self) -> Response:
        """Wait for the final answer to our INVITE; safe to cancel, which does not end the call.

        A 2xx is acknowledged already. 408 when nobody answered, 503 when the connection was lost.
        """
        return await asyncio.shield(self._final)

    def cancel(self) -> None:
        """Give up: CANCEL when the peer has not answered yet, BYE when it has; idempotent."""
        self.bye()

    def bye(self) -> None:
        """End the call, whatever its state; idempotent."""
        if self.is_over:
            return
        if self._dialog is not None:
            self._hang_up()
            return
        self._finish(SipEnd.LOCAL)
        self._cancel()

    def close(self) -> None:
        """End the call as far as one message can, and let nobody wait."""
        super().close()
        if not self._final.done():
            self._final.set_result(make_response(self._invite, 408))

    def flow_lost(self) -> None:
        """The connection is gone. The transaction of an unanswered INVITE reports 503 by itself."""

    def _receive_response(self, response: Response) -> None:
        if not response.is_final:
            if self.is_over:
                self._cancel()
            else:
                self._listener.progressed(response)
        elif response.status < 300:
            self._receive_accepted(response)
        else:
            self._settle(response)
            self._finish(SipEnd.REJECTED)
            self._leave()

    def _receive_accepted(self, response: Response) -> None:
        number, _ = self._invite.cseq
        if self._dialog is not None:
            # A repetition: our ACK was lost. An answer of another fork is left to its timers.
            if response.text("to") == self._dialog.remote:
                self._acknowledge(number)
            return
        try:
            self._dialog = Dialog.as_caller(self._invite, response)
        except SipSyntaxError:
            self._settle(make_response(self._invite, 502))
            self._finish(SipEnd.FAILED)
            self._leave()
            return
        self._support.enter(self, self._dialog.key)
        self._remote_sdp = response.body
        self._acknowledge(number)
        if self.is_over:
            # The answer crossed our CANCEL (RFC 3261 section 9.1).
            self._send_bye()
        self._settle(response)

    def _settle(self, response: Response) -> None:
        if not self._final.done():
            self._final.set_result(response)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._support.layer.cancel(self._handle)
