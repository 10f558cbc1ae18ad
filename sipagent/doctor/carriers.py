"""Whether the carriers of the configuration can be heard and be told, and what to enter at each of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from sipagent.config import CARRIER_TITLES, Loaded, describe_plan, named_route, recorded_in_part, to_enter
from sipagent.doctor.finding import Area, Finding, fail, hint, ok, warn
from sipagent.doctor.network import why_unreachable

_AUTH_TOKEN = re.compile(r"[0-9a-f]{32}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
MAXIMUM_BODY_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Which carriers are looked at, and for what."""

    loaded: Loaded
    project: str = ""
    """What the environment says of the project."""
    must_be_public: bool = False
    """Whether carriers have to reach us: then their addresses are knocked at."""


def examine_carriers(lines: Lines) -> Iterator[Finding]:
    """What can be said without asking anybody. Blocks: it looks at the folder of recordings."""
    carriers = lines.loaded.carriers
    if carriers is None:
        said = "`carriers:` names none: calls come by a trunk that leads to OpenAI by itself."
        yield hint(Area.CARRIERS, said)
        return
    if carriers.twilio is not None:
        yield from _twilio(carriers.twilio.account_sid, carriers.twilio.auth_tokens)
    if carriers.telnyx is not None:
        yield _telnyx(carriers.telnyx.api_key)
    if carriers.audio_socket is not None:
        yield _asterisk(carriers.audio_socket.host, carriers.audio_socket.port)
    if carriers.public_url:
        yield from _public_url(carriers.public_url, must_be_public=lines.must_be_public)
    if carriers.sip is not None and lines.project and carriers.sip.project != lines.project:
        said = f"`carriers.sip` names {carriers.sip.project}, and OPENAI_PROJECT_ID {lines.project}."
        yield warn(
            Area.CARRIERS, said, "Calls announce themselves to the project that is dialled: name it twice."
        )
    yield from _plans(lines.loaded)
    yield from _recordings(lines.loaded)
    for each in to_enter(carriers):
        yield hint(Area.CARRIERS, f"{CARRIER_TITLES[each.carrier]}: {each.where}: {each.value}")


def _twilio(account_sid: str, auth_tokens: tuple[str, ...]) -> Iterator[Finding]:
    wrong = [number for number, token in enumerate(auth_tokens, 1) if not _AUTH_TOKEN.fullmatch(token)]
    for number in wrong:
        said = f"Auth token {number} of Twilio is not 32 hexadecimal digits, as theirs are."
        yield warn(
            Area.CARRIERS, said, "Copy it again: with a wrong one, every webhook of Twilio is refused."
        )
    if not wrong:
        yield ok(Area.CARRIERS, f"Twilio's account {account_sid} has its auth token.")
    if len(auth_tokens) > 1:
        yield hint(
            Area.CARRIERS,
            "Signatures by several auth tokens of Twilio are good: remove the one that is out of use.",
        )


def _telnyx(api_key: str) -> Finding:
    if not api_key.startswith("KEY"):
        said = "The API key of Telnyx does not begin with KEY, as theirs do."
        return warn(Area.CARRIERS, said, "Copy it again from Account settings → Keys & credentials.")
    return ok(Area.CARRIERS, "Telnyx has its API key and its public key.")


def _asterisk(host: str, port: int) -> Finding:
    if host in _LOOPBACK:
        return ok(Area.CARRIERS, f"An Asterisk on this machine connects to port {port}.")
    said = f"An Asterisk connects to {host}:{port}, and nothing there is encrypted."
    return warn(Area.CARRIERS, said, "Let only its own network reach that port, or tunnel it.")


def _public_url(url: str, *, must_be_public: bool) -> Iterator[Finding]:
    parts = urlsplit(url)
    if (parts.hostname or "") in _LOOPBACK:
        said = f"`public_url` is {url}: only a simulator on this machine can come there."
        if must_be_public:
            yield fail(Area.CARRIERS, said, "Write the https address that carriers reach.")
        else:
            yield hint(Area.CARRIERS, said)


