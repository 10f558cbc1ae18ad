"""`sipagent simulator`: stand in for OpenAI's side of the telephone."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import cast

from sipagent.app import configure_logging
from sipagent.cli.arguments import host_and_port, sip_address
from sipagent.cli.output import console, print_json_line
from sipagent.errors import UserError
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.script import default_script, load_script
from sipagent.simulator.server import Simulator, SimulatorOptions, server_tls
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice, VoiceMode

_DEFAULT_SIP = ListenAddress(transport="udp", host="127.0.0.1", port=5060)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Takes SIP calls, sends signed webhooks, and answers the Calls API and the Realtime socket as OpenAI does.
The pretended model follows a script. Scripts, faults and the control API: `sipagent guide simulator`."""
    parser.epilog = """\
examples:
  sipagent simulator --webhook http://127.0.0.1:8080/webhooks/openai
  sipagent simulator --sip udp:127.0.0.1:5060 --sip tcp:127.0.0.1:5060 --script script.yaml
  sipagent simulator --sip tls:0.0.0.0:5061 --tls-cert cert.pem --tls-key key.pem
  sipagent simulator --http 127.0.0.1:0 --media virtual --json      the first line names the ports"""
    parser.add_argument("--http", type=host_and_port, default=("127.0.0.1", 8090), metavar="HOST:PORT")
    parser.add_argument(
        "--sip",
        type=sip_address,
        action="append",
        metavar="udp:HOST:PORT|tcp:…|tls:…",
        help=f"where calls come in; repeatable ({_DEFAULT_SIP})",
    )
    parser.add_argument(
        "--webhook",
        default="http://127.0.0.1:8080/webhooks/openai",
        metavar="URL",
        help="where webhooks go (%(default)s)",
    )
    parser.add_argument("--webhook-secret", metavar="whsec_…", help="signs webhooks; made up by default")
    parser.add_argument("--script", metavar="FILE", help="what the pretended model says and does")
    parser.add_argument("--media", choices=("rtp", "sink", "virtual"), default="rtp", help="rtp by default")
    parser.add_argument(
        "--voice",
        choices=("auto", "tones", "prompts", "command"),
        help="the agent's voice; the script's, or auto",
    )
    parser.add_argument("--faults", default="", metavar="NAME[=VALUE],…", help="on for every call")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate for tls: addresses, PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its key, PEM")
    parser.add_argument("--json", action="store_true", help="print the addresses in use as one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Simulate until a signal."""
    configure_logging(as_json=False, level="INFO", secrets=(), stream=sys.stderr)
    return asyncio.run(_simulate(_options(arguments), as_json=arguments.json))


def _options(arguments: argparse.Namespace) -> SimulatorOptions:
    sip = tuple(arguments.sip or ())
    if not sip and arguments.media != "virtual":
        sip = (_DEFAULT_SIP,)
    needs_tls = any(address.transport == "tls" for address in sip)
    if needs_tls and not (arguments.tls_cert and arguments.tls_key):
        raise UserError("a tls: address needs --tls-cert and --tls-key")
    script = load_script(arguments.script) if arguments.script else default_script()
    host, port = arguments.http
    return SimulatorOptions(
        http_host=host,
        http_port=port,
        sip=sip,
        webhook_url=arguments.webhook,
        webhook_secret=arguments.webhook_secret,
        script=script,
        faults=FaultSet.parse(arguments.faults),
        media=arguments.media,
        voice=Voice(cast(VoiceMode, arguments.voice or script.voice)),
        tls=server_tls(arguments.tls_cert, arguments.tls_key) if needs_tls else None,
    )


async def _simulate(options: SimulatorOptions, *, as_json: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(options) as simulator:
        _announce(simulator, as_json=as_json)
        await stop.wait()
    return 0


def _announce(simulator: Simulator, *, as_json: bool) -> None:
    host, port = simulator.http
    if as_json:
        print_json_line(
            {
                "http": f"{host}:{port}",
                "base_url": simulator.base_url,
                "control_url": simulator.control_url,
                "sip": [str(address) for address in simulator.sip],
                "webhook_url": simulator.webhook_url,
                "webhook_secret": simulator.webhook_secret,
            }
        )
        return
    out = console()
    for address in simulator.sip:
        out.print(f"SIP      {address}")
    out.print(f"API      {simulator.base_url}")
    out.print(f"Control  {simulator.control_url}")
    out.print(f"Webhooks to {simulator.webhook_url}")
    out.print()
    out.print("A service that answers these calls is started with")
    out.print(
        f"  OPENAI_API_KEY=any OPENAI_WEBHOOK_SECRET={simulator.webhook_secret} "
        f"OPENAI_BASE_URL={simulator.base_url} sipagent serve --config FILE"
    )
    sys.stdout.flush()
