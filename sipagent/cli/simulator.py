"""`sipagent simulator`: stand in for OpenAI's side of the telephone."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import fields
from typing import Literal, cast

from sipagent.app import configure_logging
from sipagent.cli.arguments import host_and_port, sip_address
from sipagent.cli.carrier_section import carrier_section, carrier_variables
from sipagent.cli.output import console, print_json_line
from sipagent.errors import UserError
from sipagent.simulator.carrier import (
    AsteriskOptions,
    CarrierFaults,
    CarrierOptions,
    PretendedAsterisk,
    PretendedCarrier,
    PretendedTelnyx,
    PretendedTwilio,
    Subscriber,
    TelnyxOptions,
    TwilioOptions,
    parse_subscriber,
)
from sipagent.simulator.carrier.control import CarrierControlApi
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.script import default_script, load_script
from sipagent.simulator.server import Simulator, SimulatorOptions, server_tls
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.voice import Voice, VoiceMode

_SERVICE = "http://127.0.0.1:8080"
_VOICE_PATHS = {
    "twilio": "/carriers/twilio/voice",
    "telnyx": "/carriers/telnyx/texml/voice",
    "telnyx-call-control": "/carriers/telnyx/call-control",
    "asterisk": "/carriers/asterisk/call",
}
_CARRIER_SIP = ListenAddress(transport="udp", host="127.0.0.1", port=5070)
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
  sipagent simulator --http 127.0.0.1:0 --media virtual --json      the first line names the ports
  sipagent simulator --carrier twilio       a pretended Twilio besides, whose numbers lead to the service"""
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
    _configure_carrier(parser)


