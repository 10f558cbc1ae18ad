"""What Twilio and Telnyx say alike about streams and conferences: TeXML took these names from TwiML."""

from __future__ import annotations

from collections.abc import Mapping

from sipagent import clock
from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.leg import Leg

_ROOM_EVENTS: Mapping[RoomEvent, str] = {
    "start": "conference-start",
    "end": "conference-end",
    "join": "participant-join",
    "leave": "participant-leave",
    "mute": "participant-mute",
    "unmute": "participant-unmute",
    "hold": "participant-hold",
    "unhold": "participant-unhold",
}


def stream_report(
    leg: Leg, event: str, *, account: str, stream_id: str, name: str, error: str
) -> dict[str, str]:
    """What happened to a stream."""
    parameters = {
        "AccountSid": account,
        "CallSid": leg.sid,
        "StreamSid": stream_id,
        "StreamName": name,
        "StreamEvent": event,
        "Timestamp": clock.utc_now().isoformat(),
    }
    return {**parameters, "StreamError": error} if error else parameters


def room_report(
    room: Room, event: RoomEvent, member: Member | None, reason: str, *, account: str, timestamp: str
) -> dict[str, str]:
    """What happened in a conference; ``timestamp`` as the carrier writes it."""
    parameters = {
        "AccountSid": account,
        "ConferenceSid": room.sid,
        "FriendlyName": room.name,
        "StatusCallbackEvent": _ROOM_EVENTS[event],
        "SequenceNumber": str(room.sequence),
        "Timestamp": timestamp,
    }
    if reason:
        parameters["ReasonConferenceEnded"] = reason
    if member is not None:
        parameters |= {
            "CallSid": member.leg.sid,
            "Muted": str(member.muted).lower(),
            "Hold": str(member.held).lower(),
        }
    return parameters
