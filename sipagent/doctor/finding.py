"""What an examination finds: one sentence, a verdict, and the remedy. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    HINT = "hint"
    """Something that can only be seen elsewhere, such as at a carrier."""
    WARN = "warn"
    """Calls can be answered all the same."""
    FAIL = "fail"
    """No call will be answered, or not as it should be."""


class Area(StrEnum):
    """What a finding is about; reports are in this order."""

    MACHINE = "machine"
    CONFIGURATION = "configuration"
    ACCOUNT = "account"
    API = "api"
    WEBHOOK = "webhook"
    CARRIERS = "carriers"
    DATABASE = "database"
    TRUNK = "trunk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. No text of it ever holds a secret."""

    area: Area
    verdict: Verdict
    said: str
    remedy: str = ""
    """What to do; empty when there is nothing to be done."""
    page: str = ""
    """Where in OpenAI's console the missing piece is, by menu and address; empty when it is not there."""


def ok(area: Area, said: str) -> Finding:
    """All is well."""
    return Finding(area=area, verdict=Verdict.OK, said=said)


def hint(area: Area, said: str) -> Finding:
    """What cannot be seen from here."""
    return Finding(area=area, verdict=Verdict.HINT, said=said)


def warn(area: Area, said: str, remedy: str, page: str = "") -> Finding:
    """Not as it should be, and no reason to stay closed."""
    return Finding(area=area, verdict=Verdict.WARN, said=said, remedy=remedy, page=page)


def fail(area: Area, said: str, remedy: str, page: str = "") -> Finding:
    """Calls will go wrong."""
    return Finding(area=area, verdict=Verdict.FAIL, said=said, remedy=remedy, page=page)
