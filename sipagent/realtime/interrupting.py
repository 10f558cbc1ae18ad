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
    """Whether responses that were asked for and have not begun are not wanted any more.

    All of them, whoever asked: somebody who cuts the agent off now does not want it to go on with something
    else a moment later. One that is to be said after all is asked for after the interrupt.
    """
    return event.response_id is None and not event.playback_only
