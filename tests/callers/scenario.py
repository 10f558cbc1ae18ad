"""Scenarios for sipp, put together from the few steps our tests need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FROM = '"Ann" <sip:+15550100123@carrier.test>;tag=[pid]T[call_number]'
TO = "<sip:+15550100000@sip.api.openai.test>"
CONTACT = "Contact: <sip:ann@[local_ip]:[local_port];transport=[transport]>"


def request(
    method: str, sequence: int, *, uri: str, to: str, more: tuple[str, ...] = (), body: str = ""
) -> str:
    via = (
        "[last_Via:]"
        if method == "CANCEL"
        else "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]"
    )
    lines = [
        f"{method} {uri} SIP/2.0",
        via,
        *(["[routes]"] if uri == "[next_url]" else []),
        f"From: {FROM}",
        f"To: {to}",
        "Call-ID: [call_id]",
        f"CSeq: {sequence} {method}",
        "Max-Forwards: 70",
        *more,
        f"Content-Length: {'[len]' if body else '0'}",
        "",
        body,
    ]
    retransmit = "" if method == "ACK" else ' retrans="500"'
    return f"<send{retransmit}><![CDATA[\n" + "\n".join(lines) + "\n]]></send>"


def in_dialog(method: str, sequence: int, *more: str, body: str = "") -> str:
    """A request inside the dialog, along its route set."""
    return request(method, sequence, uri="[next_url]", to=f"{TO}[peer_tag_param]", more=more, body=body)


def invite(*headers: str, port: str = "[rtpstream_audio_port]") -> str:
    """The INVITE with a PCMU offer; ``port`` names sipp's own media port."""
    offer = "\n".join(
        [
            "v=0",
            "o=ann 1 1 IN IP[media_ip_type] [media_ip]",
            "s=-",
            "c=IN IP[media_ip_type] [media_ip]",
            "t=0 0",
            f"m=audio {port} RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=ptime:20",
        ]
    )
    return request(
        "INVITE",
        1,
        uri="sip:[service]@[remote_ip]:[remote_port];transport=[transport]",
        to=TO,
        more=(CONTACT, "X-Carrier-Call: CA[call_number]", *headers, "Content-Type: application/sdp"),
        body=offer,
    )


PROVISIONAL = '<recv response="100" optional="true"/>\n<recv response="180" optional="true"/>'
ANSWERED = f'{PROVISIONAL}\n<recv response="200" rrs="true"/>\n{in_dialog("ACK", 1)}'
OK = '<recv response="200"/>'


def failed(status: int) -> str:
    """A final refusal and its ACK, which belongs to the INVITE's own transaction."""
    uri = "sip:[service]@[remote_ip]:[remote_port];transport=[transport]"
    ack = request("ACK", 1, uri=uri, to=f"{TO}[peer_tag_param]")
    ack = ack.replace("Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]", "[last_Via:]")
    return f'<recv response="{status}"/>\n{ack}'


def notify(sequence: int, state: str, fragment: str) -> str:
    """The progress of a transfer (RFC 3515 section 2.4.4)."""
    more = ("Event: refer", f"Subscription-State: {state}", CONTACT, "Content-Type: message/sipfrag")
    return f"{in_dialog('NOTIFY', sequence, *more, body=fragment)}\n{OK}"


def play(path: Path) -> str:
    """Send a raw mu-law file over and over."""
    return f'<nop><action><exec rtp_stream="{path},-1,0"/></action></nop>'


STOP_PLAYING = '<nop><action><exec rtp_stream="pause"/></action></nop>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Steps under a name, as sipp reads them."""

    name: str
    steps: tuple[str, ...]

    def write(self, folder: Path) -> Path:
        """Write the file sipp is given with ``-sf``."""
        path = folder / f"{self.name}.xml"
        text = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n'
        path.write_text(f'{text}<scenario name="{self.name}">\n' + "\n".join(self.steps) + "\n</scenario>\n")
        return path
