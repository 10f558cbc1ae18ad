"""What held before the configuration changed, and by which carriers may still speak for a while. Pure.

A carrier does not change its keys when our file does. It signs by the old one until somebody has pressed the
button in its console, and calls in progress have addresses and tokens that were made before. So what a reload
takes away holds on, in two ways, both bounded: for `OVERLAP_S` seconds it may announce new calls, where
another has taken its place; and for `HOLDS_ON_S` seconds, which is the longest that a call lasts, it may tell
of calls that are known already.

It is remembered by the processes that had it, and by nobody else: a restart ends it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sipagent.carrier.settings import CarrierSettings, TelnyxSettings, TwilioSettings
from sipagent.carrier.tokens import LONGEST_AGE_S, Retired

OVERLAP_S = 15 * 60.0
"""Between the change in our file and the one in a carrier's console."""
HOLDS_ON_S = float(LONGEST_AGE_S)
MOST_RETIRED = 4
"""Of one kind, that many are remembered: the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What held before, of one service."""

    public_urls: tuple[Retired, ...] = ()
    twilio_auth_tokens: tuple[Retired, ...] = field(default=(), repr=False)
    telnyx_public_keys: tuple[Retired, ...] = ()
    telnyx_api_keys: tuple[Retired, ...] = field(default=(), repr=False)
    twilio: TwilioSettings | None = None
    """The account that is not in the configuration any more, while calls of it may be up."""
    telnyx: TelnyxSettings | None = None

    def followed(self, before: CarrierSettings, now: CarrierSettings | None, now_s: float) -> Former:
        """What held before ``now`` does, which follows ``before`` at ``now_s`` (Unix seconds). None is for a
        configuration without carriers."""
        twilio = None if now is None else now.twilio
        telnyx = None if now is None else now.telnyx
        auth_tokens = _retired(
            self.twilio_auth_tokens, _auth_tokens(before.twilio), _auth_tokens(twilio), now_s
        )
        public_keys = _retired(
            self.telnyx_public_keys, _public_keys(before.telnyx), _public_keys(telnyx), now_s
        )
        return Former(
            public_urls=_retired(
                self.public_urls, (before.public_url,), () if now is None else (now.public_url,), now_s
            ),
            twilio_auth_tokens=auth_tokens,
            telnyx_public_keys=public_keys,
            telnyx_api_keys=_retired(
                self.telnyx_api_keys, _api_keys(before.telnyx), _api_keys(telnyx), now_s
            ),
            twilio=(before.twilio or self.twilio) if twilio is None and auth_tokens else None,
            telnyx=(before.telnyx or self.telnyx) if telnyx is None and public_keys else None,
        )


def _retired(
    known: Iterable[Retired], before: Iterable[str], now: tuple[str, ...], now_s: float
) -> tuple[Retired, ...]:
    """The latest first."""
    calls_until_s = now_s + OVERLAP_S if now else now_s
    added = [
        Retired(value=value, calls_until_s=calls_until_s, until_s=now_s + HOLDS_ON_S)
        for value in before
        if value not in now
    ]
    kept = [
        one
        for one in known
        if one.until_s > now_s and one.value not in now and all(one.value != new.value for new in added)
    ]
    return (*added, *kept)[:MOST_RETIRED]


def _auth_tokens(account: TwilioSettings | None) -> tuple[str, ...]:
    return () if account is None else account.auth_tokens


def _public_keys(account: TelnyxSettings | None) -> tuple[str, ...]:
    return () if account is None else account.public_keys


def _api_keys(account: TelnyxSettings | None) -> tuple[str, ...]:
    return () if account is None else (account.api_key,)
