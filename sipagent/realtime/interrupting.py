"""Which ways to interrupt there are. Pure.

Everything that is said or about to be said; or one response by its id, and then perhaps only what is heard
of it, or only what is still made of it.
"""

from __future__ import annotations

from sipagent.errors import UserError
from sipagent.realtime.inputs import RealtimeModelSendInterrupt


def check_interrupt(event: RealtimeModelSendInterrupt) -> None:
    """Raises `UserError` for fields that contradict each other."""
    if event.playback_only and (event.cancel_response_only or event.force_response_cancel):
        raise UserError("an interrupt with playback_only cancels nothing: leave the other fields out")
    if event.cancel_response_only and event.response_id is None:
        raise UserError("an interrupt with cancel_response_only needs the response_id of what to cancel")


def takes_back_requests(event: RealtimeModelSendInterrupt) -> bool:
    """Whether the agent is not to go on with what was asked for and has not begun; `ResponseGate.take_back`
    says what that is. One response that is named may be cut off for the sake of what comes behind it."""
    return event.response_id is None and not event.playback_only
