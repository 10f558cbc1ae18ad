"""Which worker a call belongs to, and what may not happen twice.

A *worker* is one process that answers calls. It *joins*, *renews* its lease again and again, and *leaves*.
A *claim* says that a call belongs to a worker; every other claim of the same call is refused, whichever
process makes it. The claim goes when the call has ended: in the transaction that writes `CallEnded`.

A worker is *gone*, and its calls may be adopted, when it has left, when its lease has run out, or when it is
known to be dead: whatever holds its *liveness* (a lock that the database or the kernel frees when a process
dies) is free, and it has not been seen for a while. Once others were let to its calls it stays gone: its next
renewal is refused, and it must let go of every call it believes to have.

Each adoption raises the *epoch* of the call by one. Whatever carries an older epoch comes too late and
changes nothing.

All times are told by the clock of the database, never by a worker's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, get_args

from sipagent.identifiers import CallId, WorkerId

NOBODY = WorkerId("")
"""Has the calls that were handed over and that nobody has adopted yet."""

# Values --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedCall:
    """A call that is up, and the worker it belongs to."""

    call_id: CallId
    worker: WorkerId
    epoch: int
    """1 for the worker that answered the call; one more for each adoption."""
    claimed_at: datetime
    """When the first worker claimed it."""
    webhook: str
    """What the claim was made with, so that another worker can answer the call."""
    checkpoint: str | None
    """``data`` of the last `CallCheckpointed`, or None."""
    former: WorkerId | None
    """Whom the call was adopted from, or None."""
    unseen_s: float
    """For how long the worker had not been seen; of a call that was adopted just now, the former one."""


WorkerState = Literal["up", "late", "left", "gone"]
"""``late``: the lease has run out and nobody has taken its calls yet. ``gone``: somebody was let to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """A worker as the database knows it."""

    worker: WorkerId
    name: str
    """For people: host and process, say."""
    state: WorkerState
    seen_s: float
    """Seconds since it joined or renewed for the last time."""
    calls: int
    """How many calls are up that belong to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectBegun:
    """The effect was begun by this request, for the first time: it may be carried out, by nobody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectKnown:
    """The effect had been begun before: it must not be carried out again."""

    output: str | None
    """What came of it; None when it was begun and nothing is known of its end."""
    is_error: bool
    worker: WorkerId
    epoch: int
    """Who began it. The same worker and epoch: an earlier request of our own whose answer was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFenced:
    """The call belongs to somebody else by now: nothing may be carried out."""


EffectAnswer = EffectBegun | EffectKnown | EffectFenced


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One entry of the ledger of what tools did in a call."""

    key: str
    worker: WorkerId
    epoch: int
    begun_at: datetime
    output: str | None
    """None until it has finished."""
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCommand:
    """What somebody asks of a call that is up, whichever worker holds it."""

    command_id: str
    call_id: CallId
    verb: str
    argument: str
    asked_by: str
    """A user of the operating system, or the name of a token; never a secret."""
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutcome:
    """What came of a command."""

    outcome: str
    """One of few words."""
    detail: str
    """One sentence for people; never a secret."""
    answered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """Who asked what of a call, and what came of it: None until somebody answered."""

    command: CallCommand
    outcome: CommandOutcome | None


SignalKind = Literal["command", "orphans"]
"""``command``: there is a command for a call of this worker. ``orphans``: there are calls to adopt."""


SIGNALS: Mapping[str, SignalKind] = {kind: kind for kind in get_args(SignalKind)}

# What a store does ----------------------------------------------------------------------------------


