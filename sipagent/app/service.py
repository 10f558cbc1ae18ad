"""The service, put together: the only place where the rooms meet. Start, drain, stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import Self

from sipagent.app.carriers import Carriers
from sipagent.app.doors import Doors
from sipagent.app.membership import Membership
from sipagent.app.opening import open_later
from sipagent.app.serving import Serving
from sipagent.app.settings import ServiceSettings, SpokenWords
from sipagent.app.stopping import serve_until
from sipagent.calls import (
    CallObserver,
    CallServices,
    FrontDoor,
    Generation,
    Recorder,
    Spill,
    Supervisor,
    WebhookVerifier,
)
from sipagent.calls.access import Access
from sipagent.calls.day_spend import DaySpendReader
from sipagent.calls.lookup import open_lookup_session
from sipagent.calls.retention import RecordingRetention, folders_of
from sipagent.calls.sources import Sources
from sipagent.calls.watched import WatchedStore
from sipagent.carrier.settings import CarrierSettings
from sipagent.clock import utc_now
from sipagent.config import Loaded, Reload
from sipagent.dashboard import Readiness, Reloaded
from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId
from sipagent.realtime.session_events import RealtimeSessionEvent, RealtimeTranscriptDelta
from sipagent.store import Fact, Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)


class Service:
    """Answers calls while its context is open. Leaving it drains, hangs up what is left, and stops."""

    def __init__(
        self,
        *,
        front_door: FrontDoor | Loaded,
        api_key: str,
        base_url: str,
        webhook_secrets: Sequence[str],
        store: Store,
        settings: ServiceSettings | None = None,
        utc_now: Callable[[], datetime] = utc_now,
        learn_secrets: Callable[[Sequence[str]], None] | None = None,
        watch: Callable[[Fact], None] | None = None,
        carriers: CarrierSettings | None = None,
    ) -> None:
        """``base_url`` is the REST base of the Realtime API; raises `UserError` for unusable secrets. Where
        it is the one that ``front_door`` was loaded with, it follows the file when that is loaded again.

        ``utc_now`` is the clock that calendars and records go by; a test that plays a holiday brings its own.
        A ``front_door`` that was loaded from a file is loaded again when the file changes; ``learn_secrets``
        hears of the secrets of every configuration that serves, ``watch`` of every fact that the store has
        kept. The service opens ``store`` and closes it. ``carriers`` are those of a ``front_door`` that came
        from no file; a file has its own.
        """
        self._api_key = api_key
        self._base_url = base_url
        self._store = store
        self._settings = settings or ServiceSettings()
        self._utc_now = utc_now
        self._watch_kept = watch
        self.metrics = Metrics()
        self._observers: list[CallObserver] = []
        self._stack = AsyncExitStack()
        self._serving = Serving(
            front_door,
            api_key=api_key,
            base_url=base_url,
            secrets=(api_key, *webhook_secrets),
            store=store,
            metrics=self.metrics,
            settings=self._settings,
            utc_now=utc_now,
            learn_secrets=learn_secrets,
        )
        self._stop = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._membership = Membership(
            store, settings=self._settings.shift, metrics=self.metrics, utc_now=utc_now
        )
        loaded = self._serving.loaded
        self._carrier_settings = carriers if loaded is None else loaded.carriers
        self._carriers: Carriers | None = None
        self._doors = Doors(
            access=Access() if loaded is None else loaded.access,
            verifier=WebhookVerifier(webhook_secrets),
            store=store,
            metrics=self.metrics,
            settings=self._settings,
            utc_now=utc_now,
            readiness=self._readiness,
            reload=None if loaded is None else self._read_again,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exception_type, exception, traceback)

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return self._doors.port

    @property
    def webhook_url(self) -> str:
        """Where OpenAI (or the simulator) posts webhooks, as seen from this machine."""
        return self._doors.webhook_url

    @property
    def audio_socket_port(self) -> int | None:
        """The TCP port for the audio of an Asterisk; None without one."""
        return None if self._carriers is None else self._carriers.audio_socket_port

    @property
    def admin_port(self) -> int | None:
        """The TCP port of what is not for everybody, where it has one of its own."""
        return self._doors.admin_port

    @property
    def live_calls(self) -> int:
        """How many calls are up or being answered."""
        return self._running.live_calls

    @property
    def generation(self) -> Generation:
        """The configuration that serves the next call."""
        return self._running.current

    @property
    def mcp_servers(self) -> dict[str, bool]:
        """By name, whether each server of the generation that serves is up."""
        return self._serving.mcp_servers

    async def reload(self) -> Reload:
        """Read the configuration again, now, and let it serve the next call if it can; calls in progress keep
        theirs. For a service whose configuration came from a file. Raises nothing, and cancelling is safe."""
        assert self._serving.watcher is not None, "there is no file to read again"
        return await self._serving.watcher.reload()

    def observe(self, observer: CallObserver) -> None:
        """Let ``observer`` see every session event of every call; it must return quickly, raise nothing."""
        self._observers.append(observer)

    def observe_words(self, observer: Callable[[SpokenWords], None]) -> None:
        """Let ``observer`` see the words of every call while they are spoken; it must return quickly.

        The whole lines, in order and with corrections, are in the call's record.
        """

        def take(call_id: CallId, event: RealtimeSessionEvent) -> None:
            if isinstance(event, RealtimeTranscriptDelta):
                observer(
                    SpokenWords(call_id=call_id, item_id=event.item_id, role=event.role, words=event.delta)
                )

        self.observe(take)

    def stop(self) -> None:
        """Ask `serve_until_stopped` to drain and return. Safe from a signal handler."""
        self._stop.set()

    async def drain(self, timeout_s: float) -> int:
        """Hand the live calls to other workers; where there are none, refuse new calls and let the live ones
        finish, see `Supervisor.drain`."""
        shift = self._membership.shift
        assert shift is not None, "the service's context is open"
        if self._settings.hands_over and await shift.hand_over():
            return 0
        return await self._running.drain(timeout_s)

    async def serve_until_stopped(self) -> int:
        """Serve until SIGTERM, SIGINT or `stop`; then drain. Returns the exit code.

        A second signal ends the drain at once. SIGHUP reads the configuration again. Cancelling leaves
        draining to the context manager.
        """
        await serve_until(
            self._stop,
            drain=lambda: self.drain(self._settings.drain_timeout_s),
            reload=None if self._serving.watcher is None else self._serving.watcher.ask,
        )
        return 0

    # Putting it together ---------------------------------------------------------------------------

    @property
    def _running(self) -> Supervisor:
        assert self._supervisor is not None, "the service's context is open"
        return self._supervisor

    async def _start(self, stack: AsyncExitStack) -> None:
        # The servers are left last but for the store: the tools of calls that are ended may still use them.
        generation = await self._serving.begin(stack)
        stack.push_async_callback(self._store.aclose)
        store_is_open = await self._store_opened()
        client = await self._serving.open_client(stack)
        folder = self._settings.spill
        spill = None if folder is None else Spill(folder, began_at=self._utc_now())
        kept = self._store if self._watch_kept is None else WatchedStore(self._store, self._watch_kept)
        recorder = Recorder(kept, self.metrics, spill=spill)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(recorder.run(), name="recorder")
        stack.push_async_callback(recorder.aclose)
        if not store_is_open:
            opening = group.create_task(open_later(self._store), name="open the database")
            stack.callback(opening.cancel)
        services = CallServices(
            client=client,
            api_key=self._api_key,
            base_url=self._base_url,
            metrics=self.metrics,
            settings=self._settings.calls,
            observe=self._observed,
            http=await stack.enter_async_context(open_lookup_session()),
            utc_now=self._utc_now,
            memory=self._store,
        )
        # After the last call has ended: until then the lease is kept, and then nobody is to adopt what ended.
        stack.push_async_callback(self._membership.leave, recorder)
        self._supervisor = await stack.enter_async_context(
            Supervisor(
                generation=generation,
                services=services,
                record=recorder.record,
                utc_now=self._utc_now,
                call_over=self._serving.let_go,
                carrier_side=lambda leg: None if self._carriers is None else self._carriers.side_of(leg),
            )
        )
        self._carriers = await stack.enter_async_context(self._new_carriers(recorder))
        await self._follow_spending(group, stack)
        retention = RecordingRetention(
            self._store,
            self.metrics.carriers,
            utc_now=self._utc_now,
            folders=lambda: folders_of(self._running.current.door.profiles.values()),
        )
        group.create_task(retention.run(), name="recordings' retention")
        stack.callback(retention.stop)
        self._serving.connect(
            self._running,
            group,
            stack,
            services=services,
            record=recorder.record,
            before=self._before_it_serves,
            after=lambda newer: self._doors.let_in(newer.access),
        )
        await self._membership.join(
            group,
            stack,
            supervisor=self._running,
            services=services,
            serving=self._serving,
            recorder=recorder,
        )
        await self._doors.open(
            stack, supervisor=self._running, shift=self._membership.shift, carriers=self._carriers
        )
        stack.push_async_callback(self._end_calls, self._carriers)

    def _new_carriers(self, recorder: Recorder) -> Carriers:
        return Carriers(
            self._carrier_settings,
            supervisor=lambda: self._running,
            shift=lambda: self._membership.shift,
            recorder=recorder,
            store=self._store,
            metrics=self.metrics,
            utc_now=self._utc_now,
            sources=self._doors.sources,
        )

    async def _store_opened(self) -> bool:
        """Whether the database is there. Raises `StoreError` for one that can never be used."""
        try:
            await self._store.open()
        except StoreAwayError as error:
            logger.error("Calls are answered without a database until it is there: %s", error)
            return False
        return True

    async def _follow_spending(self, group: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
        """Learn what the day has cost before the first call, if the database says it in time, and from then
        on."""
        spending = DaySpendReader(
            self._store,
            self._running.day,
            door=lambda: self._running.current.door,
            utc_now=self._utc_now,
        )
        await spending.refresh(within_s=self._settings.store_timeout_s)
        reading = group.create_task(spending.run(), name="day's spend")
        stack.callback(reading.cancel)

    def _before_it_serves(self, newer: Loaded) -> AbstractAsyncContextManager[Callable[[], None]]:
        assert self._carriers is not None, "they were put together before"
        return self._carriers.change(newer.carriers, Sources(newer.access.trusted_proxies))

    async def _end_calls(self, carriers: Carriers) -> None:
        """Hang up what is left, while carriers can ask what is to become of callers whose audio came here."""
        await self._running.hang_up_all()
        await carriers.answered()

    def _observed(self, call_id: CallId, event: RealtimeSessionEvent) -> None:
        for observer in self._observers:
            observer(call_id, event)

    # What machines ask -----------------------------------------------------------------------------

    async def _readiness(self) -> Readiness:
        """Whether new calls should come here."""
        problems: list[str] = []
        stopping = self._running.draining or self._stop.is_set()
        if stopping:
            problems.append("draining")
        # Calls are answered without a database, and their records kept. Were that no readiness, a balancer
        # would take every worker away at once, and callers would notice what they need not.
        try:
            async with asyncio.timeout(self._settings.store_timeout_s):
                await self._store.ping()
        except (StoreError, TimeoutError):
            problems.append("the database does not answer")
        details = {
            "problems": problems,
            "live_calls": self.live_calls,
            "configuration": self._serving.details(),
            # Why one is down is for the log: anybody may ask here who reaches the port of webhooks.
            "mcp_servers": {name: "up" if up else "down" for name, up in self.mcp_servers.items()},
        }
        return Readiness(ready=not stopping, details=details)

    async def _read_again(self) -> Reloaded:
        """For whoever has the role `admin`: they learn what is wrong, too."""
        reload = await self.reload()
        details = {
            "result": reload.result,
            "configuration": self._serving.details(),
            "problems": [asdict(problem) for problem in reload.problems],
        }
        return Reloaded(usable=reload.result != "failed", details=details)
