"""Who may look at a running service, and who may act on its calls. Pure.

Whoever shows a token is the one it is named after, and may do what its role allows. Tokens are kept as
digests and compared in constant time, each with what is shown: how long that takes tells nothing about them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from sipagent.calls.sources import LOCAL_NETWORKS, Network

SHORTEST_TOKEN = 16
"""Characters; fewer can be guessed."""
LONGEST_TOKEN = 512


class Role(IntEnum):
    """What somebody may do; each role may do what those before it may."""

    READ = 1
    """Look: metrics, readiness, calls."""
    OPERATE = 2
    """Act on calls: hang up, transfer, say."""
    ADMIN = 3
    """Read the configurations, and have them read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody who has shown a token."""

    name: str
    """Of the token, as the configuration calls it."""
    role: Role

    def may(self, role: Role) -> bool:
        """Whether that takes no higher role than theirs."""
        return self.role >= role


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token, by its digest."""

    visitor: Visitor
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, token: str, role: Role) -> AccessToken:
        """The token ``token``, which is called ``name``."""
        return cls(visitor=Visitor(name=name, role=role), digest=_digest(token))


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who is let in, of one configuration."""

    tokens: tuple[AccessToken, ...] = ()
    """None: nobody may do more than everybody."""
    listen: tuple[str, int] | None = None
    """An address of its own for what is not for everybody; None: the one that webhooks come to."""
    trusted_proxies: Sequence[Network] = LOCAL_NETWORKS
    """Whose ``X-Forwarded-For`` is believed."""

    @property
    def is_open_to_somebody(self) -> bool:
        """Whether there is a token at all."""
        return bool(self.tokens)

    def visitor(self, token: str) -> Visitor | None:
        """Whose token it is, or None. Looks at every token, whichever fits."""
        shown = _digest(token[:LONGEST_TOKEN])
        found: Visitor | None = None
        for known in self.tokens:
            if hmac.compare_digest(known.digest, shown):
                found = known.visitor
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
