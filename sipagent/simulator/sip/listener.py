"""What a call tells its user."""

from __future__ import annotations

from enum import StrEnum

from sipagent.errors import SdpError
from sipagent.simulator.sip.message import Response


class SipEnd(StrEnum):
    """How a call ended."""

    CANCELLED = "cancelled"
    """The caller gave up before we answered."""
    BYE = "bye"
    """The peer hung up."""
    ACK_TIMEOUT = "ack_timeout"
    """Our answer was never acknowledged (RFC 3261 section 13.3.1.4)."""
    FAILED = "failed"
    """The transport broke, or the peer does not know the call any more."""
    REJECTED = "rejected"
    """Our INVITE was refused or never answered."""
    LOCAL = "local"
    """We ended it."""


class SipCallListener:
    """Hears what happens to a call. Override what matters; methods return quickly and never raise,
    except where said.
    """

    def progressed(self, response: Response) -> None:
        """Our INVITE was answered provisionally (100-199)."""

    def acknowledged(self, sdp: bytes) -> None:
        """Our 200 was acknowledged; ``sdp`` is the answer when the offer was ours, else empty."""

    def reinvited(self, offer: bytes) -> bytes:
        """The peer changes the session; returns the answer, or an offer of ours when ``offer`` is empty.

        Raises `SdpError` to refuse (488), which leaves the session as it was; so does the default.
        """
        raise SdpError("this call cannot be changed")

    def info_received(self, content_type: str, body: bytes) -> None:
        """The peer sent INFO, such as a digit in ``application/dtmf-relay``."""

    def refer_requested(self, target_uri: str) -> int:
        """The peer asks us to call ``target_uri``; returns the answer's status, 202 for yes.

        After 202, report how it goes by `SipCall.notify_refer`.
        """
        return 603

    def refer_progress(self, status: int, *, final: bool) -> None:
        """The peer reports how the call it was referred to goes (RFC 3515 section 2.4.5)."""

    def ended(self, end: SipEnd) -> None:
        """The call is over; once, never for `SipEnd.LOCAL`. May come from within `SipCall.listen`."""