class CallLeases(Protocol):
    """Claims, leases, effects and commands. Every store does this beside `CallStore`.

    Every method raises `StoreError` when the database refuses, `StoreAwayError` when it is not there, within
    bounded time. What was asked may have been done even so, its answer being lost; each method says what
    asking again does. Cancelling is safe in the same sense.
    """

    # Workers

    async def join(self, worker: WorkerId, *, name: str, lease_s: float) -> None:
        """Become a worker whose lease lasts ``lease_s`` from now; hold its liveness until it leaves, the
        store is closed or the process dies.

        Joining again renews the lease. A worker that has left or is gone cannot come back: `WorkerGoneError`.
        """

    async def renew(self, worker: WorkerId, *, lease_s: float) -> bool:
        """Let the lease last ``lease_s`` from now. False: the worker has left, is unknown, or others were let
        to its calls. Asking again does the same again."""

    async def leave(self, worker: WorkerId) -> None:
        """Give up the lease: whatever calls are left may be adopted at once, and everybody who listens hears
        "orphans". Ends `listen`. Leaving again changes nothing."""

    async def workers(self) -> tuple[WorkerSeen, ...]:
        """Every worker that is up or late, and for a day those that are no more; the last seen first."""

    async def uptime_s(self) -> float:
        """For how many seconds the database has been up without a pause, as it says itself; ``inf`` when it
        cannot be down while its users are up (a file, memory)."""

    # Claims

    async def claim_all(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> Mapping[CallId, int]:
        """Claim calls, each with what others need to answer it; all of them or, when it fails, none.

        Returns those that belong to ``worker`` now, each with its epoch. The others belong to somebody else,
        or have ended. A call that ``worker`` has already stays as it is and is among them, so that a claim
        whose answer was lost can be repeated; an epoch above 1 is that of an adoption. However many: one
        round trip, one transaction.
        """

    async def adopt(
        self, worker: WorkerId, *, limit: int, quiet_s: float, take_back: bool = False
    ) -> tuple[ClaimedCall, ...]:
        """Take over at most ``limit`` calls of workers that are gone, those claimed first first.

        Of workers that adopt at the same time each gets other calls. Whoever was found gone is gone for good,
        even if no call of it was taken. ``quiet_s`` is how long a worker whose liveness is free must not have
        been seen. ``take_back``: calls are among them that ``worker`` handed over and nobody has. When the
        answer is lost, `claims` tells what was taken.
        """

    async def hand_over(self, worker: WorkerId, call_ids: Sequence[CallId]) -> None:
        """Give up those of the calls that belong to ``worker``: any other worker may adopt them at once, and
        everybody who listens hears "orphans". ``worker`` stays what it is, and gets them back by adoption
        only if it asks for that. Asking again changes nothing."""

    async def claims(self, worker: WorkerId) -> tuple[ClaimedCall, ...]:
        """The calls that belong to ``worker``, those claimed first first."""

    async def holder(self, call_id: CallId) -> ClaimedCall | None:
        """Whom a call belongs to; None when it has ended or was never claimed."""

    # Effects

    async def begin_effect(self, call_id: CallId, key: str, worker: WorkerId, epoch: int) -> EffectAnswer:
        """Ask whether ``worker``, which holds the call in ``epoch``, may carry out the effect ``key``.

        However often and by whomever it is asked, `EffectBegun` is answered at most once.
        """

    async def finish_effect(self, call_id: CallId, key: str, output: str, is_error: bool) -> None:
        """Remember what came of an effect. The first end counts. One that was not begun (the database was
        away) is entered as begun and finished."""

    async def effects(self, call_id: CallId) -> tuple[Effect, ...]:
        """The ledger of one call, those begun first first."""

    # Commands

    async def ask(self, command: CallCommand) -> None:
        """Write the command down and signal it to the worker that holds the call. A ``command_id`` that is
        known already changes nothing."""

    async def commands(self, worker: WorkerId) -> tuple[CallCommand, ...]:
        """The unanswered commands for calls that belong to ``worker``, those asked first first."""

    async def answer(self, command_id: str, outcome: str, detail: str) -> bool:
        """Write down what came of a command. False, and nothing is changed: it is answered already, or
        unknown. Whoever asked may answer it too, to take it back."""

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        """What came of a command, or None as long as nobody has answered."""

    async def audit(self, call_id: CallId) -> tuple[AuditLine, ...]:
        """Every command that was ever asked of a call, those asked first first."""

    # Signals

    async def listen(self, worker: WorkerId, called: Callable[[SignalKind], None]) -> None:
        """From now on call ``called`` on the event loop when there is something to look at, until ``worker``
        leaves or the store is closed.

        It may be called without a cause, and a signal may be lost, which must cost no more than time: workers
        look by themselves too. It is called with both kinds after a connection was lost and had again.
        ``called`` must neither block nor raise. Needs `join` first.
        """
