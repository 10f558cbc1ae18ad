"""What machines ask a running service again and again: whether it lives, whether it is ready, how it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sipagent.calls.access import Role, Visitor
from sipagent.dashboard.guard import HEADERS, Guard, answer
from sipagent.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether new calls should come here, and what else is worth knowing."""

    ready: bool
    details: Mapping[str, Any]


class Probes:
    """``/healthz`` and the short answer of ``/readyz`` are for everybody. ``/metrics`` and the details of
    ``/readyz`` need the role ``read`` as soon as there is a token."""

    def __init__(
        self, *, guard: Guard, metrics: Metrics, readiness: Callable[[], Awaitable[Readiness]]
    ) -> None:
        self._guard = guard
        self._metrics = metrics
        self._readiness = readiness

    def add_to(self, app: web.Application, *, for_everybody: bool = True, for_us: bool = True) -> None:
        """Serve both kinds, or one of them."""
        if for_everybody:
            app.router.add_get("/healthz", self._healthz)
            app.router.add_get("/readyz", self._readyz)
        if for_us:
            app.router.add_get("/metrics", self._measured)

    async def _healthz(self, request: web.Request) -> web.Response:
        """The process runs and its event loop turns."""
        return web.json_response({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        """Whether new calls should come here."""
        in_full = not self._guard.access.is_open_to_somebody
        if not in_full and "Authorization" in request.headers:
            visitor = self._guard.visitor(request)
            if isinstance(visitor, web.Response):
                return visitor
            in_full = visitor.may(Role.READ)
        readiness = await self._readiness()
        body: dict[str, Any] = {"status": "ready" if readiness.ready else "not ready"}
        if in_full:
            body.update(readiness.details)
        return answer(body, status=200 if readiness.ready else 503)

    async def _measured(self, request: web.Request) -> web.Response:
        if not self._guard.access.is_open_to_somebody:
            return self._rendered()
        return await self._guard.needs(Role.READ, self._for_visitor)(request)

    async def _for_visitor(self, request: web.Request, visitor: Visitor) -> web.Response:
        return self._rendered()

    def _rendered(self) -> web.Response:
        body, content_type = self._metrics.render()
        return web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})
