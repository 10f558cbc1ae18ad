"""What to set at the carrier, which cannot be seen from here. Pure.

Sources: OpenAI's guide "Realtime API with SIP"; the carriers' own pages on SIP trunking and REFER.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sipagent.doctor.finding import Area, Finding, hint

TRUNKS = ("twilio", "telnyx", "asterisk")

_EVERYWHERE = (
    "Transport TLS, port 5061. Media encryption: SRTP (SDES). Codecs: PCMU and PCMA. DTMF: RFC 4733.",
    "For transfers the trunk must allow SIP REFER.",
)
_HINTS: dict[str, tuple[str, ...]] = {
    "twilio": (
        "Elastic SIP Trunking → the trunk → Origination: that address. General → Secure Trunking: enabled.",
        "General → Call Transfer (SIP REFER): enabled, with PSTN transfer, or transfers to tel: do nothing.",
        "Twilio writes the project id into To and the dialled number into Diversion; "
        "`numbers: {preset: twilio}` reads it there.",
    ),
    "telnyx": (
        "SIP trunking → a connection of type FQDN with the host of that address, port 5061, transport TLS; "
        "SRTP is off by default.",
        "The number's settings → Translated number: the project id (proj_…). "
        "For transfers: an outbound profile.",
        "`numbers: {preset: telnyx}` reads the dialled number where Telnyx writes it.",
    ),
    "asterisk": (
        "pjsip.conf, aor: contact=that address, with `\\;` for its semicolon. No registration, no auth.",
        "pjsip.conf, endpoint: allow=!all,ulaw,alaw; media_encryption=sdes; direct_media=no; "
        "rtp_symmetric=yes; dtmf_mode=rfc4733.",
        "`numbers: {preset: asterisk}` reads the dialled number where Asterisk writes it.",
    ),
}
_REGIONS = {"eu.api.openai.com": "sip-eu.api.openai.com"}
_AZURE = re.compile(r"\.(openai|services\.ai|cognitiveservices)\.azure\.com$")


def examine_trunk(trunk: str | None, *, project: str, base_url: str) -> Iterator[Finding]:
    """``trunk`` is one of `TRUNKS`; None says what holds for all of them."""
    host = urlsplit(base_url).hostname or ""
    if _AZURE.search(host):
        address = "sip:proj_INTERNAL-ID@REGION.sip.ai.azure.com;transport=tls"
        said = f"Calls are sent to {address}; the internal id is in the resource's JSON view."
        yield hint(Area.TRUNK, said)
    else:
        sip_host = _REGIONS.get(host, "sip.api.openai.com")
        address = f"sip:{project or 'proj_…'}@{sip_host};transport=tls"
        yield hint(Area.TRUNK, f"Calls are sent to {address}")
    for said in (*_EVERYWHERE, *_HINTS.get(trunk or "", ())):
        yield hint(Area.TRUNK, said)
