"""Whether webhooks reach the service: name, port, certificate, path, and the signing secret it knows.

Two requests are sent to the address: one that nobody signed, which must be refused, and one that is signed
with our secret and has a type that no service acts on, which must be taken. Neither starts anything.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from sipagent.config import AccountSeen, webhook_secret_mistake
from sipagent.doctor.finding import Area, Finding, fail, hint, ok, warn
from sipagent.doctor.network import why_unreachable
from sipagent.doctor.pages import WEBHOOKS

TEST_TYPE = "sipagent.doctor"
"""The type of the signed request: the API sends no such event, and the service ignores it."""
MAXIMUM_BODY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where webhooks are said to arrive."""

    url: str
    account: AccountSeen = field(repr=False)
    must_be_public: bool = False
    """Whether OpenAI itself has to reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of whatever is behind the address."""

    status: int
    code: str
    """Of the error that sipagent's own answers hold, else ""."""


async def examine_webhook(
    door: Door, *, http: aiohttp.ClientSession, timeout_s: float, now_s: float
) -> tuple[Finding, ...]:
    """Knock. ``now_s`` is in Unix seconds. Raises nothing but `asyncio.CancelledError`; cancel-safe."""
    if (wrong := _wrong_url(door)) is not None:
        return (wrong,)
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(timeout_s):
            findings += await _where(door)
            unsigned = await _post(http, door.url, b"{}", {})
            refusal = read_unsigned(door.url, unsigned)
            findings.append(refusal)
            key = _signing_key(door.account)
            if refusal.verdict == "ok" and key is not None:
                body = json.dumps({"type": TEST_TYPE, "data": {}}).encode()
                signed = await _post(http, door.url, body, sign(key, body, now_s=now_s))
                findings.append(read_signed(signed))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason, remedy = why_unreachable(error, timeout_s=timeout_s)
        findings.append(fail(Area.WEBHOOK, f"{door.url} cannot be reached: {reason}.", remedy))
    return tuple(findings)


def no_webhook(*, must_be_public: bool) -> Finding:
    """What is said when nobody told where webhooks arrive."""
    said = "Where webhooks arrive is not known, so whether they do was not tried."
    remedy = "Give --webhook-url, such as --webhook-url https://calls.example.com/webhooks/openai."
    if must_be_public:
        return warn(Area.WEBHOOK, said, remedy, WEBHOOKS)
    return hint(Area.WEBHOOK, f"{said} {remedy}")


def _wrong_url(door: Door) -> Finding | None:
    remedy = "Write https://HOST/webhooks/openai."
    try:
        parts = urlsplit(door.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port of letters
        good = False
    if not good:
        return fail(Area.WEBHOOK, f"{door.url!r} is no URL of a webhook.", remedy, WEBHOOKS)
    if door.must_be_public and parts.scheme == "http":
        remedy = "Put a proxy with a certificate before it."
        return fail(Area.WEBHOOK, f"{door.url} is not https.", remedy, WEBHOOKS)
    return None


async def _where(door: Door) -> list[Finding]:
    """Whether its name leads to where the internet can go. Raises `OSError` where it leads nowhere."""
    parts = urlsplit(door.url)
    assert parts.hostname is not None, "the URL was looked at"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []  # the request says it, in better words
    addresses = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    private = [each for each in addresses if not ipaddress.ip_address(each).is_global]
    if not private or len(private) < len(addresses):
        return []
    said = f"{parts.hostname} is {', '.join(private)}: only this machine or its network can go there."
    if not door.must_be_public:
        return [hint(Area.WEBHOOK, said)]
    # A split DNS answers differently inside, so this is no proof.
    remedy = "Use a name that the internet finds; inside a network with a DNS of its own, ask from outside."
    return [warn(Area.WEBHOOK, said, remedy, WEBHOOKS)]


async def _post(http: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> Reply:
    headers = {"Content-Type": "application/json", **headers}
    async with http.post(url, data=body, headers=headers, allow_redirects=False) as response:
        said = await response.content.read(MAXIMUM_BODY_BYTES)
    try:
        code = json.loads(said)["error"]["code"]
    except (ValueError, RecursionError, LookupError, TypeError):
        code = ""
    return Reply(status=response.status, code=code if isinstance(code, str) else "")


def sign(key: bytes, body: bytes, *, now_s: float) -> dict[str, str]:
    """The headers of a webhook that is signed with ``key`` (Standard Webhooks, "Signature scheme")."""
    webhook_id, timestamp = f"wh_doctor_{int(now_s * 1000)}", str(int(now_s))
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _signing_key(account: AccountSeen) -> bytes | None:
    """The key of the present secret; None without one, or with one that is damaged."""
    secret = dict(account.webhook_secrets).get("OPENAI_WEBHOOK_SECRET")
    if secret is None or webhook_secret_mistake(secret) is not None:
        return None
    if not secret.startswith("whsec_"):
        return secret.encode()
    return base64.b64decode(secret.removeprefix("whsec_"))


def read_unsigned(url: str, reply: Reply) -> Finding:
    """What the answer to a request without a signature tells."""
    match reply.status:
        case 400 if reply.code == "bad_signature":
            return ok(Area.WEBHOOK, f"{url} is reached, and refuses what is not signed.")
        case 400:
            said = f"{url} answers with HTTP 400, and not as sipagent does."
            return warn(Area.WEBHOOK, said, "See what listens there.")
        case status if 200 <= status < 300:
            said = f"{url} takes a webhook that nobody signed (HTTP {status}): that is not sipagent."
            return fail(Area.WEBHOOK, said, "Let the proxy pass this path on to `sipagent serve`.")
        case status if 300 <= status < 400:
            said = f"{url} redirects (HTTP {status}); OpenAI does not follow."
            return fail(Area.WEBHOOK, said, "Enter the address it leads to as the webhook's URL.", WEBHOOKS)
        case 401 | 403 | 407:
            said = f"{url} wants to know who asks (HTTP {reply.status}); OpenAI brings no password."
            return fail(Area.WEBHOOK, said, "Let the proxy pass this path on without asking.")
        case 404 | 405:
            said = f"{url} is reached, but nothing takes webhooks there (HTTP {reply.status})."
            return fail(Area.WEBHOOK, said, "The path of `sipagent serve` is /webhooks/openai.", WEBHOOKS)
        case 502 | 503 | 504:
            said = f"{url} is reached, but not the service behind it (HTTP {reply.status})."
            return fail(Area.WEBHOOK, said, "Start `sipagent serve`, and point the proxy at its port.")
        case status:
            return warn(Area.WEBHOOK, f"{url} answers with HTTP {status}.", "Look into its log.")


def read_signed(reply: Reply) -> Finding:
    """What the answer to a request that is signed with our secret tells."""
    match reply.status:
        case status if 200 <= status < 300:
            return ok(Area.WEBHOOK, "The service there knows our signing secret.")
        case 400 if reply.code == "bad_signature":
            said = "The service there does not take what our OPENAI_WEBHOOK_SECRET signs."
            remedy = "Give both the same secret; if it is the same, compare the clocks of both machines."
            return fail(Area.WEBHOOK, said, remedy, WEBHOOKS)
        case status:
            said = f"The service there answers a signed webhook with HTTP {status}."
            return warn(Area.WEBHOOK, said, "Look into its log.")
