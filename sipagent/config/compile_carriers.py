"""Turns the carriers of the file into what their calls are answered by."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import assert_never

from sipagent.calls.routing import route_label
from sipagent.carrier.settings import (
    OPENAI_SIP_HOST,
    AnswerBySip,
    AnswerByStream,
    AnswerPlan,
    AudioSocketSettings,
    CallNumber,
    CarrierSettings,
    OfferManner,
    SayMessage,
    SipTarget,
    Step,
    TelnyxSettings,
    TwilioSettings,
)
from sipagent.config.addresses import parse_api_url, parse_public_url, sip_host_of
from sipagent.config.compiling import Compiling
from sipagent.config.schema import CallStep, CarriersEntry, SayStep, SipStep, StepEntry
from sipagent.config.schema.carriers import AsteriskEntry, SipAddressEntry, TelnyxEntry, TwilioEntry
from sipagent.config.secrets import reference_in_words
from sipagent.config.source import KeyPath
from sipagent.config.values import BadValueError

SHORTEST_TOKEN = 16
"""Of the token that an Asterisk shows, in characters."""
_PLACE: KeyPath = ("carriers",)
_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_PROJECT = re.compile(r"proj_[A-Za-z0-9_-]+")
_PUBLIC_KEY_BYTES = 32
"""Of Ed25519 (RFC 8032 section 5.1.5)."""


def compile_carriers(compiling: Compiling) -> CarrierSettings | None:
    """The carriers and their plans; None where there are none, or after reporting what does not fit together,
    and what references cannot be."""
    configuration = compiling.configuration
    entry = configuration.carriers
    if entry is None:
        _refuse_plans(compiling)
        return None
    before = len(compiling.problems)
    public_url = _public_url(compiling, entry)
    sip = None if entry.sip is None else _sip(compiling, (*_PLACE, "sip"), entry.sip)
    plan = _plan(compiling, (*_PLACE, "answer"), entry.answer) or _usual_plan(entry)
    plans: dict[str, AnswerPlan] = {}
    for index, route in enumerate(configuration.routes):
        own = _plan(compiling, ("routes", index, "answer"), route.answer)
        if own is not None:
            plans[route_label(index, route.name)] = own
    twilio = None if entry.twilio is None else _twilio(compiling, (*_PLACE, "twilio"), entry.twilio)
    telnyx = None if entry.telnyx is None else _telnyx(compiling, (*_PLACE, "telnyx"), entry.telnyx)
    asterisk = None if entry.asterisk is None else _asterisk(compiling, (*_PLACE, "asterisk"), entry.asterisk)
    question = entry.warm.question or ""
    _refuse_names(compiling, (*_PLACE, "warm", "question"), question)
    _refuse_names(compiling, (*_PLACE, "warm", "sorry"), entry.warm.sorry)
    offers = OfferManner(question=question, sorry=entry.warm.sorry, language=entry.warm.language)
    if len(compiling.problems) > before:
        return None
    return CarrierSettings(
        public_url=public_url,
        sip=sip,
        plan=plan,
        plans=plans,
        caller_id=entry.caller_id,
        offers=offers,
        twilio=twilio,
        telnyx=telnyx,
        audio_socket=asterisk,
    )


def steps_of(entry: CarriersEntry, own: Sequence[StepEntry] | None) -> Sequence[StepEntry]:
    """What is written of the plan that a route with the plan ``own`` has, or stands for what is not."""
    return own or entry.answer or (("stream",) if entry.sip is None else ("sip",))


def _usual_plan(entry: CarriersEntry) -> AnswerPlan:
    return AnswerPlan(steps=(AnswerByStream() if entry.sip is None else AnswerBySip(),))


def _refuse_plans(compiling: Compiling) -> None:
    for index, route in enumerate(compiling.configuration.routes):
        if route.answer is not None:
            compiling.report(
                ("routes", index, "answer"),
                "`answer` is for calls of carriers, and the file names none.",
                "Add `carriers:`, or remove it.",
                at_key=True,
                relies_on=[_PLACE],
            )


# Plans ------------------------------------------------------------------------------------------------


def _plan(compiling: Compiling, path: KeyPath, entries: Sequence[StepEntry] | None) -> AnswerPlan | None:
    """The plan at ``path``; None without one. What is wrong with its steps is reported."""
    if entries is None:
        return None
    written = compiling.document.source.value_at(path)
    places = [(*path, index) for index in range(len(entries))] if isinstance(written, list) else [path]
    steps = tuple(_step(compiling, place, entry) for place, entry in zip(places, entries, strict=True))
    return AnswerPlan(steps=steps)


def _step(compiling: Compiling, path: KeyPath, entry: StepEntry) -> Step:
    match entry:
        case "sip":
            _needs_sip(compiling, path)
            return AnswerBySip()
        case SipStep():
            _needs_sip(compiling, path)
            return AnswerBySip(answer_timeout_s=entry.sip.answer_timeout_s)
        case "stream":
            return AnswerByStream()
        case CallStep():
            _refuse_circle(compiling, (*path, "call"), entry.call)
            return CallNumber(number=entry.call, answer_timeout_s=entry.answer_timeout_s)
        case SayStep():
            _refuse_names(compiling, (*path, "say"), entry.say)
            return SayMessage(words=entry.say, language=entry.language)
        case _:
            assert_never(entry)


def _needs_sip(compiling: Compiling, path: KeyPath) -> None:
    carriers = compiling.configuration.carriers
    if carriers is not None and carriers.sip is None:
        compiling.report(
            path,
            "This step sends calls to the Realtime API, and nothing says to which project.",
            'Add `sip: {project: "${OPENAI_PROJECT_ID}"}` below `carriers:`.',
            relies_on=[(*_PLACE, "sip")],
        )


def _refuse_circle(compiling: Compiling, path: KeyPath, number: str) -> None:
    """A call to a number of ours would come back, and be answered by the same plan."""
    routes = compiling.configuration.routes
    if any(route.agent is not None and number in (route.to or ()) for route in routes):
        compiling.report(
            path,
            f"{number} is a number of a route here: such a call would come back.",
            "Write a number that somebody else answers.",
            relies_on=[("routes",)],
        )


def _refuse_names(compiling: Compiling, path: KeyPath, words: str) -> None:
    found = reference_in_words(words)
    offset = words.find("{{") if found is None else found[0]
    if offset >= 0:
        compiling.report_inside(
            path,
            words,
            offset,
            "The carrier's voice says these words as they stand.",
            "Write out what is to be heard.",
        )


# What the carriers are told, and what they know -------------------------------------------------------


def _public_url(compiling: Compiling, entry: CarriersEntry) -> str:
    """Empty where nobody sends webhooks, or after reporting what is wrong with it."""
    return "" if entry.public_url is None else _url(compiling, (*_PLACE, "public_url"), entry.public_url)


def _url(compiling: Compiling, path: KeyPath, written: str) -> str:
    parse = parse_public_url if path[-1] == "public_url" else parse_api_url
    text = compiling.public(path, written)
    if text is None:
        return ""
    try:
        return parse(text)
    except BadValueError as error:
        compiling.report(path, f"The variable holds no such address: {error.message}", error.remedy)
        return ""


def _sip(compiling: Compiling, path: KeyPath, entry: SipAddressEntry) -> SipTarget:
    project = compiling.public((*path, "project"), entry.project)
    if project is not None and _PROJECT.fullmatch(project) is None:
        compiling.report(
            (*path, "project"),
            "This is the id of no project: it begins with proj_.",
            "Take it from Settings → Project → General of OpenAI's platform.",
        )
    api = compiling.configuration.openai
    host = entry.host or sip_host_of(api.address)
    if host is None:
        where = f"the region {api.region}" if api.region else api.address
        compiling.report(
            path,
            f"The SIP host that belongs to {where} is not known here.",
            "Add `host:`, as the documentation of that API names it.",
            at_key=True,
            relies_on=[("openai",), (*path, "host")],
        )
    elif host.rstrip(".").endswith(".openai.com") and entry.transport != "tls":
        compiling.report(
            (*path, "transport"), "OpenAI takes calls over TLS alone.", "Remove it, or write tls."
        )
    return SipTarget(
        project=project or "",
        host=host or OPENAI_SIP_HOST,
        port=entry.port,
        transport=entry.transport,
        secure=entry.secure,
    )


def _twilio(compiling: Compiling, path: KeyPath, entry: TwilioEntry) -> TwilioSettings:
    sid = compiling.public((*path, "account_sid"), entry.account_sid)
    if sid is not None and _ACCOUNT_SID.fullmatch(sid) is None:
        compiling.report(
            (*path, "account_sid"),
            "This is the SID of no account: it begins with AC, and 32 hexadecimal digits follow.",
            "Take it from the console's first page; SK… is the SID of a key, and none of an account.",
        )
    return TwilioSettings(
        account_sid=sid or "",
        auth_tokens=_keys(compiling, (*path, "auth_token"), "The auth token", entry.auth_token),
        api_base_url=_url(compiling, (*path, "base_url"), entry.base_url),
    )


def _keys(compiling: Compiling, path: KeyPath, what: str, written: Sequence[str]) -> tuple[str, ...]:
    """The secrets at ``path``, which may be one or a list of them."""
    found: list[str] = []
    for place, text in _places(compiling, path, written):
        secret = compiling.only_referred(place, what, text)
        if secret is not None and secret in found:
            compiling.report(place, f"{what} stands here twice.", "Remove one of them.")
        if secret is not None:
            found.append(secret)
    return tuple(found)


def _places(compiling: Compiling, path: KeyPath, written: Sequence[str]) -> list[tuple[KeyPath, str]]:
    if isinstance(compiling.document.source.value_at(path), list):
        return [((*path, index), text) for index, text in enumerate(written)]
    return [(path, text) for text in written]


def _telnyx(compiling: Compiling, path: KeyPath, entry: TelnyxEntry) -> TelnyxSettings:
    if find_spec("cryptography") is None:
        compiling.report(
            path,
            "Webhooks of Telnyx are verified with the package cryptography, which is not installed.",
            "pip install 'sipagent[telnyx]'",
            at_key=True,
        )
    public_keys = []
    for place, text in _places(compiling, (*path, "public_key"), entry.public_key):
        key = compiling.public(place, text)
        if key is None:
            continue
        if not _is_public_key(key):
            compiling.report(
                place,
                "This is no public key: it is 32 bytes in base64, 44 characters with an = at the end.",
                "Copy it whole from Account settings → Keys & credentials → Public key.",
            )
        public_keys.append(key)
    connection = None
    if entry.connection is not None:
        connection = compiling.public((*path, "connection"), entry.connection)
    return TelnyxSettings(
        api_key=compiling.only_referred((*path, "api_key"), "The API key", entry.api_key) or "",
        public_keys=tuple(public_keys),
        connection_id=connection,
        api_base_url=_url(compiling, (*path, "base_url"), entry.base_url),
    )


def _is_public_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _PUBLIC_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _asterisk(compiling: Compiling, path: KeyPath, entry: AsteriskEntry) -> AudioSocketSettings:
    host, port = entry.listen
    token = compiling.only_referred((*path, "token"), "The token", entry.token, shortest=SHORTEST_TOKEN)
    return AudioSocketSettings(host=host, port=port, token=token or "")
