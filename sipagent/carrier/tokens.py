"""What we tell ourselves through a carrier: a leg, and where its call is, in a few signed characters. Pure.

A token travels in callback URLs, in a SIP header, as a parameter of a media stream and as the client state of
a Call Control command, and comes back by ways that others can write to. It holds no secret, and any process
that knows the carrier's keys can read it: nothing needs to be kept between two webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sipagent.calls.incoming import CarrierLeg
from sipagent.errors import UserError, WebhookLateError, WebhookSignatureError

TOKEN_HEADER = "X-Sipagent-Leg"  # noqa: S105 - the name of a header  # nosec B105
"""The SIP header by which a leg that the carrier dials tells whose it is."""
LONGEST_AGE_S = 4 * 3600
"""A call is not longer: Telnyx ends one after four hours, and Twilio too unless told otherwise."""
CLOCKS_APART_S = 300
LONGEST_TOKEN = 900
"""Characters. Twilio takes 1,024 of headers in a SIP URI."""
LONGEST_ROUTE = 48
"""Bytes of a route's label that travel as they are; of a longer one, its digest does."""

_PURPOSE = b"sipagent leg tokens"
_VERSION = "1"
_MAC_BYTES = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A secret, a key or an address that was replaced, or taken away; see `sipagent.carrier.former`."""

    value: str = field(repr=False)
    calls_until_s: float
    """Until then (Unix seconds) it may announce new calls."""
    until_s: float
    """Until then it may tell of calls that are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegToken:
    """A leg, and where in its plan its call is."""

    leg: CarrierLeg
    route: str
    """As `route_mark` writes it."""
    step: int
    """Counts from 0."""
    issued_at: int
    """Unix seconds."""
    offer: str | None = None
    """Set where the call is one to a person whom ``leg`` is to be connected with: names that attempt."""


class LegTokens:
    """Writes and reads tokens with keys that are made of the carriers' own secrets."""

    def __init__(
        self, secrets: Mapping[str, Sequence[str]], former: Mapping[str, Sequence[Retired]] | None = None
    ) -> None:
        """``secrets`` by carrier: the first one signs, all of them are good, and so are those of ``former``
        for as long as they hold; of a carrier without secrets, the first of ``former`` signs. Raises
        `UserError` for an empty list or secret, which anybody could sign with."""
        self._keys: dict[str, tuple[tuple[bytes, float], ...]] = {}
        for carrier in {**secrets, **(former or {})}:
            retired = () if former is None else former.get(carrier, ())
            known = [
                *((secret, math.inf) for secret in secrets.get(carrier, ())),
                *((one.value, one.until_s) for one in retired),
            ]
            if not secrets.get(carrier, retired) or not all(secret for secret, _ in known):
                raise UserError(
                    f"The carrier {carrier} has no secret, or an empty one: set its key or token."
                )
            self._keys[carrier] = tuple(
                (hmac.digest(secret.encode(), _PURPOSE, "sha256"), until_s) for secret, until_s in known
            )

    def issue(self, token: LegToken) -> str:
        """``token`` as URL-safe text (letters, digits, ``-``, ``_``, ``.``). Its carrier has keys here."""
        leg = token.leg
        body = [
            leg.carrier, leg.carrier_call_id, leg.caller, leg.dialled, leg.interface, leg.account,
            token.route, token.step, token.issued_at, token.offer,
        ]  # fmt: skip
        signed = f"{_VERSION}.{_text(msgspec.json.encode(body))}"
        return f"{signed}.{_text(_mac(self._keys[leg.carrier][0][0], signed))}"

    def read(self, text: str, now_s: float) -> LegToken:
        """The token that ``text`` is, at ``now_s`` (Unix seconds).

        Raises `WebhookSignatureError` for what we did not write, `WebhookLateError` for what is too old.
        """
        signed, _, mac = text.rpartition(".")
        version, _, body = signed.partition(".")
        if len(text) > LONGEST_TOKEN or version != _VERSION or not text.isascii():
            raise WebhookSignatureError("The token is none of ours.")
        token = _token(body)
        # As text: the same bytes can be written in several ways.
        given = mac.encode()
        # Every key is tried, whichever fits: how long it takes tells nothing.
        good = [
            hmac.compare_digest(_text(_mac(key, signed)).encode(), given) and now_s <= until_s
            for key, until_s in self._keys.get(token.leg.carrier, ())
        ]
        if not any(good):
            raise WebhookSignatureError("The token is not signed by a key we know.")
        age_s = now_s - token.issued_at
        if age_s > LONGEST_AGE_S:
            raise WebhookLateError(f"The token is {age_s:.0f} seconds old; {LONGEST_AGE_S} are allowed.")
        if age_s < -CLOCKS_APART_S:
            raise WebhookLateError(f"The token was written {-age_s:.0f} seconds from now.")
        return token

    def leg_of(self, headers: Sequence[tuple[str, str]], now_s: float) -> CarrierLeg | None:
        """The leg that the SIP ``headers`` of an incoming call vouch for; None where they vouch for none.

        What is forged or late is none: the call itself may still be answered, by the numbers of its headers.
        """
        given = [value.strip() for name, value in headers if name.strip().lower() == TOKEN_HEADER.lower()]
        if len(given) != 1:
            return None
        try:
            token = self.read(given[0], now_s)
        except WebhookSignatureError:
            return None
        return None if token.offer is not None else token.leg


def route_mark(label: str) -> str:
    """What stands for the route ``label`` in a token: short, and the same in every process."""
    if len(label.encode()) <= LONGEST_ROUTE and not label.startswith("#"):
        return label
    return f"#{hashlib.sha256(label.encode()).hexdigest()[:24]}"


# Inside ------------------------------------------------------------------------------------------------


def _mac(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), "sha256")[:_MAC_BYTES]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        return b""


_FIELDS: tuple[type | tuple[type, ...], ...] = (
    str, str, (str, type(None)), (str, type(None)), str, (str, type(None)), str, int, int, (str, type(None)),
)  # fmt: skip


def _token(body: str) -> LegToken:
    """What ``body`` says, not known to be true."""
    try:
        fields: Any = msgspec.json.decode(_bytes(body))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WebhookSignatureError("The token is none of ours.") from error
    if (
        not isinstance(fields, list)
        or len(fields) != len(_FIELDS)
        or not all(isinstance(field, kind) for field, kind in zip(fields, _FIELDS, strict=True))
    ):
        raise WebhookSignatureError("The token is none of ours.")
    carrier, leg_id, caller, dialled, interface, account, route, step, issued_at, offer = fields
    leg = CarrierLeg(
        carrier=carrier,
        carrier_call_id=leg_id,
        caller=caller,
        dialled=dialled,
        interface=interface,
        account=account,
    )
    return LegToken(leg=leg, route=route, step=step, issued_at=issued_at, offer=offer)
