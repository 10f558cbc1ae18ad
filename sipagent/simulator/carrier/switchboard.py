"""Makes the legs of a pretended carrier, and keeps its calls."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from sipagent.errors import SimulatorError, SipSyntaxError
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.dialect import Dialect
from sipagent.simulator.carrier.faults import NO_FAULTS, CarrierFaults
from sipagent.simulator.carrier.leg import Direction, Leg, LegFacts, LegOwner
from sipagent.simulator.carrier.network import SipAddress, TelephoneNetwork
from sipagent.simulator.carrier.options import CarrierOptions
from sipagent.simulator.carrier.party import Party
from sipagent.simulator.carrier.record import Timeline
from sipagent.simulator.carrier.subscribers import SipPhone
from sipagent.simulator.carrier.verbs import DialTarget, ReportTo
from sipagent.simulator.phone.changes import Changes
from sipagent.simulator.placing import CALLER_SAYS_HEADER
from sipagent.simulator.sip.address import NameAddress, SipUri
from sipagent.simulator.sip.call import IncomingSipCall


class Switchboard:
    """All calls of one carrier."""

    def __init__(
        self,
        options: CarrierOptions,
        dialect: Dialect,
        network: TelephoneNetwork,
        *,
        forget: Callable[[CarrierCall], None],
    ) -> None:
        """``forget`` is told of calls that are kept no longer."""
        self.calls: list[CarrierCall] = []
        self._options = options
        self._dialect = dialect
        self._network = network
        self._forget = forget

    def find(self, sid: str) -> Leg | None:
        """A leg by its identifier."""
        return next((leg for call in self.calls for leg in call.legs if leg.sid == sid), None)

    def call_of(self, leg: Leg) -> CarrierCall:
        """The call a leg belongs to."""
        return next(call for call in self.calls if leg in call.legs)

    def take(
        self, party: Party, *, owner: LegOwner, caller: str, called: str, faults: CarrierFaults
    ) -> CarrierCall:
        """A call that comes in: it rings."""
        call = self._open()
        facts = LegFacts(
            sid=self._dialect.new_sid("call"),
            caller=caller,
            called=called,
            direction="inbound",
            session=self._dialect.new_sid("session"),
            faults=faults,
        )
        leg = Leg(facts, party, owner=owner, timeline=call.timeline)
        call.legs.append(leg)
        if self._options.report_url is not None:
            leg.report_to = ReportTo(url=self._options.report_url, events=self._options.report_events)
        leg.ring()
        return call

    async def take_telephone(
        self, sip: IncomingSipCall, *, owner: LegOwner, faults: CarrierFaults
    ) -> CarrierCall | None:
        """A call of a real telephone; None for one that is refused. Safe to cancel."""
        try:
            called = SipUri.parse(sip.request_uri).user or ""
            from_header = next((value for name, value in sip.headers if name.lower() == "from"), "")
            caller = SipUri.parse(NameAddress.parse(from_header).uri).user or "anonymous"
            party = await self._network.telephone(sip)
        except SipSyntaxError:
            sip.reject(400)
            return None
        except SimulatorError:
            sip.reject(500)
            return None
        says = [value for name, value in sip.headers if name.lower() == CALLER_SAYS_HEADER.lower()]
        call = self.take(party, owner=owner, caller=caller, called=called, faults=faults)
        call.leg.extra["said_headers"] = "\n".join(says)
        return call

    async def call_out(
        self, target: DialTarget, *, owner: LegOwner, caller: str, faults: CarrierFaults
    ) -> CarrierCall:
        """A call of the carrier's own, not called yet. Raises `SimulatorError` when it cannot be made."""
        call = self._open()
        facts = self._facts(target, caller=caller, direction="outbound-api", parent=None, faults=faults)
        await self._add(call, target, facts, owner=owner, parent=None)
        return call

    async def dial(self, parent: Leg, target: DialTarget, *, owner: LegOwner, caller_id: str | None) -> Leg:
        """A leg that belongs to ``parent``, not called yet. Raises as `call_out`."""
        facts = self._facts(
            target,
            caller=caller_id or parent.facts.caller,
            direction="outbound-dial",
            parent=parent,
            faults=parent.facts.faults,
        )
        return await self._add(self.call_of(parent), target, facts, owner=owner, parent=parent)

    def _open(self) -> CarrierCall:
        call = CarrierCall(Timeline(Changes()))
        self.calls.append(call)
        while len(self.calls) > self._options.remembered_calls:
            oldest = next((each for each in self.calls if each.legs and each.is_over), None)
            if oldest is None:
                break
            self.calls.remove(oldest)
            self._forget(oldest)
        return call

    def _facts(
        self,
        target: DialTarget,
        *,
        caller: str,
        direction: Direction,
        parent: Leg | None,
        faults: CarrierFaults,
    ) -> LegFacts:
        return LegFacts(
            sid=self._dialect.new_sid("call"),
            caller=caller,
            called=target.address.partition("?")[0],
            direction=direction,
            parent_sid=None if parent is None else parent.sid,
            session=self._dialect.new_sid("session") if parent is None else parent.facts.session,
            faults=faults,
        )

    async def _add(
        self, call: CarrierCall, target: DialTarget, facts: LegFacts, *, owner: LegOwner, parent: Leg | None
    ) -> Leg:
        found = None if target.is_sip else self._network.person(target.address)
        complaints: list[tuple[int, str]] = []
        if found is None or isinstance(found, SipPhone):
            address = SipAddress(target.address if found is None else found.uri)
            complaints = address.complaints
            headers = [] if parent is None else [*self._dialect.sip_headers(parent), *_spoken(parent)]
            # Somebody's own telephone is no trunk: the faults of SIP addresses do not touch it.
            party: Party = await self._network.sip_leg(
                address,
                caller=facts.caller,
                headers=headers,
                faults=facts.faults if found is None else NO_FAULTS,
            )
        else:
            party = found
        leg = Leg(facts, party, owner=owner, timeline=call.timeline)
        leg.report_to = target.report_to
        for code, message in complaints:
            leg.complain(code, message)
        call.legs.append(leg)
        return leg


def _spoken(leg: Leg) -> list[tuple[str, str]]:
    """What the caller is going to say, for a simulator that cannot hear words."""
    lines = [quote(line) for line in leg.extra.get("will_say", "").splitlines()]
    lines += leg.extra.get("said_headers", "").splitlines()
    return [(CALLER_SAYS_HEADER, line) for line in lines]
