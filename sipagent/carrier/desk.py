"""What one configuration of the carriers needs to serve: everything that is replaced when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self

from sipagent.carrier.base import Carrier, Command
from sipagent.carrier.former import Former
from sipagent.carrier.http import CarrierHttp, RestLimits
from sipagent.carrier.plan import Planner
from sipagent.carrier.rest import CallControlApi, TwilioApi, telnyx_http
from sipagent.carrier.settings import CarrierSettings
from sipagent.carrier.telnyx import TelnyxSignatures, TelnyxTexml
from sipagent.carrier.telnyx_call_control import CallControl
from sipagent.carrier.tokens import LegTokens
from sipagent.carrier.twilio import Twilio


def tokens_of(settings: CarrierSettings, former: Former | None = None) -> LegTokens:
    """The tokens of the carriers that ``settings`` have, by keys that are made of their secrets; those by
    the secrets of ``former`` are good for as long as they hold."""
    secrets: dict[str, tuple[str, ...]] = {}
    if settings.twilio is not None:
        secrets["twilio"] = settings.twilio.auth_tokens
    if settings.telnyx is not None:
        secrets["telnyx"] = (settings.telnyx.api_key,)
    if settings.audio_socket is not None:
        secrets["asterisk"] = (settings.audio_socket.token,)
    if former is None:
        return LegTokens(secrets)
    retired = {"twilio": former.twilio_auth_tokens, "telnyx": former.telnyx_api_keys}
    return LegTokens(secrets, {carrier: known for carrier, known in retired.items() if known})


class CarrierDesk:
    """The carriers of one configuration, their tokens, plans and APIs.

    Used as an async context manager, which holds the connections to the APIs.
    """

    def __init__(
        self, settings: CarrierSettings, *, former: Former | None = None, limits: RestLimits | None = None
    ) -> None:
        """``former`` is what held before. Raises `UserError` for keys that cannot be used, and where a
        package for them is missing."""
        former = former or Former()
        self.settings = settings
        self.former = former
        self.tokens = tokens_of(settings, former)
        self.planner = Planner(settings, self.tokens)
        carriers: list[Carrier] = []
        self.twilio: TwilioApi | None = None
        self.telnyx: CarrierHttp | None = None
        self.call_control: CallControlApi | None = None
        twilio = settings.twilio or former.twilio
        if twilio is not None:
            known = () if settings.twilio is None else settings.twilio.auth_tokens
            carriers.append(Twilio(known, former.twilio_auth_tokens))
            self.twilio = TwilioApi(twilio, limits)
        self.telnyx_account = settings.telnyx or former.telnyx
        """That of calls in progress, too, when it is in the configuration no more."""
        if self.telnyx_account is not None:
            public_keys = () if settings.telnyx is None else settings.telnyx.public_keys
            signatures = TelnyxSignatures(public_keys, former.telnyx_public_keys)
            carriers += [TelnyxTexml(signatures), CallControl(signatures, self.tokens)]
            self.telnyx = telnyx_http(self.telnyx_account, limits)
            self.call_control = CallControlApi(self.telnyx, connection_id=self.telnyx_account.connection_id)
        self.carriers: Mapping[str, Carrier] = {carrier.mount: carrier for carrier in carriers}
        self._stack = AsyncExitStack()
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        if self.twilio is not None:
            await self._stack.enter_async_context(self.twilio.http)
        if self.telnyx is not None:
            await self._stack.enter_async_context(self.telnyx)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exception_type, exception, traceback)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Whoever speaks with a carrier by this desk does it inside: it is not left before, though another
        has taken its place."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._unused.set()

    async def unused(self) -> None:
        """Wait until nobody uses it. Safe to cancel."""
        await self._unused.wait()

    async def command(self, command: Command) -> None:
        """Have ``command`` carried out by Call Control. Raises as `CallControlApi.command`."""
        assert self.call_control is not None, "only Call Control is commanded"
        await self.call_control.command(command)
