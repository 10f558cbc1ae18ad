"""The pretended telephone network around a carrier: numbers, real telephones, and SIP addresses."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import assert_never
from urllib.parse import unquote

from sipagent.errors import SimulatorError, SipSyntaxError
from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults
from sipagent.simulator.carrier.options import CarrierOptions
from sipagent.simulator.carrier.party import Party
from sipagent.simulator.carrier.sip_party import SipParty
from sipagent.simulator.carrier.subscribers import (
    Act,
    Busy,
    Declines,
    NoAnswer,
    Person,
    SipPhone,
    Subscriber,
    Unreachable,
)
from sipagent.simulator.carrier.virtual_party import VirtualParty
from sipagent.simulator.phone.settings import PhoneSettings
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.address import SipUri, bracketed_host
from sipagent.simulator.sip.call import IncomingSipCall
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.settings import ListenAddress, SipSettings
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.voice import Voice

MAX_HEADER_CHARACTERS = 1024
"""Of all headers in one SIP address (Twilio, warning 21227)."""
_ALLOWED_HEADERS = frozenset({"user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"})
_INTERNAL_PARAMETERS = ("secure", "region", "edge")


class SipAddress:
    """A SIP address as a document writes it: parameters for the carrier, headers for the far end."""

    def __init__(self, text: str) -> None:
        """Raises `SimulatorError` for no SIP address. What is odd about it is in ``complaints``."""
        address, _, query = text.partition("?")
        try:
            uri = SipUri.parse(address)
        except SipSyntaxError as error:
            raise SimulatorError(f"{text[:60]!r} cannot be dialled: {error}") from error
        if uri.scheme not in {"sip", "sips"}:
            raise SimulatorError(f"{text[:60]!r} cannot be dialled: it is no sip: address")
        self.secure = (uri.parameter("secure") or "").lower() == "true"
        kept = [
            part
            for part in address.split(";")[1:]
            if part.partition("=")[0].strip().lower() not in _INTERNAL_PARAMETERS
        ]
        self.uri = ";".join([address.split(";")[0], *kept])
        self.complaints: list[tuple[int, str]] = []
        self.headers: list[tuple[str, str]] = []
        if len(query) >= MAX_HEADER_CHARACTERS:
            self.complaints.append((21227, f"{len(query)} characters of headers are too many: none is sent"))
            return
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            name, value = unquote(name), unquote(value)
            known = name.lower().startswith("x-") or name.lower() in _ALLOWED_HEADERS
            if known and not name.lower().startswith("x-twilio"):
                self.headers.append((name, " ".join(value.split())))
            else:
                self.complaints.append((13252, f"the header {name[:40]!r} is not passed on"))


class TelephoneNetwork:
    """Everything that can be called, and the address where real telephones call.

    An async context manager; leaving it ends what is still up.
    """

    def __init__(
        self, options: CarrierOptions, *, pacer: Pacer, on_call: Callable[[IncomingSipCall], None]
    ) -> None:
        self.numbers: dict[str, Subscriber] = dict(options.numbers)
        self.people_voice: VoiceLike = options.people_voice or Voice("tones", speaker="caller")
        self._options = options
        self._pacer = pacer
        self._on_call = on_call
        self._exit = AsyncExitStack()
        self._endpoint: SipEndpoint
        self._trouble: SipEndpoint

    async def __aenter__(self) -> TelephoneNetwork:
        async with AsyncExitStack() as stack:
            self._endpoint = SipEndpoint(
                on_call=self._on_call,
                tls=self._options.tls,
                client_tls=self._options.client_tls,
                settings=SipSettings(contact_user="carrier", user_agent="sipagent-carrier"),
            )
            stack.push_async_callback(self._endpoint.aclose)
            for address in self._options.sip:
                await self._endpoint.listen(address)
            self._trouble = SipEndpoint(on_call=self._make_trouble)
            stack.push_async_callback(self._trouble.aclose)
            await self._trouble.listen(ListenAddress(transport="udp", host="127.0.0.1", port=0))
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._exit.aclose()

    @property
    def sip(self) -> tuple[ListenAddress, ...]:
        """Where telephones call."""
        return self._endpoint.listening

    def caller(self, acts: Sequence[Act]) -> VirtualParty:
        """Somebody who calls."""
        return self._virtual(acts=acts)

    async def telephone(self, sip: IncomingSipCall) -> SipParty:
        """A real telephone that calls. Raises `SimulatorError` without a port for audio."""
        return await SipParty.calling(sip, pacer=self._pacer, settings=self._phone_settings(secure=False))

    def person(self, number: str) -> Party | SipPhone:
        """Who has ``number``; nobody there is somebody who refuses with 404."""
        subscriber = self.numbers.get(number, Unreachable())
        match subscriber:
            case Person(answers_after_s=after_s, does=acts):
                return self._virtual(acts=acts, answers_after_s=after_s)
            case Busy():
                return self._virtual(answers_after_s=0.02, refuses_with=486)
            case NoAnswer():
                return self._virtual(answers_after_s=None)
            case Declines(after_s=after_s):
                return self._virtual(answers_after_s=after_s, refuses_with=603)
            case Unreachable(sip_status=status):
                return self._virtual(answers_after_s=0.0, refuses_with=status)
            case SipPhone():
                return subscriber
            case _:
                assert_never(subscriber)

    async def sip_leg(
        self,
        address: SipAddress,
        *,
        caller: str,
        headers: Sequence[tuple[str, str]],
        faults: CarrierFaults,
    ) -> SipParty:
        """Somebody at a SIP address. Raises `SimulatorError` without a port for audio."""
        target = self._troubled(address.uri, faults)
        user = caller if not caller.lower().startswith("sip:") else (SipUri.parse(caller).user or "caller")
        return await SipParty.dialling(
            self._endpoint,
            target,
            from_uri=f"sip:{user}@{bracketed_host(self._options.host)}",
            headers=[*headers, *address.headers],
            pacer=self._pacer,
            settings=self._phone_settings(secure=address.secure),
        )

    # Inside

    def _virtual(
        self,
        *,
        acts: Sequence[Act] = (),
        answers_after_s: float | None = 0.0,
        refuses_with: int | None = None,
    ) -> VirtualParty:
        return VirtualParty(
            pacer=self._pacer,
            voice=self.people_voice,
            acts=acts,
            answers_after_s=answers_after_s,
            refuses_with=refuses_with,
            turn_gap_ms=self._options.turn_gap_ms,
        )

    def _phone_settings(self, *, secure: bool) -> PhoneSettings:
        return PhoneSettings(host=self._options.host, srtp=secure)

    def _troubled(self, uri: str, faults: CarrierFaults) -> str:
        """Where to dial: ``uri``, or an address at which the fault happens."""
        if CarrierFault.SIP_CLOSED in faults:
            return f"sip:nobody@127.0.0.1:{_closed_port()};transport=tcp"
        status = faults.number(CarrierFault.SIP_STATUS)
        if status is None and CarrierFault.SIP_SILENT not in faults:
            return uri
        user = "silent" if status is None else f"status-{status:.0f}"
        return f"sip:{user}@127.0.0.1:{self._trouble.listening[0].port}"

    @staticmethod
    def _make_trouble(sip: IncomingSipCall) -> None:
        user = SipUri.parse(sip.request_uri).user or ""
        if user.startswith("status-"):
            sip.reject(int(user.removeprefix("status-")))
        else:
            sip.ring()


def _closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
