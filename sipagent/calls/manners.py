"""How an agent behaves on the telephone: when it asks whether anybody is there, and how calls are ended.

Times are in seconds. Words are templates, said as they stand with what is known of the call put in.
"""

from __future__ import annotations

from dataclasses import dataclass

from sipagent.calls.template import Template
from sipagent.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleStep:
    """One rung of the ladder that a silent caller climbs. Raises `UserError` unless it has a time above
    zero and either ``say`` or ``hang_up``."""

    after_s: float
    """Since the agent was last heard to its end, and nothing has happened since."""
    say: Template | None = None
    """Asked of the caller; the next step counts from the end of these words."""
    hang_up: Template | None = None
    """The goodbye with which the call ends. A caller who speaks meanwhile is not hung up on."""

    def __post_init__(self) -> None:
        if not self.after_s > 0:
            raise UserError(f"An idle step comes after some time, not after {self.after_s:g} s.")
        if (self.say is None) == (self.hang_up is None):
            raise UserError("An idle step either says something or hangs up.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapUp:
    """How a call is brought to its end before its time is over. Raises `UserError` for no time at all."""

    before_s: float = 60.0
    """Before the end; at most half of the longest duration."""
    say: Template | None = None
    """Said then; None tells the agent, which finds words of its own, in the language that is spoken."""

    def __post_init__(self) -> None:
        if not self.before_s > 0:
            raise UserError(f"Wrapping up takes some time, not {self.before_s:g} s.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLimits:
    """When a conversation counts as one that leads nowhere. Short lines ("Yes?") never count as repeated."""

    same_agent_lines: int = 6
    """The agent said the same so often within its last twelve lines."""
    same_caller_lines: int = 5
    """The same of the caller's line, as announcements of a queue or a machine do."""
    same_lines_of_both: int = 3
    """Both sides so often within their last six: two machines that thank each other."""
    wordless_s: float = 120.0
    """Speech of so long was heard on the caller's line without a word in it: music."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """The telephone manners of one agent. What is not set is left to the limits of every call (`CallLimits`),
    which end a call without a word."""

    idle: tuple[IdleStep, ...] = ()
    """In order; speech and keys of the caller begin it anew, a running tool stops its clock. The last one may
    hang up; after one that does not, the silence is left to the limits."""
    maximum_duration_s: float | None = None
    """Since the call was attached to; None leaves it to the limits, and more than theirs has no effect. What
    the agent has who answers counts for the whole call."""
    wrap_up: WrapUp | None = None
    """With it, a call whose time is over ends with a goodbye; None hangs up at once."""
    goodbye: Template | None = None
    """Said at the end of a call whose time is over, or that leads nowhere; None has the agent say goodbye in
    words of its own."""
    loops: LoopLimits | None = None
    """None does not look for loops and music."""
    spend_say: Template | None = None
    """Said when a call is ended for what it costs; None is as `goodbye`."""
    repairs_transfers: bool = True
    """Whether an agent that announced a transfer, and did not begin one, is told so."""


GOOD_MANNERS = Manners(wrap_up=WrapUp(), loops=LoopLimits())
"""What an operator who says nothing gets. A silent caller is left to the limits: nobody knows their words."""
