"""What is found out about one call before it is answered: the values of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import aiohttp

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lookup import Lookup, LookupOutcome, fetch_all, open_lookup_session
from sipagent.calls.variables import Business, CallFacts, Opening, values_of


class OpeningHours(Protocol):
    """What is needed of a calendar."""

    def opening(self, now: datetime) -> Opening:
        """Whether it is open at ``now``, an aware moment, and until when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefed:
    """What is known of one call. ``outcomes`` tells how each lookup went, without any value."""

    values: Mapping[str, str]
    outcomes: tuple[LookupOutcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """Where the values of a configuration's variables come from."""

    business: Business = field(default_factory=Business)
    own: Mapping[str, str] = field(default_factory=dict)
    calendars: Mapping[str, OpeningHours] = field(default_factory=dict)
    lookups: tuple[Lookup, ...] = ()

    async def about(
        self,
        call: IncomingCall,
        *,
        now: datetime,
        deadline: float,
        http: aiohttp.ClientSession | None = None,
    ) -> Briefed:
        """The value of each name for ``call``, which came at ``now``; lookups may take until ``deadline``
        (``loop.time()``). They go over ``http``, or else over connections of their own.

        Raises nothing but `asyncio.CancelledError`; cancel-safe.
        """
        values = values_of(
            CallFacts(
                caller=call.caller,
                dialled=call.dialled,
                sip_headers=call.sip_headers,
                now=now,
                business=self.business,
                calendars={name: calendar.opening(now) for name, calendar in self.calendars.items()},
                own=self.own,
            )
        )
        if not self.lookups:
            return Briefed(values=values)
        async with open_lookup_session() if http is None else nullcontext(http) as session:
            looked_up = await fetch_all(self.lookups, values, deadline=deadline, http=session)
        values.update((name, value) for name, value in looked_up.values.items() if value)
        return Briefed(values=values, outcomes=looked_up.outcomes)
