"""`sipagent demo`: a telephone call, from the first ring to the record, on this machine alone."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from sipagent.app import Service, ServiceSettings, configure_logging
from sipagent.cli.arguments import sip_address
from sipagent.cli.example import example_configuration
from sipagent.cli.output import console, print_json
from sipagent.cli.record import print_record
from sipagent.cli.watching import LiveView
from sipagent.config import load
from sipagent.errors import SimulatorError, UserError
from sipagent.simulator.phone import Phone
from sipagent.simulator.script import Script, shipped_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice, VoiceMode
from sipagent.store import Store, open_store
from sipagent.store.as_json import record_as_json
from sipagent.store.records import CallRecord

CALL_DEADLINE_S = 50.0
"""The call takes about 25 seconds; one that is not over by then has failed."""
RECORD_DEADLINE_S = 10.0
"""How long the record of a call that is over may take to be written."""
DIALLED = "+15550100000"
CALLER = "+15550100123"
_ANY_PORT = ListenAddress(transport="udp", host="127.0.0.1", port=0)
_USUAL_PORT = ListenAddress(transport="udp", host="127.0.0.1", port=5060)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
A simulated phone calls a simulated OpenAI over real SIP and RTP on the loopback interface, and the service
answers with the agent of the example configuration. No account, no key, no network."""
    parser.epilog = """\
examples:
  sipagent demo
  sipagent demo --hold                      then dial in with a softphone
  sipagent demo --wav call.wav --json       the record as JSON, the sound as a file"""
    parser.add_argument("--hold", action="store_true", help="go on listening, and say how to dial in")
    parser.add_argument(
        "--sip",
        type=sip_address,
        metavar="udp:HOST:PORT|tcp:…",
        help=f"where calls come in; with --hold {_USUAL_PORT} if it is free",
    )
    parser.add_argument("--wav", type=Path, metavar="FILE", help="where to write the sound of the call")
    parser.add_argument(
        "--voice",
        choices=("auto", "tones", "prompts", "command"),
        default="auto",
        help="auto: recorded prompts; command: espeak-ng or flite; tones: neither",
    )
    parser.add_argument("--json", action="store_true", help="print only the outcome, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Play the call; 0 when the agent did what the example says."""
    if arguments.sip is not None and arguments.sip.transport == "tls":
        raise UserError("the demo has no certificate for tls:; `sipagent simulator` takes one")
    configure_logging(as_json=False, level="WARNING", secrets=(), stream=sys.stderr)
    return asyncio.run(_demo(arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Simulator and service, up and pointed at each other."""

    simulator: Simulator
    service: Service
    store: Store
    view: LiveView


async def _demo(arguments: argparse.Namespace) -> int:
    out = None if arguments.json else console()
    folder = Path(tempfile.mkdtemp(prefix="sipagent-demo-"))
    wav = arguments.wav or folder / "call.wav"
    script = shipped_script("demo")
    async with AsyncExitStack() as stack:
        stage = await _open_stage(stack, arguments, script, folder, out)
        record = await _play(stage, script, arguments.voice, wav, out)
        succeeded = _as_written(record)
        _print_outcome(record, wav, succeeded, out)
        if arguments.hold:
            _say_how_to_dial(stage.simulator, out)
            await stage.service.serve_until_stopped()
    return 0 if succeeded else 1


async def _open_stage(
    stack: AsyncExitStack, arguments: argparse.Namespace, script: Script, folder: Path, out: Console | None
) -> _Stage:
    api_key = secrets.token_urlsafe()
    options = SimulatorOptions(
        sip=(arguments.sip or (_USUAL_PORT if arguments.hold else _ANY_PORT),),
        script=script,
        api_key=api_key,
        voice=Voice(arguments.voice, speaker="agent"),
    )
    simulator = await _open_simulator(stack, options, may_move=arguments.sip is None)
    view = LiveView(out)
    stack.callback(view.close)
    store = open_store(f"sqlite:///{folder / 'calls.db'}")
    service = await stack.enter_async_context(
        Service(
            front_door=load(example_configuration()),
            api_key=api_key,
            base_url=simulator.base_url,
            webhook_secrets=(simulator.webhook_secret,),
            store=store,
            settings=ServiceSettings(port=0, drain_timeout_s=5.0),
            watch=view.show,
        )
    )
    service.observe_words(view.hear)
    simulator.webhook_url = service.webhook_url
    return _Stage(simulator=simulator, service=service, store=store, view=view)


async def _open_simulator(stack: AsyncExitStack, options: SimulatorOptions, *, may_move: bool) -> Simulator:
    """The simulator, on another port when the usual one is taken and nobody asked for it."""
    try:
        return await stack.enter_async_context(Simulator(options))
    except SimulatorError:
        if not may_move or options.sip == (_ANY_PORT,):
            raise
        return await stack.enter_async_context(Simulator(replace(options, sip=(_ANY_PORT,))))


async def _play(
    stage: _Stage, script: Script, voice: VoiceMode, wav: Path, out: Console | None
) -> CallRecord | None:
    """Dial, speak the script's lines, and return the record; None when the service heard of no call."""
    [address] = stage.simulator.sip
    target = f"sip:{DIALLED}@{address.host}:{address.port};transport={address.transport}"
    if out is not None:
        out.print(f"Dialling {target}", style="dim")
    async with await Phone.open(user=CALLER, voice=Voice(voice, speaker="caller")) as phone:
        call = await phone.dial(target, says=script.caller_lines)
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await call.ended()
        except TimeoutError:
            await call.hang_up()
        await call.write_wav(wav)
    with suppress(TimeoutError):  # the record, or its absence, tells
        async with asyncio.timeout(RECORD_DEADLINE_S):
            await stage.view.first_call_ended()
    first = stage.view.first_call
    return None if first is None else await stage.store.call(first)


def _as_written(record: CallRecord | None) -> bool:
    """Whether the call went as the example's script says: a tool ran, and the agent hung up."""
    return (
        record is not None
        and record.summary.end_reason == "agent_hung_up"
        and any(tool.output is not None and not tool.is_error for tool in record.tools)
    )


def _print_outcome(record: CallRecord | None, wav: Path, succeeded: bool, out: Console | None) -> None:
    if out is None:
        call = None if record is None else record_as_json(record)
        print_json({"ok": succeeded, "call": call, "wav": str(wav)})
        return
    out.print()
    if record is not None:
        print_record(record, out)
        out.print()
    out.print(f"Recording  {wav} (left: the caller, right: the agent)")
    if not succeeded:
        out.print("The call did not go as the example says.", style="red")


def _say_how_to_dial(simulator: Simulator, out: Console | None) -> None:
    if out is None:
        return
    [address] = simulator.sip
    out.print()
    out.print("Still listening. From a softphone on this machine:")
    out.print(f"  Dial  sip:{DIALLED}@{address.host}:{address.port}")
    out.print(f"  Transport {address.transport.upper()}, codec PCMU or PCMA; any account registers.")
    out.print("The pretended model follows its script, whatever you say. Ctrl-C stops.")
