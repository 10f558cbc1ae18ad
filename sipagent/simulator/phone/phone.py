"""A small telephone: dials, speaks, presses keys, listens, records, and answers when it is called."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import quote

from sipagent.errors import SimulatorError
from sipagent.simulator.dtmf import check_digits
from sipagent.simulator.phone.call import PhoneCall
from sipagent.simulator.phone.changes import Changes, end_task
from sipagent.simulator.phone.media import PhoneMedia
from sipagent.simulator.phone.settings import PhoneSettings, Press, Say, Step
from sipagent.simulator.phone.transfers import Transfers
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.address import bracketed_host
from sipagent.simulator.sip.call import IncomingSipCall, OutgoingSipCall
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.settings import ListenAddress, SipSettings
from sipagent.simulator.voice import Voice

CALLER_SAYS_HEADER = "X-Sipagent-Caller-Says"
"""Tells a simulator what the caller will say, as nobody recognises speech there."""

_ANY_PORT = ListenAddress(transport="udp", host="127.0.0.1", port=0)
_MAX_UNSEEN_CALLS = 100
"""Calls taken that nobody asked for with `Phone.next_call`; of more, the oldest are passed over."""


class Phone:
    """One telephone with any number of lines.

    Open it with `Phone.open` and leave it as an async context manager, or with `aclose`; that hangs up.
    """

    def __init__(
        self,
        *,
        user: str,
        voice: Voice,
        pacer: Pacer,
        tls: ssl.SSLContext | None,
        client_tls: ssl.SSLContext | None,
        settings: PhoneSettings,
        steps_when_called: Sequence[Step] | None,
    ) -> None:
        self.calls: list[PhoneCall] = []
        """Every call made or taken, in order; kept with its recording until the phone is gone."""
        self._user = user
        self._voice = voice
        self._pacer = pacer
        self._settings = settings
        self._steps_when_called = steps_when_called
        self._unseen: asyncio.Queue[PhoneCall] = asyncio.Queue(_MAX_UNSEEN_CALLS)
        self._taking: set[asyncio.Task[None]] = set()
        self._endpoint = SipEndpoint(
            on_call=self._called,
            tls=tls,
            client_tls=client_tls,
            settings=SipSettings(contact_user=user, user_agent="sipagent-phone"),
        )
        self._exit = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        *,
        user: str = "+15550100123",
        voice: Voice | None = None,
        listen: ListenAddress | Sequence[ListenAddress] = _ANY_PORT,
        auto_answer: bool = True,
        steps_when_called: Sequence[Step] = (),
        tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
        pacer: Pacer | None = None,
        settings: PhoneSettings | None = None,
    ) -> Phone:
        """Plug the phone in.

        ``user`` is its number, ``listen`` where it can be called. A call is answered by itself and gets
        ``steps_when_called``; without ``auto_answer`` it is refused as busy. ``tls`` is the certificate for
        being called over TLS, ``client_tls`` whom to trust when dialling. ``pacer`` is one that runs already;
        None runs one of its own. Raises `SimulatorError` when an address cannot be had.
        """
        async with AsyncExitStack() as stack:
            if pacer is None:
                pacer = await stack.enter_async_context(Pacer())
            phone = cls(
                user=user,
                voice=voice or Voice(speaker="caller"),
                pacer=pacer,
                tls=tls,
                client_tls=client_tls,
                settings=settings or PhoneSettings(),
                steps_when_called=steps_when_called if auto_answer else None,
            )
            stack.push_async_callback(phone._endpoint.aclose)
            stack.push_async_callback(phone._end_calls)
            for address in [listen] if isinstance(listen, ListenAddress) else listen:
                await phone._endpoint.listen(address)
            phone._exit = stack.pop_all()
        return phone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up every call and unplug the phone; idempotent."""
        await self._exit.aclose()

    @property
    def addresses(self) -> tuple[ListenAddress, ...]:
        """Where the phone can be called, in the order given to `open`."""
        return self._endpoint.listening

    @property
    def address(self) -> ListenAddress:
        """The first of `addresses`."""
        return self.addresses[0]

    async def dial(
        self,
        target_uri: str,
        *,
        says: Sequence[str] = (),
        digits: str = "",
        steps: Sequence[Step] | None = None,
        will_say: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
        to_uri: str | None = None,
    ) -> PhoneCall:
        """Call ``target_uri`` and return once the INVITE is out.

        The user says each line of ``says`` when the other side has finished speaking, then presses
        ``digits``, then listens until the call ends. ``steps`` replaces both. What ``says``, ``steps`` and
        ``will_say`` speak is announced to a simulator in headers. Raises `SimulatorError` for a bad URI or
        bad keys, or when nobody can be reached. Safe to cancel.
        """
        if steps is None:
            steps = [Say(text=line) for line in says]
            steps += [Press(digits=check_digits(digits))] if digits else []
        announced = [step.text for step in steps if isinstance(step, Say)] + list(will_say)
        changes = Changes()
        media = await self._open_media(changes)
        try:
            sip = await self._endpoint.dial(
                target_uri,
                offer=media.offer(),
                from_uri=f"sip:{self._user}@{bracketed_host(self._settings.host)}",
                to_uri=to_uri,
                headers=[*headers, *((CALLER_SAYS_HEADER, quote(line)) for line in announced)],
                local=next((known for known in self.addresses if known.transport == "udp"), None),
            )
        except BaseException:
            await media.aclose()
            raise
        return self._new_call(sip, media, steps, changes)

    async def next_call(self) -> PhoneCall:
        """Wait for a call to this phone that was not returned before. Safe to cancel."""
        return await self._unseen.get()

    async def _open_media(self, changes: Changes) -> PhoneMedia:
        return await PhoneMedia.open(pacer=self._pacer, settings=self._settings, changes=changes)

    def _new_call(
        self,
        sip: OutgoingSipCall | IncomingSipCall,
        media: PhoneMedia,
        steps: Sequence[Step],
        changes: Changes,
    ) -> PhoneCall:
        call = PhoneCall(
            sip,
            media,
            voice=self._voice,
            settings=self._settings,
            steps=steps,
            transfers=Transfers(dial=self.dial, settings=self._settings, changes=changes),
            changes=changes,
        )
        self.calls.append(call)
        call.start()
        return call

    def _called(self, sip: IncomingSipCall) -> None:
        if self._steps_when_called is None:
            sip.reject(486)
            return
        task = asyncio.create_task(self._take(sip, self._steps_when_called), name="phone: taking a call")
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take(self, sip: IncomingSipCall, steps: Sequence[Step]) -> None:
        changes = Changes()
        try:
            media = await self._open_media(changes)
        except SimulatorError:
            sip.reject(500)
            return
        call = self._new_call(sip, media, steps, changes)
        if self._unseen.full():
            self._unseen.get_nowait()
        self._unseen.put_nowait(call)

    async def _end_calls(self) -> None:
        for task in list(self._taking):
            await end_task(task)
        for call in self.calls:
            await call.aclose()
