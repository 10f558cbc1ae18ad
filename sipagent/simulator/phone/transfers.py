"""Being sent to somebody else in the middle of a call (RFC 3515)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sipagent.errors import SimulatorError
from sipagent.simulator.phone.changes import Changes, end_task
from sipagent.simulator.phone.settings import PhoneSettings
from sipagent.simulator.sip.call import SipCall

if TYPE_CHECKING:
    from sipagent.simulator.phone.call import PhoneCall


class Transfers:
    """The transfers of one call: decides on each, dials, and reports to whoever sent us."""

    def __init__(
        self, *, dial: Callable[[str], Awaitable[PhoneCall]], settings: PhoneSettings, changes: Changes
    ) -> None:
        self.call: PhoneCall | None = None
        """The call that the latest transfer led to."""
        self._dial = dial
        self._settings = settings
        self._changes = changes
        self._following: asyncio.Task[None] | None = None

    def request(self, from_call: SipCall, uri: str) -> int:
        """The status to answer with when the peer of ``from_call`` wants us to call ``uri``; 202 dials."""
        if not self._settings.follows_refer:
            return 603
        if self._following is not None and not self._following.done():
            return 491
        target = self._target_of(uri)
        if target is None:
            return 416
        self._following = asyncio.create_task(self._follow(from_call, target), name="phone transfer")
        return 202

    async def aclose(self) -> None:
        """Stop dialling; the call that was dialled is left alone. Idempotent."""
        await end_task(self._following)

    def _target_of(self, uri: str) -> str | None:
        """What to dial for ``uri``; None when this phone cannot."""
        scheme, _, rest = uri.partition(":")
        if scheme.lower() in {"sip", "sips"}:
            return uri
        if scheme.lower() == "tel" and self._settings.tel_gateway is not None:
            return f"sip:{rest.partition(';')[0]}@{self._settings.tel_gateway}"
        return None

    async def _follow(self, from_call: SipCall, target: str) -> None:
        try:
            call = await self._dial(target)
        except SimulatorError:
            from_call.notify_refer(503)
            return
        self.call = call
        self._changes.announce()
        if await call.ringing() and not call.is_answered:
            from_call.notify_refer(180)
        try:
            await call.answered()
        except SimulatorError:
            refused = call.status if call.status is not None and call.status >= 300 else 503
            from_call.notify_refer(refused)
            return
        from_call.notify_refer(200)
