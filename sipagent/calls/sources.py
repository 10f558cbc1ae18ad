"""Who sends a request, and how often it may be wrong. Pure.

What a stranger sends is refused at no cost to us but the reading of it; whoever sends much of that is not
even read any more. A source is an address, or the network of a subscriber (``/64``) for IPv6, where one
machine has more addresses than anybody can count.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

LOCAL_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
"""Where a proxy or a load balancer of one's own stands: nobody reaches us from there over the internet."""
MOST_HOPS = 20
"""Entries of ``X-Forwarded-For`` that are looked at, from the nearest one."""
SUBSCRIBER_BITS = 64
TRUSTED_S = 24 * 3600.0


class Sources:
    """Tells sources apart, behind proxies that are trusted to say whom they speak for."""

    def __init__(self, trusted_proxies: Sequence[Network] = LOCAL_NETWORKS) -> None:
        """Only the addresses of ``trusted_proxies`` may name somebody else as the sender."""
        self._trusted = tuple(trusted_proxies)

    def source_of(self, peer: str | None, forwarded: Sequence[str] = ()) -> str | None:
        """Who sends a request from the address ``peer`` with these values of ``X-Forwarded-For``.

        None when that cannot be told: nothing but trusted proxies is known, or no address at all.
        """
        hops = [hop.strip() for value in forwarded for hop in value[-4096:].split(",")][-MOST_HOPS:]
        for text in (peer or "", *reversed(hops)):
            address = _address(text)
            if address is None:
                return None
            if not self._is_trusted(address):
                return _source(address)
        return None

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that ``text`` is, with or without a port, brackets or a zone."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _source(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, SUBSCRIBER_BITS), strict=False))


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class FailureLimit:
    """How many failures of one source are borne: ``burst`` at once, and ``per_minute`` in the long run.

    ``now`` is in seconds on any one clock. At most ``capacity`` sources are remembered; beyond it, the one
    that failed longest ago is forgotten.
    """

    def __init__(self, *, burst: int, per_minute: float, capacity: int = 10_000) -> None:
        self._burst = burst
        self._per_s = per_minute / 60
        self._capacity = capacity
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._trusted: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many sources are remembered."""
        return len(self._buckets)

    def blocked_s(self, source: str | None, now: float) -> float:
        """For how many seconds ``source`` is not listened to any more; 0: it is listened to. Sources that
        cannot be told apart (None) always are, lest strangers lock out everybody behind the same proxy."""
        bucket = None if source is None else self._buckets.get(source)
        if bucket is None or source is None or self._is_trusted(source, now):
            return 0.0
        missing = 1.0 - self._left(bucket, now)
        return missing / self._per_s if missing > 0 else 0.0

    def failed(self, source: str | None, now: float) -> bool:
        """``source`` was wrong once more; whether it is blocked from now on, and was not before."""
        if source is None:
            return False
        bucket = self._buckets.setdefault(source, _Bucket(left=self._burst, at=now))
        before = self._left(bucket, now)
        bucket.left, bucket.at = max(0.0, before - 1.0), now
        self._buckets.move_to_end(source)
        while len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        return before >= 1.0 > bucket.left and not self._is_trusted(source, now)

    def succeeded(self, source: str | None, now: float) -> None:
        """``source`` was right: it is listened to for `TRUSTED_S` seconds, whatever else comes from there. It
        may be a company that speaks for many, and one of its customers must not lock out another."""
        if source is None:
            return
        self._trusted[source] = now
        self._trusted.move_to_end(source)
        while len(self._trusted) > self._capacity:
            self._trusted.popitem(last=False)

    def _is_trusted(self, source: str, now: float) -> bool:
        since = self._trusted.get(source)
        return since is not None and now - since < TRUSTED_S

    def _left(self, bucket: _Bucket, now: float) -> float:
        return min(float(self._burst), bucket.left + max(0.0, now - bucket.at) * self._per_s)


def whole_seconds(seconds: float) -> str:
    """For a ``Retry-After`` header: rounded up, at least 1."""
    return str(max(1, math.ceil(seconds)))
