"""Reading the forms of the REST API about calls that follow documents."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.desk import Fetch
from sipagent.simulator.carrier.flow import Instruction
from sipagent.simulator.carrier.markup import parse_document
from sipagent.simulator.carrier.verbs import ConferenceTarget, DialVerb, Document, ReportTo


class ApiError(SimulatorError):
    """An answer that is no success. ``code`` is Twilio's number for it."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def form_of(request: web.Request) -> dict[str, list[str]]:
    """The body, a form or JSON, as a form."""
    if request.content_type != "application/json":
        form = await request.post()
        return {name: [str(value) for value in form.getall(name)] for name in form}
    body = await request.read()
    try:
        found = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError(400, 10015, f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(400, 10015, "the body is no JSON object")
    return {
        name: [str(each) for each in value] if isinstance(value, list) else [_text(value)]
        for name, value in found.items()
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def one(form: Mapping[str, list[str]], name: str) -> str | None:
    """The last value of a field; None without one."""
    values = form.get(name)
    return values[-1] if values else None


def seconds_of(form: Mapping[str, list[str]], name: str, usual: float) -> float:
    """A number of seconds, ``usual`` where none is given. Raises `ApiError` for anything else."""
    text = one(form, name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise ApiError(400, 21200, f"{name} is no number of seconds")
    return float(text)


def instruction_of(form: Mapping[str, list[str]]) -> Instruction | None:
    """What a call is told to do."""
    twiml, url = one(form, "Twiml") or one(form, "Texml"), one(form, "Url")
    if twiml is not None:
        return parse_document(twiml.encode())
    if url is not None:
        return Fetch(url=url, method=(one(form, "Method") or "POST").upper(), purpose="instruction")
    return None


def report_to_of(
    form: Mapping[str, list[str]], *, prefix: str = "StatusCallback", default: str = "completed"
) -> ReportTo | None:
    """Where status callbacks are to go; None for nowhere."""
    url = one(form, prefix)
    if url is None:
        return None
    events = " ".join(form.get(f"{prefix}Event", [default])).split()
    return ReportTo(url=url, method=(one(form, f"{prefix}Method") or "POST"), events=frozenset(events))


def joining(target: ConferenceTarget) -> Document:
    """What a participant made by the API does."""
    dial = DialVerb(
        action=None,
        method="POST",
        timeout_s=30.0,
        time_limit_s=14_400.0,
        caller_id=None,
        answers_on_bridge=False,
        hangs_up_on_star=False,
        refer_url=None,
        refer_method="POST",
        targets=(),
        conference=target,
    )
    return Document(verbs=(dial,))


def not_found(request: web.Request) -> ApiError:
    """The refusal of a request for what is not there."""
    return ApiError(404, 20404, f"The requested resource {request.path} was not found")
