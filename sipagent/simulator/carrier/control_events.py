"""The events of Call Control, as Telnyx' public documentation ("Callbacks") shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from sipagent import clock
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.posting import OutgoingRequest

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier


class ControlEvents:
    """Tells the application what happens to its legs, each leg's events in order."""

    def __init__(self, carrier: PretendedCarrier, *, connection_id: str) -> None:
        self._carrier = carrier
        self._connection_id = connection_id

    def announce(self, leg: Leg) -> None:
        """A call came in. An application that does not take the news is complained about."""
        request = self._request(leg, "call.initiated", {"state": "parked"}, purpose="voice")

        async def post() -> None:
            exchange = await self._carrier.mail.send_first(request, leg=leg)
            if exchange.status is None or not 200 <= exchange.status < 300:
                leg.complain(10015, f"the application answers {exchange.status or exchange.error}")

        self._carrier.spawn(post, name=f"announcement of {leg.sid}")

    def tell(
        self, leg: Leg, event_type: str, payload: Mapping[str, object] | None = None, *, last: bool = False
    ) -> None:
        """Send an event about ``leg``, behind those that wait."""
        request = self._request(leg, event_type, payload or {}, purpose="event")
        leg.note("event", type=event_type)
        self._carrier.mail.queue(leg, request.url).add(request, last=last)

    def description(self, leg: Leg) -> dict[str, object]:
        """What every event says about its leg."""
        facts = leg.facts
        return {
            "call_control_id": facts.sid,
            "call_leg_id": leg.extra.setdefault("leg_id", str(uuid4())),
            "call_session_id": facts.session,
            "client_state": leg.extra.get("client_state"),
            "connection_id": self._connection_id,
            "direction": "incoming" if facts.direction == "inbound" else "outgoing",
            "from": facts.caller,
            "to": facts.called,
        }

    def _request(
        self, leg: Leg, event_type: str, payload: Mapping[str, object], *, purpose: str
    ) -> OutgoingRequest:
        url = leg.extra.get("webhook_url") or self._carrier.webhook_url
        data = {
            "record_type": "event",
            "event_type": event_type,
            "id": str(uuid4()),
            "occurred_at": clock.utc_now().isoformat().replace("+00:00", "Z"),
            "payload": {**self.description(leg), **payload},
        }
        body = json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": url}}).encode()
        return OutgoingRequest(
            purpose=purpose,
            method="POST",
            url=url,
            headers={"Content-Type": "application/json"},
            body=body,
            parameters={"event_type": event_type},
        )


def hangup_of(leg: Leg) -> dict[str, str]:
    """Why a leg is over, as ``call.hangup`` says it."""
    causes = {486: "user_busy", 600: "user_busy", 603: "call_rejected", 404: "not_found", 408: "timeout"}
    ends = {
        LegStatus.NO_ANSWER: "timeout",
        LegStatus.CANCELED: "originator_cancel",
        LegStatus.COMPLETED: "normal_clearing",
    }
    cause = leg.extra.get("rejected") or ends.get(leg.status) or causes.get(leg.sip_status or 0)
    return {
        "hangup_cause": cause or "unspecified",
        "hangup_source": leg.hung_up_by if leg.hung_up_by in ("caller", "callee") else "unknown",
        "sip_hangup_cause": "unspecified" if leg.sip_status is None else str(leg.sip_status),
        "state": "hangup",
    }