def _configure_carrier(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a pretended carrier besides")
    group.add_argument("--carrier", choices=tuple(_VOICE_PATHS), help="which one; none by default")
    group.add_argument(
        "--carrier-webhook",
        metavar="URL",
        help=f"where it announces calls ({_SERVICE}/carriers/… as the service has it)",
    )
    group.add_argument(
        "--carrier-reports", metavar="URL", help="where its status callbacks go; nowhere by default"
    )
    group.add_argument(
        "--carrier-http",
        type=host_and_port,
        default=("127.0.0.1", 8091),
        metavar="HOST:PORT",
        help="its REST API (127.0.0.1:8091)",
    )
    group.add_argument(
        "--carrier-sip",
        type=sip_address,
        default=_CARRIER_SIP,
        metavar="udp:HOST:PORT",
        help=f"where telephones call its numbers ({_CARRIER_SIP})",
    )
    group.add_argument(
        "--carrier-secret", metavar="TEXT", help="auth token, API key or dialplan token; made up by default"
    )
    group.add_argument(
        "--carrier-number",
        action="append",
        default=[],
        metavar="NUMBER=WHO",
        help="who has a number: answers, busy, no_answer, declines, sip:…; repeatable",
    )
    group.add_argument("--carrier-faults", default="", metavar="NAME[=NUMBER],…", help="on for its calls")
    group.add_argument(
        "--audio-socket",
        type=host_and_port,
        default=("127.0.0.1", 9092),
        metavar="HOST:PORT",
        help="where the service takes an Asterisk's audio (127.0.0.1:9092)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate until a signal."""
    configure_logging(as_json=False, level="INFO", secrets=(), stream=sys.stderr)
    carrier = None if arguments.carrier is None else _carrier(arguments)
    return asyncio.run(_simulate(_options(arguments), carrier, as_json=arguments.json))


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


def _carrier(arguments: argparse.Namespace) -> Callable[[], PretendedCarrier]:
    """Makes the carrier, once there is an event loop. Raises `SimulatorError` for what cannot be."""
    numbers: dict[str, Subscriber] = {}
    for entry in arguments.carrier_number:
        number, _, who = entry.partition("=")
        numbers[number] = parse_subscriber(who)
    host, port = arguments.carrier_http
    secret = arguments.carrier_secret or secrets.token_hex(16)
    common = CarrierOptions(
        webhook_url=arguments.carrier_webhook or _SERVICE + _VOICE_PATHS[arguments.carrier],
        report_url=arguments.carrier_reports,
        report_events=frozenset({"initiated", "ringing", "answered", "completed"}),
        numbers=numbers,
        http_host=host,
        http_port=port,
        sip=(arguments.carrier_sip,),
        # The simulator's own certificate is good for a leg from the carrier to the simulator.
        client_tls=ssl.create_default_context(cafile=arguments.tls_cert) if arguments.tls_cert else None,
        voice=Voice("auto"),
        people_voice=Voice("auto", speaker="caller"),
        faults=CarrierFaults.parse(arguments.carrier_faults),
    )
    shared = {field.name: getattr(common, field.name) for field in fields(common)}
    match arguments.carrier:
        case "twilio":
            return lambda: PretendedTwilio(TwilioOptions(**shared, auth_token=secret))
        case "asterisk":
            outcome = common.webhook_url.removesuffix("/call") + "/outcome"
            return lambda: PretendedAsterisk(
                AsteriskOptions(
                    **shared, token=secret, audio_socket=arguments.audio_socket, outcome_url=outcome
                )
            )
        case _:
            kind: Literal["texml", "call_control"] = (
                "call_control" if arguments.carrier == "telnyx-call-control" else "texml"
            )
            return lambda: PretendedTelnyx(TelnyxOptions(**shared, api_key=secret, application=kind))


async def _simulate(
    options: SimulatorOptions, make_carrier: Callable[[], PretendedCarrier] | None, *, as_json: bool
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        carrier = None if make_carrier is None else await stack.enter_async_context(make_carrier())
        mounted = {} if carrier is None else {"/control/carrier": CarrierControlApi(carrier).application()}
        simulator = await stack.enter_async_context(Simulator(options, mounted=mounted))
        _announce(simulator, carrier, as_json=as_json)
        await stop.wait()
    return 0


def _announce(simulator: Simulator, carrier: PretendedCarrier | None, *, as_json: bool) -> None:
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
                **({} if carrier is None else _carrier_as_json(simulator, carrier)),
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
    variables = {} if carrier is None else carrier_variables(carrier)
    out.print(
        f"  OPENAI_API_KEY=any OPENAI_WEBHOOK_SECRET={simulator.webhook_secret} "
        f"OPENAI_BASE_URL={simulator.base_url} "
        f"{''.join(f'{name}={value} ' for name, value in variables.items())}sipagent serve --config FILE"
    )
    if carrier is not None:
        out.print()
        out.print("The carrier")
        for name, value in _about(carrier).items():
            out.print(f"  {name:16} {value}")
        out.print()
        out.print("FILE with this at its end answers the carrier's calls")
        out.print()
        out.print(carrier_section(carrier, simulator.sip), end="")
    sys.stdout.flush()


def _carrier_as_json(simulator: Simulator, carrier: PretendedCarrier) -> dict[str, object]:
    return {
        "carrier": _about(carrier),
        "configuration": carrier_section(carrier, simulator.sip),
        "variables": dict(carrier_variables(carrier)),
    }


def _about(carrier: PretendedCarrier) -> dict[str, str]:
    """What a service must know of a carrier, secrets included: they are made up."""
    about = {
        "webhook_url": carrier.webhook_url,
        "sip": ", ".join(str(address) for address in carrier.network.sip),
        "api_base_url": carrier.api_base_url,
    }
    match carrier:
        case PretendedTwilio():
            about |= {"account_sid": carrier.account_sid, "auth_token": carrier.auth_token}
        case PretendedTelnyx():
            about |= {
                "api_key": carrier.api_key,
                "public_key": carrier.public_key,
                "connection_id": carrier.connection_id,
            }
        case PretendedAsterisk():
            host, port = carrier.audio_socket
            about |= {"token": carrier.token, "audio_socket": f"{host}:{port}"}
        case _:
            pass
    return about
