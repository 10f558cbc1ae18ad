"""Which configuration answers the next call: the first one, those that follow it, those of other workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sipagent.app.settings import ServiceSettings
from sipagent.calls import (
    CallsClient,
    CallsClients,
    CallServices,
    FrontDoor,
    Furnishing,
    Generation,
    McpServers,
    Supervisor,
)
from sipagent.config import ConfigurationWatcher, Loaded, Reload, load_stored
from sipagent.errors import UserError
from sipagent.store import ConfigurationLoaded, Fact, Store
from sipagent.telemetry import Metrics, Redactor

logger = logging.getLogger(__name__)

Before = Callable[[Loaded], AbstractAsyncContextManager[Callable[[], None]]]

MOST_PLACES = 20
"""Of problems in a configuration, that `/readyz` names."""
RESTORE_PATIENCE_S = 2.0
"""How long a call that was adopted waits for MCP servers that do not run here yet."""


class Serving:
    """Makes generations of configurations, and lets go of what none of them needs any more.

    `begin` comes first, `connect` as soon as there is a supervisor.
    """

    def __init__(
        self,
        front_door: FrontDoor | Loaded,
        *,
        api_key: str,
        base_url: str,
        secrets: Sequence[str],
        store: Store,
        metrics: Metrics,
        settings: ServiceSettings,
        utc_now: Callable[[], datetime],
        learn_secrets: Callable[[Sequence[str]], None] | None,
    ) -> None:
        """As `Service`; ``secrets`` are those that stand in no configuration."""
        self.loaded = front_door if isinstance(front_door, Loaded) else None
        """The first configuration, if it came from a file."""
        self._door = front_door.door if isinstance(front_door, Loaded) else front_door
        self._base_url = base_url
        self._secrets = tuple(secrets)
        self._store = store
        self._metrics = metrics
        self._settings = settings
        self._utc_now = utc_now
        self._learn_secrets = learn_secrets
        self._clients = CallsClients(api_key=api_key)
        self._servers = McpServers()
        self._furnishing = Furnishing(self._servers)
        self._supervisor: Supervisor | None = None
        self.watcher: ConfigurationWatcher | None = None
        """Reads the file again; None without one, and before `connect`."""
        self._last_reload: Reload | None = None

    async def begin(self, stack: AsyncExitStack) -> Generation:
        """The first generation. MCP servers run until ``stack`` is left. Raises `UserError` when no session
        can be made of the configuration. Cancel-safe."""
        await stack.enter_async_context(self._servers)
        return await self._furnishing.make(self._door, number=1, loaded_at=self._utc_now())

    async def open_client(self, stack: AsyncExitStack) -> CallsClient:
        """A client for the address that served first; all of them are closed with ``stack``."""
        await stack.enter_async_context(self._clients)
        return await self._clients.open(self._base_url)

    def connect(
        self,
        supervisor: Supervisor,
        group: asyncio.TaskGroup,
        stack: AsyncExitStack,
        *,
        services: CallServices,
        record: Callable[[Fact], None],
        before: Before,
        after: Callable[[Loaded], None],
    ) -> None:
        """Let ``supervisor`` serve what the file says from now on, until ``stack`` is left.

        ``before`` does what may fail (`UserError`) before a new configuration serves, and gives what is done
        in the moment when it begins to; left without that, it undoes what it did. ``after`` is what follows.
        """
        self._supervisor = supervisor
        following = group.create_task(self._furnishing.follow(supervisor), name="MCP tools")
        stack.callback(following.cancel)
        self._serves(supervisor.current, self.loaded, record)
        self._metrics.watch_mcp_servers(lambda: self.mcp_servers)
        self._metrics.watch_generations_in_use(lambda: supervisor.generations_in_use)
        if self.loaded is None:
            return
        self.watcher = self._watch(self.loaded, supervisor, services, record, before, after)
        watching = group.create_task(
            self.watcher.run(poll=self._settings.watch_configuration), name="configuration"
        )
        stack.callback(watching.cancel)

    @property
    def mcp_servers(self) -> dict[str, bool]:
        """By name, whether each server of the generation that serves is up."""
        assert self._supervisor is not None, "it is connected"
        problems = self._furnishing.problems(self._supervisor)
        return {name: problem is None for name, problem in problems.items()}

    def let_go(self) -> None:
        """Of what neither the next call nor one in progress may need: MCP servers, and clients of the API."""
        if self._supervisor is None:
            return
        self._furnishing.let_go(self._supervisor)
        if len(self._clients) > 1:
            # The first one stays: whoever ends calls that nobody holds has it.
            self._clients.keep_only({self._base_url, *self._supervisor.addresses_in_use})

    async def services_at(self, base_url: str) -> CallServices:
        """What calls are served with that come from the API at ``base_url``, for one that begins or goes on
        at once. Raises `UserError`."""
        assert self._supervisor is not None, "it is connected"
        services = self._supervisor.services
        if base_url == services.base_url:
            return services
        return replace(services, client=await self._clients.open(base_url), base_url=base_url)

    async def restore(self, fingerprint: str) -> Generation | None:
        """The generation of a configuration that another process served, from what the store has of it."""
        if self.loaded is None or (kept := await self._store.configuration(fingerprint)) is None:
            return None
        path = Path(self.loaded.document.source.file)
        try:
            door = await asyncio.to_thread(load_stored, kept.text, path, fingerprint=fingerprint)
            # Numbered as none of this process is: it never serves new calls.
            return await self._furnishing.make(
                door, number=0, loaded_at=kept.at, patience_s=RESTORE_PATIENCE_S
            )
        except UserError as error:
            logger.warning("Configuration %s could not be made again: %s", fingerprint, error)
            return None

    def details(self) -> dict[str, object]:
        """Which generation serves, and whether the file can be used as it is now."""
        assert self._supervisor is not None, "it is connected"
        generation, last = self._supervisor.current, self._last_reload
        # Anybody may ask who reaches the port of webhooks: they learn where, and the log says what.
        places = [f"{Path(one.file).name}:{one.line}:{one.column}" for one in last.problems] if last else []
        return {
            "generation": generation.number,
            "fingerprint": generation.fingerprint,
            "loaded_at": generation.loaded_at.isoformat(),
            "last_reload": None if last is None else last.result,
            "problems_at": places[:MOST_PLACES],
        }

    # Inside ------------------------------------------------------------------------------------------

    def _watch(
        self,
        loaded: Loaded,
        supervisor: Supervisor,
        services: CallServices,
        record: Callable[[Fact], None],
        before: Before,
        after: Callable[[Loaded], None],
    ) -> ConfigurationWatcher:
        async def serve(newer: Loaded) -> None:
            number = supervisor.current.number + 1
            base_url = newer.base_url if loaded.base_url == self._base_url else self._base_url
            try:
                generation = await self._furnishing.make(newer.door, number=number, loaded_at=self._utc_now())
                async with before(newer) as take_effect:
                    # Opened last: nobody may let go of it before it is in use.
                    client = await self._clients.open(base_url)
                    # Both in one moment: a call that carriers ask about is served as they were told.
                    supervisor.swap(generation, replace(services, client=client, base_url=base_url))
                    take_effect()
            finally:
                self.let_go()
            self._serves(generation, newer, record)
            after(newer)

        return ConfigurationWatcher(
            Path(loaded.document.source.file),
            loaded,
            on_loaded=serve,
            on_outcome=self._reloaded,
            poll_s=self._settings.reload_poll_s,
            settle_s=self._settings.reload_settle_s,
        )

    def _serves(self, generation: Generation, loaded: Loaded | None, record: Callable[[Fact], None]) -> None:
        self._metrics.configuration_serves(generation.number, generation.loaded_at)
        if loaded is None:
            return
        if self._learn_secrets is not None:
            self._learn_secrets(loaded.secrets)
        redactor = Redactor((*self._secrets, *loaded.secrets))
        record(
            ConfigurationLoaded(
                fingerprint=generation.fingerprint,
                number=generation.number,
                at=generation.loaded_at,
                text=redactor.document(loaded.text),
                summary=loaded.summary,
            )
        )

    def _reloaded(self, outcome: Reload) -> None:
        self._last_reload = outcome
        self._metrics.configuration_reloaded(outcome.result)
