"""What listens: the door for webhooks and carriers, and the one for people of the company."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime

from aiohttp import web

from sipagent.app.carriers import Carriers
from sipagent.app.settings import ServiceSettings
from sipagent.calls import Supervisor, WebhookEndpoint, WebhookVerifier
from sipagent.calls.access import Access
from sipagent.calls.connections import serve_http
from sipagent.calls.shift import Shift
from sipagent.calls.sources import Sources
from sipagent.calls.webhook import MAXIMUM_BODY_BYTES
from sipagent.dashboard import AdminSurface, Guard, Probes, Readiness, Reloaded
from sipagent.store import Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)

WEBHOOK_PATH = "/webhooks/openai"


class Doors:
    """They open last and close first, but webhooks are still answered while calls drain."""

    def __init__(
        self,
        *,
        access: Access,
        verifier: WebhookVerifier,
        store: Store,
        metrics: Metrics,
        settings: ServiceSettings,
        utc_now: Callable[[], datetime],
        readiness: Callable[[], Awaitable[Readiness]],
        reload: Callable[[], Awaitable[Reloaded]] | None,
    ) -> None:
        """``access`` says who is let in at first. ``readiness`` is asked by machines, ``reload`` by people;
        None where there is nothing to read again."""
        self._guard = Guard(access)
        self._verifier = verifier
        self._store = store
        self._metrics = metrics
        self._settings = settings
        self._utc_now = utc_now
        self._readiness = readiness
        self._reload = reload
        self._endpoint: WebhookEndpoint | None = None
        self.port = 0
        """The TCP port of webhooks; 0 before it is open."""
        self.admin_port: int | None = None
        """The TCP port of what is not for everybody, where it has one of its own."""

    @property
    def webhook_url(self) -> str:
        """Where webhooks are posted, as seen from this machine."""
        host = self._settings.host if self._settings.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound  # nosec B104
        return f"http://{host}:{self.port}{WEBHOOK_PATH}"

    @property
    def sources(self) -> Sources:
        """Says whom a request comes from, new each time: each door counts for itself."""
        return Sources(self._guard.access.trusted_proxies)

    def let_in(self, access: Access) -> None:
        """Let in whoever ``access`` knows, from now on."""
        if access.listen != self._guard.access.listen:
            logger.warning("`admin.listen` has changed in the file; it counts after a restart")
        self._guard.access = access
        if self._endpoint is not None:
            self._endpoint.sources = self.sources

    async def open(
        self, stack: AsyncExitStack, *, supervisor: Supervisor, shift: Shift | None, carriers: Carriers
    ) -> None:
        """Listen until ``stack`` is left. Raises `OSError` where nobody can listen."""
        access = self._guard.access
        self._endpoint = WebhookEndpoint(
            verifier=self._verifier,
            supervisor=supervisor,
            metrics=self._metrics,
            sources=self.sources,
            shift=shift,
            utc_now=self._utc_now,
            leg_of=carriers.leg_of,
        )
        probes = Probes(guard=self._guard, metrics=self._metrics, readiness=self._readiness)
        admin = AdminSurface(guard=self._guard, store=self._store, reload=self._reload, utc_now=self._utc_now)
        app = web.Application(client_max_size=MAXIMUM_BODY_BYTES)
        app.router.add_post(WEBHOOK_PATH, self._endpoint.handle)
        await carriers.serve(app, stack)
        probes.add_to(app, for_us=access.listen is None)
        if access.listen is None:
            admin.add_to(app)
        else:
            ours = web.Application()
            probes.add_to(ours)
            admin.add_to(ours)
            self.admin_port = await serve_http(ours, *access.listen, stack)
            logger.info("Listening for people of the company on port %d", self.admin_port)
        self.port = await serve_http(app, self._settings.host, self._settings.port, stack)
        logger.info("Listening for webhooks at %s", self.webhook_url)
