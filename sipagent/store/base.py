"""What every store can do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from sipagent.identifiers import CallId
from sipagent.store.carrier_records import CarrierReported, RecordingFile
from sipagent.store.leases import CallLeases
from sipagent.store.records import CallRecord, CallSummary, ConfigurationLoaded, Fact, UsageTotal


class CallStore(Protocol):
    """Remembers calls as facts, and gives them back as records.

    A store is opened once, used by one event loop, and closed once. Every method raises `StoreError`
    when the database refuses, and `StoreAwayError` when it is not there.
    """

    async def open(self) -> None:
        """Connect, and bring the database to the present schema. Needed before anything else."""

    async def aclose(self) -> None:
        """Let go of the database. Idempotent; facts whose `apply` has returned are kept."""

    async def ping(self) -> None:
        """Return when the database answers."""

    async def apply(self, facts: Sequence[Fact]) -> None:
        """Remember ``facts``, all or none.

        Applying a fact again changes nothing. The first `CallOpened` and the first `CallEnded` of a
        call, the first `ConfigurationLoaded` of a fingerprint, the first `CarrierReported` of an event and
        the first `RecordingDeleted` of a recording count, later ones are ignored; of the other kinds the
        last fact with the same identity counts, except that a tool which has finished and a recording
        which is whole stay so, and that the last line is told by its time. A fact of a call that was never
        opened is kept under a call of which nothing else is known; what a carrier reports is kept without
        a call. The end of a call ends its claim.

        Cancelling is safe: the facts are then remembered all (perhaps a moment later) or none of them,
        and applying them again puts either right.
        """

    async def call(self, call_id: CallId) -> CallRecord | None:
        """All that is known of one call, or None. Cancelling is safe.

        ``states`` begins with ``ringing`` (sequence 0) when the call was opened. Its carrier's reports are
        those that name the call, those of its leg and those of legs whose parent that is.
        """

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """At most ``limit`` calls, newest first. Cancelling is safe.

        ``before`` keeps calls that started earlier than it, ``agent`` those of one agent, ``reason``
        those that ended for it.
        """

    async def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """The configuration that `CallRecord.configuration` names, or None. Cancelling is safe."""

    async def configurations(self, *, limit: int = 50) -> tuple[ConfigurationLoaded, ...]:
        """At most ``limit`` configurations, the one loaded last first. Cancelling is safe."""

    async def unfinished(self, before: datetime) -> tuple[CallSummary, ...]:
        """The calls that started earlier than ``before`` and have neither an end nor a claim, oldest first:
        what nobody will end any more. Cancelling is safe."""

    async def carrier_reports(
        self, carrier_call_id: str, *, carrier: str | None = None
    ) -> tuple[CarrierReported, ...]:
        """What was reported of a leg, and of legs whose parent it is, in the order of time; by ``carrier``
        alone, or by any. Cancelling is safe."""

    async def calls_of_leg(self, carrier_call_id: str) -> tuple[CallSummary, ...]:
        """The calls that came by a carrier's leg, newest first: several where one way to answer failed and
        another was tried. Cancelling is safe."""

    async def recordings_due(
        self, now: datetime, *, limit: int = 100, after: RecordingFile | None = None
    ) -> tuple[RecordingFile, ...]:
        """At most ``limit`` recordings that are kept and should not be any more at ``now``, in a fixed order;
        with ``after``, those that follow it. Cancelling is safe."""

    async def recordings_at(self, paths: Collection[str]) -> tuple[RecordingFile, ...]:
        """The recordings whose files are, or were, at one of ``paths``. Cancelling is safe."""

    async def usage_since(self, moment: datetime) -> tuple[UsageTotal, ...]:
        """What all calls have used at ``moment`` or later, by model and kind. Cancelling is safe."""


class Store(CallStore, CallLeases, Protocol):
    """What `open_store` returns: records of calls, and who holds which."""