def _plans(loaded: Loaded) -> Iterator[Finding]:
    carriers = loaded.carriers
    assert carriers is not None, "there are carriers"
    for name, plan in (*carriers.plans.items(), ("", carriers.plan)):
        whose = f"Calls of {named_route(name)}" if name else "Other calls" if carriers.plans else "Calls"
        yield ok(Area.CARRIERS, f"{whose} are answered by {describe_plan(plan)}")
        if len(plan.steps) == 2:  # the last step is words, always
            said = f"{whose} have one way to be answered; when it fails, callers hear words alone."
            yield hint(
                Area.CARRIERS, f"{said} A second step, such as `{{call: NUMBER}}`, would lead to somebody."
            )


def _recordings(loaded: Loaded) -> Iterator[Finding]:
    folders = {
        profile.recording.folder for profile in loaded.door.profiles.values() if profile.recording is not None
    }
    for folder in sorted(folders):
        yield _folder(folder)
    if names := ", ".join(recorded_in_part(loaded.door, loaded.carriers)):
        said = (
            f"{names}: calls that are answered over SIP are not recorded, since their audio goes to OpenAI."
        )
        yield hint(Area.CARRIERS, f"{said} Plans that begin with `stream` record all.")


def _folder(folder: Path) -> Finding:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        made = "" if there == folder else ", which will be made"
        return ok(Area.CARRIERS, f"Recordings are kept in {folder}{made}.")
    said = f"Recordings are to be kept in {folder}, and nothing can be written to {there}."
    return fail(Area.CARRIERS, said, "Let the service's user own it, or name another folder.")


# Knocking ---------------------------------------------------------------------------------------------


async def knock(lines: Lines, *, http: aiohttp.ClientSession, timeout_s: float) -> tuple[Finding, ...]:
    """Send each carrier's address a request that nobody signed, which must be refused; nothing comes of it.
    Raises nothing but `asyncio.CancelledError`; cancel-safe."""
    carriers = lines.loaded.carriers
    if carriers is None or not lines.must_be_public:
        return ()
    findings = []
    for each in to_enter(carriers):
        if each.carrier != "asterisk":  # which need not come through the public door
            findings.append(await _knock_at(each.value, http=http, timeout_s=timeout_s))
    return tuple(findings)


async def _knock_at(url: str, *, http: aiohttp.ClientSession, timeout_s: float) -> Finding:
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with http.post(url, data=b"", allow_redirects=False, timeout=timeout) as response:
            await response.content.read(MAXIMUM_BODY_BYTES)
            return read_refusal(url, response.status)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason, remedy = why_unreachable(error, timeout_s=timeout_s)
        return fail(Area.CARRIERS, f"{url} cannot be reached: {reason}.", remedy)


def read_refusal(url: str, status: int) -> Finding:
    """What the answer to a request without a signature tells."""
    match status:
        case 400 | 401 | 403:
            return ok(Area.CARRIERS, f"{url} is reached, and refuses what is not signed.")
        case 404 | 405:
            said = f"{url} is reached, but nothing takes calls of carriers there (HTTP {status})."
            return fail(
                Area.CARRIERS, said, "Let the proxy pass /carriers/ on to `sipagent serve`, WebSockets too."
            )
        case 502 | 503 | 504:
            said = f"{url} is reached, but not the service behind it (HTTP {status})."
            return fail(Area.CARRIERS, said, "Start `sipagent serve`, and point the proxy at its port.")
        case _ if 200 <= status < 300:
            said = f"{url} takes a webhook that nobody signed (HTTP {status}): that is not sipagent."
            return fail(Area.CARRIERS, said, "Let the proxy pass /carriers/ on to `sipagent serve`.")
        case _ if 300 <= status < 400:
            said = f"{url} redirects (HTTP {status}), and carriers sign the address that they were given."
            return fail(Area.CARRIERS, said, "Write the address that it leads to as `public_url`.")
        case _:
            return warn(Area.CARRIERS, f"{url} answers with HTTP {status}.", "Look into its log.")
