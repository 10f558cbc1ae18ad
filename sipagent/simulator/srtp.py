"""Encrypted media with keys exchanged in the session description (RFC 3711, RFC 4568), through `pylibsrtp`.

The package is optional (``pip install "sipagent[srtp]"``); it is imported when the first pair is made.
"""

from __future__ import annotations

import importlib.util
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING

from sipagent.errors import SimulatorError

if TYPE_CHECKING:
    import pylibsrtp

MASTER_KEY_BYTES = 30
"""Master key (16) and salt (14) of AES-128 in counter mode, as they stand behind ``inline:``."""


class SrtpSuite(StrEnum):
    """The crypto suites of RFC 4568 section 6.2 that are understood, by their names in ``a=crypto``."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"


def srtp_available() -> bool:
    """Whether the optional package is installed."""
    return importlib.util.find_spec("pylibsrtp") is not None


def new_master_key() -> bytes:
    """A fresh random key with salt, for our own ``a=crypto`` line."""
    return secrets.token_bytes(MASTER_KEY_BYTES)


class SrtpPair:
    """The two contexts of one call: ours to send, the peer's to receive.

    Raises `SimulatorError` when the optional package is missing or a key has the wrong length.
    """

    def __init__(self, *, suite: SrtpSuite | str, send_key: bytes, receive_key: bytes) -> None:
        if suite not in tuple(SrtpSuite):
            raise SimulatorError(f"SRTP suite {suite!r} is not supported: use {', '.join(SrtpSuite)}")
        for key in (send_key, receive_key):
            if len(key) != MASTER_KEY_BYTES:
                raise SimulatorError(f"an SRTP key has {MASTER_KEY_BYTES} bytes, this one {len(key)}")
        try:
            import pylibsrtp
        except ImportError as error:
            raise SimulatorError('SRTP needs an extra: pip install "sipagent[srtp]"') from error
        self._error = pylibsrtp.Error
        profile = (
            pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32
            if suite == SrtpSuite.AES_CM_128_HMAC_SHA1_32
            else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        )
        self._sending = _session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND, send_key, profile)
        self._receiving = _session(pylibsrtp.Policy.SSRC_ANY_INBOUND, receive_key, profile)

    def protect(self, packet: bytes) -> bytes:
        """Encrypt and sign one RTP packet of ours.

        Raises `SimulatorError` when the library refuses it (a repeated sequence number).
        """
        try:
            return self._sending.protect(packet)
        except (self._error, ValueError) as error:
            raise SimulatorError(f"an RTP packet could not be encrypted: {error}") from error

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet inside a datagram, or None when it is forged, replayed or no SRTP."""
        try:
            return self._receiving.unprotect(packet)
        except (self._error, ValueError):
            return None


def _session(ssrc_type: int, key: bytes, profile: int) -> pylibsrtp.Session:
    import pylibsrtp

    return pylibsrtp.Session(policy=pylibsrtp.Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile))
