"""A call that the agent transfers, as sipp lives through it."""

from __future__ import annotations

from pathlib import Path

from tests.callers.scenario import ANSWERED, Scenario, invite, notify, play

TRANSFERS = """
greeting: Hello.
turns:
  - {say: One moment., call: {tool: transfer, with: {target: billing}}}
"""
LOG = "refer.log"
ARGUMENTS = ("-trace_logs", "-log_file", LOG)
"""With which sipp keeps the targets it was referred to, in `LOG`."""

_ACCEPTED = """<send><![CDATA[
SIP/2.0 202 Accepted
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:ann@[local_ip]:[local_port]>
Content-Length: 0

]]></send>"""
_REFER = (
    '<recv request="REFER" timeout="20000"><action><ereg regexp="tel:[+0-9]*" search_in="hdr" '
    'header="Refer-To:" check_it="true" assign_to="target"/><log message="to [$target]"/></action></recv>'
)


def transferred(speech: Path) -> Scenario:
    """The caller speaks, is referred, follows, and is released."""
    return Scenario(
        name="refer",
        steps=(
            invite(),
            ANSWERED,
            # The caller speaks first after the greeting: that is the turn which asks for the transfer.
            '<pause milliseconds="2000"/>',
            play(speech),
            _REFER,
            _ACCEPTED,
            notify(2, "active;expires=60", "SIP/2.0 100 Trying"),
            '<pause milliseconds="200"/>',
            notify(3, "terminated;reason=noresource", "SIP/2.0 200 OK"),
            '<recv request="BYE" timeout="10000"/>',
            _ACCEPTED.replace("202 Accepted", "200 OK"),
        ),
    )
