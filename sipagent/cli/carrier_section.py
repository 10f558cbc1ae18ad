"""The section of a configuration by which a service answers the calls of a pretended carrier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from sipagent.simulator.carrier import PretendedAsterisk, PretendedCarrier, PretendedTelnyx, PretendedTwilio
from sipagent.simulator.sip.settings import ListenAddress

_WORDS = "Nobody can take your call."
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound  # nosec B104


def carrier_section(carrier: PretendedCarrier, openai: Sequence[ListenAddress]) -> str:
    """``carriers:`` as YAML, to be pasted at the end of a file; secrets are references to what
    `carrier_variables` has. ``openai`` is where the simulator takes calls over SIP."""
    if isinstance(carrier, PretendedAsterisk):
        # Its dialplan is its plan, and knows where to announce calls.
        host, port = carrier.audio_socket
        host = f"[{host}]" if ":" in host else host
        return f'carriers:\n  asterisk: {{listen: "{host}:{port}", token: "${{ASTERISK_TOKEN}}"}}\n'
    announced = urlsplit(carrier.webhook_url)
    lines = ["carriers:", f"  public_url: {announced.scheme}://{announced.netloc}"]
    steps = ["stream"]
    if openai:
        first = openai[0]
        host, secure = _ANYWHERE.get(first.host, first.host), "true" if first.transport == "tls" else "false"
        where = f'host: "{host}", port: {first.port}, transport: {first.transport}, secure: {secure}'
        lines.append(f"  sip: {{project: proj_demo, {where}}}")
        steps.insert(0, "sip")
    lines.append(f'  answer: [{", ".join(steps)}, {{say: "{_WORDS}"}}]')
    match carrier:
        case PretendedTwilio():
            account = f'account_sid: {carrier.account_sid}, auth_token: "${{TWILIO_AUTH_TOKEN}}"'
            lines.append(f'  twilio: {{{account}, base_url: "{carrier.api_base_url}"}}')
        case PretendedTelnyx():
            keys = f'api_key: "${{TELNYX_API_KEY}}", public_key: "{carrier.public_key}"'
            api = f'connection: "{carrier.connection_id}", base_url: "{carrier.api_base_url}"'
            lines.append(f"  telnyx: {{{keys}, {api}}}")
        case _:
            pass
    return "\n".join(lines) + "\n"


def carrier_variables(carrier: PretendedCarrier) -> Mapping[str, str]:
    """The variables that the section refers to: made-up secrets."""
    match carrier:
        case PretendedTwilio():
            return {"TWILIO_AUTH_TOKEN": carrier.auth_token}
        case PretendedTelnyx():
            return {"TELNYX_API_KEY": carrier.api_key}
        case PretendedAsterisk():
            return {"ASTERISK_TOKEN": carrier.token}
        case _:
            return {}
