"""Where an Asterisk announces its calls, brings their audio, and asks how they went."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from aiohttp import web

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.announced import Announced, AnnouncedCalls
from sipagent.carrier.audio_socket import AudioSocketServer, AudioSocketStream
from sipagent.carrier.media_endpoint import MediaEndpoint
from sipagent.carrier.stream_line import LineOutcome
from sipagent.carrier.tokens import LegToken
from sipagent.clock import unix_s
from sipagent.identifiers import CallId

logger = logging.getLogger(__name__)

MOST_FORM_BYTES = 8 * 1024
OUTCOME_WAIT_S = 2.0
"""The longest a dialplan waits for how a call went that is up here still."""


class AsteriskEndpoint:
    """Answers the calls of an Asterisk whose dialplan announces each one, and then connects its audio:

        same => n,Set(answer=${CURL(https://…/carriers/asterisk/call,uuid=…&caller=…&dialled=…&token=…)})
        same => n,AudioSocket(…,phone.example.com:9092)
        same => n,Set(outcome=${CURL(https://…/carriers/asterisk/outcome,uuid=…&token=…)})

    The outcome is one of `LineOutcome`, or ``unknown``.
    """

    def __init__(
        self, media: MediaEndpoint, token: str, *, asked: Callable[[LegToken], None] | None = None
    ) -> None:
        """``token`` is what the dialplan shows. ``asked`` hears when it has been told how a call went."""
        self._media = media
        self._token = token.encode()
        self._asked = asked
        self._calls = AnnouncedCalls()
        self._live: dict[UUID, asyncio.Event] = {}
        """Set when it is known how the call went."""

    def add_to(self, app: web.Application) -> None:
        """Answer announcements in ``app``."""
        app.router.add_post("/carriers/asterisk/call", self._announce)
        app.router.add_post("/carriers/asterisk/outcome", self._outcome)

    def server(self, host: str, port: int) -> AudioSocketServer:
        """The server that Asterisk connects to, not listening yet."""
        return AudioSocketServer(host, port, serve=self._serve)

    async def _announce(self, request: web.Request) -> web.Response:
        form, uuid = await self._form(request)
        call = Announced(caller=form.get("caller") or None, dialled=form.get("dialled") or None)
        if not self._calls.announce(uuid, call, asyncio.get_running_loop().time()):
            return web.Response(status=503, text="busy")
        return web.Response(text="ok")

    async def _outcome(self, request: web.Request) -> web.Response:
        _, uuid = await self._form(request)
        if (over := self._live.get(uuid)) is not None:
            # The dialplan may be faster than the end of the call here.
            with suppress(TimeoutError):
                async with asyncio.timeout(OUTCOME_WAIT_S):
                    await over.wait()
        outcome = self._calls.outcome(uuid)
        if outcome is not None and self._asked is not None:
            self._asked(_token_of(uuid, Announced(caller=None, dialled=None)))
        return web.Response(text=outcome or "unknown")

    async def _form(self, request: web.Request) -> tuple[dict[str, str], UUID]:
        """The fields of a request of the dialplan's; raises the answer to one that is not."""
        if (request.content_length or 0) > MOST_FORM_BYTES:
            raise web.HTTPRequestEntityTooLarge(MOST_FORM_BYTES, request.content_length or 0)
        posted = await request.post()
        form = {name: value for name, value in posted.items() if isinstance(value, str)}
        if not hmac.compare_digest(form.get("token", "").encode(), self._token):
            self._media.count("asterisk", "bad_signature")
            raise web.HTTPForbidden(text="forbidden")
        try:
            return form, UUID(form.get("uuid", ""))
        except ValueError as error:
            self._media.count("asterisk", "bad_body")
            raise web.HTTPBadRequest(text="no uuid") from error

    async def _serve(self, stream: AudioSocketStream, uuid: UUID) -> None:
        loop = asyncio.get_running_loop()
        announced = self._calls.take(uuid, loop.time())
        if announced is None:
            logger.warning("An AudioSocket of a call that nobody has announced is closed")
            self._media.count("asterisk", "bad_signature")
            return
        over = self._live[uuid] = asyncio.Event()

        def ended(outcome: LineOutcome) -> None:
            self._calls.ended(uuid, outcome)
            over.set()

        call_id, token = CallId(f"asterisk:{uuid}:0"), _token_of(uuid, announced)
        try:
            with self._media.counted():
                await self._media.serve(stream, call_id, token, loop.time(), ended)
        finally:
            over.set()
            del self._live[uuid]


# Inside ------------------------------------------------------------------------------------------------


def _token_of(uuid: UUID, call: Announced) -> LegToken:
    """Names a call of an Asterisk's, as tokens name those of other carriers; it never travels."""
    leg = CarrierLeg(carrier="asterisk", carrier_call_id=str(uuid), caller=call.caller, dialled=call.dialled)
    return LegToken(leg=leg, route="", step=0, issued_at=round(unix_s()))
