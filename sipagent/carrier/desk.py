"""What one configuration of the carriers needs to serve: everything that is replaced when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sipagent.carrier.base import Carrier, Command
from sipagent.carrier.http import CarrierHttp, RestLimits
from sipagent.carrier.plan import Planner
from sipagent.carrier.rest import CallControlApi, TwilioApi, telnyx_http
from sipagent.carrier.settings import CarrierSettings
from sipagent.carrier.telnyx import TelnyxSignatures, TelnyxTexml
from sipagent.carrier.telnyx_call_control import CallControl
from sipagent.carrier.tokens import LegTokens
from sipagent.carrier.twilio import Twilio


def tokens_of(settings: CarrierSettings) -> LegTokens:
    """The tokens of the carriers that ``settings`` have, by keys that are made of their secrets."""
    secrets: dict[str, tuple[str, ...]] = {}
    if settings.twilio is not None:
        secrets["twilio"] = settings.twilio.auth_tokens
    if settings.telnyx is not None:
        secrets["telnyx"] = (settings.telnyx.api_key,)
    if settings.audio_socket is not None:
        secrets["asterisk"] = (settings.audio_socket.token,)
    return LegTokens(secrets)


class CarrierDesk:
    """The carriers of one configuration, their tokens, plans and APIs.

    Used as an async context manager, which holds the connections to the APIs.
    """

    def __init__(self, settings: CarrierSettings, *, limits: RestLimits | None = None) -> None:
        """Raises `UserError` for keys that cannot be used, and where a package for them is missing."""
        self.settings = settings
        self.tokens = tokens_of(settings)
        self.planner = Planner(settings, self.tokens)
        carriers: list[Carrier] = []
        self.twilio: TwilioApi | None = None
        self.telnyx: CarrierHttp | None = None
        self.call_control: CallControlApi | None = None
        if settings.twilio is not None:
            carriers.append(Twilio(settings.twilio.auth_tokens))
            self.twilio = TwilioApi(settings.twilio, limits)
        if settings.telnyx is not None:
            signatures = TelnyxSignatures(settings.telnyx.public_keys)
            carriers += [TelnyxTexml(signatures), CallControl(signatures, self.tokens)]
            self.telnyx = telnyx_http(settings.telnyx, limits)
            self.call_control = CallControlApi(self.telnyx, connection_id=settings.telnyx.connection_id)
        self.carriers: Mapping[str, Carrier] = {carrier.mount: carrier for carrier in carriers}
        self._stack = AsyncExitStack()

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

    async def command(self, command: Command) -> None:
        """Have ``command`` carried out by Call Control. Raises as `CallControlApi.command`."""
        assert self.call_control is not None, "only Call Control is commanded"
        await self.call_control.command(command)
