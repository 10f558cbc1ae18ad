"""The whole simulator as one async context manager: HTTP, SIP, calls."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, get_args

import aiohttp
from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.api import RealtimeApi
from sipagent.simulator.call_table import CallTable
from sipagent.simulator.call_values import CallSettings
from sipagent.simulator.caller import CallPlan, VirtualCaller
from sipagent.simulator.calls import CallSurroundings, SimulatedCall
from sipagent.simulator.control import ControlApi
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.listening import serve_http
from sipagent.simulator.parameters import check_response, check_session
from sipagent.simulator.placing import faults_of, invite_headers, new_call_id, planned_steps
from sipagent.simulator.rtp.pacer import Pacer
from sipagent.simulator.script import Script, default_script
from sipagent.simulator.sip.address import SipUri
from sipagent.simulator.sip.call import IncomingSipCall
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.leg import LegSettings, SipLeg
from sipagent.simulator.sip.settings import ListenAddress, SipSettings
from sipagent.simulator.speech import SilentVoice, VoiceLike
from sipagent.simulator.virtual import VirtualLeg
from sipagent.simulator.voice import Voice, VoiceMode
from sipagent.simulator.webhooks import WebhookSender, WebhookSettings, new_secret

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """What a simulator is made of. Everything has a default that works on one machine."""

    http_host: str = "127.0.0.1"
    http_port: int = 0
    """0 lets the system choose; `Simulator.http` tells."""
    sip: tuple[ListenAddress, ...] = ()
    webhook_url: str | None = None
    """May be set later: `Simulator.webhook_url`."""
    webhook_secret: str | None = None
    """``whsec_…``; None makes one up: `Simulator.webhook_secret`."""
    api_key: str | None = None
    """The only bearer token that is let in; None lets any in."""
    script: Script = field(default_factory=default_script)
    project: str | None = None
    """The only user part of a request URI that is served, others get 404; None serves any. The API takes
    requests for no other."""
    faults: FaultSet = field(default_factory=lambda: FaultSet.of())
    """On for every call, beside those of the script and of the call itself."""
    media: Literal["rtp", "sink", "virtual"] = "rtp"
    """``rtp``: audio both ways. ``sink``: calls are answered and counted, and hear silence. ``virtual``: no
    SIP at all. Virtual calls can be placed in every mode."""
    voice: VoiceLike | None = None
    """The agent's voice on real telephones and sockets; None takes the best there is."""
    virtual_voice: VoiceLike = field(default_factory=SilentVoice)
    """The agent's voice on virtual calls: only its length matters."""
    tls: ssl.SSLContext | None = None
    """The certificate of ``tls:`` addresses (`server_tls`)."""
    calls: CallSettings = field(default_factory=CallSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    sip_settings: SipSettings = field(default_factory=SipSettings)
    leg: LegSettings = field(default_factory=LegSettings)
    maximum_calls: int = 2_000
    """Live calls beyond this are refused with 503."""
    remembered_calls: int = 2_000
    """How many calls that are over the control API still shows."""


def server_tls(certificate: str, key: str) -> ssl.SSLContext:
    """A TLS context of two PEM files. Raises `SimulatorError` when they cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SimulatorError(
            f"the certificate {certificate} with key {key} cannot be used: {error}"
        ) from error
    return context


class Simulator:
    """OpenAI's side of the telephone, on this machine.

    ``async with Simulator(SimulatorOptions(...)) as simulator:`` listens until the block is left; leaving
    hangs up what is still up. One simulator is entered once. Raises `SimulatorError` on entry when an
    address cannot be had.
    """

    faults: FaultSet
    """On for every call that begins from now on."""

    def __init__(
        self, options: SimulatorOptions, *, mounted: Mapping[str, web.Application] | None = None
    ) -> None:
        """``mounted``: further applications on the HTTP port, by path: ``/control/carrier``."""
        if options.sip and options.media == "virtual":
            raise SimulatorError("media mode 'virtual' has no SIP: leave out the SIP addresses")
        self.options = options
        self.webhook_secret = options.webhook_secret or new_secret()
        self.faults = options.faults | options.script.faults
        self.calls = CallTable(remembered=options.remembered_calls)
        self.http: tuple[str, int] = (options.http_host, options.http_port)
        """Where HTTP is bound, once entered."""
        self.sip: tuple[ListenAddress, ...] = ()
        """Where SIP is bound, in the order asked for, once entered."""
        self._webhooks: WebhookSender | None = None
        self._mounted = mounted or {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pacer = Pacer()
        self._exit = AsyncExitStack()
        self._voice = options.voice or _voice(options.script.voice)

    # Where it is

    @property
    def base_url(self) -> str:
        """For the official client: ``AsyncOpenAI(base_url=simulator.base_url)``."""
        return f"{self._origin}/v1"

    @property
    def control_url(self) -> str:
        """Where the control API is."""
        return f"{self._origin}/control"

    @property
    def webhook_url(self) -> str | None:
        """Where webhooks go; may be set at any time."""
        return self._sender.url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self._sender.url = url

    @property
    def surroundings(self) -> CallSurroundings:
        """What calls with audible audio share."""
        return self._surroundings(self._voice)

    # Calls

    def place_call(self, plan: CallPlan) -> SimulatedCall:
        """Begin a virtual call. Raises `SimulatorError` for bad faults or when there are too many calls."""
        if self.calls.live_count >= self.options.maximum_calls:
            raise SimulatorError(f"{self.options.maximum_calls} calls are up: no more are taken")
        headers = invite_headers(plan)
        faults = self.faults | faults_of(headers) | plan.faults
        leg = VirtualLeg(
            headers=headers,
            media_security=plan.media_security,
            refer_status=plan.refer_status,
            transfer_status=plan.transfer_status,
            transfers=plan.transfers,
        )
        steps = planned_steps(plan, headers, script_lines=self.options.script.caller_lines)
        caller = VirtualCaller(leg, steps, patience_s=plan.patience_s)
        call = SimulatedCall(
            call_id=new_call_id(),
            leg=leg,
            surroundings=self._surroundings(self.options.virtual_voice),
            faults=faults,
            on_agent_finished=caller.agent_finished,
        )
        self.calls.add(call, caller)
        self._spawn(lambda: self._see_through(call), name=f"call {call.call_id}")
        return call

    # Start and stop

    async def __aenter__(self) -> Simulator:
        # The first check of each kind builds its validators, a tenth of a second: not in a call's time.
        check_session({"type": "realtime"})
        check_response({})
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            )
            self._webhooks = WebhookSender(
                http=http,
                secret=self.webhook_secret,
                url=self.options.webhook_url,
                settings=self.options.webhooks,
            )
            await self._listen_http(stack)
            if self.options.sip:
                await self._listen_sip(stack)
            stack.push_async_callback(self._end_calls)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _listen_http(self, stack: AsyncExitStack) -> None:
        api = RealtimeApi(self, api_key=self.options.api_key, project=self.options.project)
        app = web.Application()
        app.add_subapp("/v1", api.application())
        for path, application in self._mounted.items():
            app.add_subapp(path, application)  # first, since /control takes all that begins with it
        app.add_subapp("/control", ControlApi(self).application())
        self.http = await serve_http(
            app, host=self.options.http_host, port=self.options.http_port, until=stack
        )
        stack.callback(api.abort_sockets)

    async def _listen_sip(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._pacer)
        endpoint = SipEndpoint(
            on_call=self._take_call, tls=self.options.tls, settings=self.options.sip_settings
        )
        stack.push_async_callback(endpoint.aclose)
        self.sip = tuple([await endpoint.listen(address) for address in self.options.sip])

    async def _end_calls(self) -> None:
        for call in self.calls.all_calls():  # a task that has not begun yet would not do it when cancelled
            call.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # One call's task

    def _take_call(self, incoming: IncomingSipCall) -> None:
        """A new INVITE. Everything that may fail or wait happens in the call's own task."""
        if self.calls.live_count >= self.options.maximum_calls:
            incoming.reject(503)
        else:
            self._spawn(lambda: self._answer_telephone(incoming), name="call: sip")

    async def _answer_telephone(self, incoming: IncomingSipCall) -> None:
        refusal, faults = self._admit(incoming)
        if refusal is not None:
            incoming.reject(refusal)
            return
        try:
            leg = await SipLeg.open(incoming, pacer=self._pacer, settings=self._leg_settings)
        except SimulatorError as error:  # refused already, with 488 or 500
            _log.warning("a call is refused: %s", error)
            return
        except Exception:
            incoming.reject(500)
            raise
        call = SimulatedCall(call_id=new_call_id(), leg=leg, surroundings=self.surroundings, faults=faults)
        self.calls.add(call, None)
        await self._see_through(call, leg.aclose)

    def _admit(self, incoming: IncomingSipCall) -> tuple[int | None, FaultSet]:
        """The status to refuse the call with, if any, and its faults."""
        try:
            faults = self.faults | faults_of(incoming.headers)
            dialled = SipUri.parse(incoming.request_uri).user
        except SimulatorError as error:
            _log.warning("a call is refused with 400: %s", error)
            return 400, self.faults
        if self.options.project not in (None, dialled):
            _log.warning("a call is refused with 404: it is for %s", incoming.request_uri)
            return 404, faults
        return None, faults

    async def _see_through(
        self, call: SimulatedCall, release_leg: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        async def release() -> None:
            self.calls.retire(call)
            if release_leg is not None:
                await release_leg()

        await call.run(release)

    # Inside

    @property
    def _leg_settings(self) -> LegSettings:
        """The leg's own settings, with the simulator's media mode."""
        assert self.options.media != "virtual", "a virtual simulator has no telephones"
        return replace(self.options.leg, media=self.options.media)

    @property
    def _origin(self) -> str:
        host, port = self.http
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def _sender(self) -> WebhookSender:
        assert self._webhooks is not None, "the simulator is used before it was entered"
        return self._webhooks

    def _surroundings(self, voice: VoiceLike) -> CallSurroundings:
        return CallSurroundings(
            settings=self.options.calls, script=self.options.script, voice=voice, webhooks=self._sender
        )

    def _spawn(self, work: Callable[[], Awaitable[None]], *, name: str) -> None:
        # Owned here and cancelled by `_end_calls`: a task group would tie the whole life of the simulator
        # to the one task that entered it.
        task = asyncio.get_running_loop().create_task(_boundary(work, name=name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _boundary(work: Callable[[], Awaitable[None]], *, name: str) -> None:
    """The wall around one call: what breaks inside it hurts no other."""
    try:
        await work()
    except Exception:  # noqa: BLE001 - the wall between calls
        _log.exception("%s broke", name)


def _voice(mode: str) -> Voice:
    """The voice a script asks for. Raises `SimulatorError` when there is none of that name."""
    for known in get_args(VoiceMode):
        if mode == known:
            return Voice(known)
    raise SimulatorError(f"there is no voice {mode!r}; there are: {', '.join(get_args(VoiceMode))}")
