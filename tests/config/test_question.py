from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sipagent.calls.routing import FrontDoor
from sipagent.carrier.settings import FAREWELL
from sipagent.config import Question, ask, describe_route, load, zone_of
from tests.config.carriers import WHOLE, load_text

COMPANY = """\
version: 1
business: {timezone: Europe/Berlin}
numbers: {preset: twilio, default_country: DE}
calendars:
  office:
    hours: {mon-fri: "08:00-18:00"}
    holidays: {country: DE, region: BE, half_days: {"12-24": "08:00-12:00"}}
agents:
  day: {instructions: You answer.}
  night: {instructions: You take messages.}
routes:
  - {name: vip, to: ["+15550100001", "+15550109*"], from: "+15550100123", agent: day}
  - {header: {X-Tenant: acme}, reject: 480}
  - {name: open, when: {calendar: office, is: open}, agent: day, when_full: {agent: night}}
  - {name: closed, agent: night}
callers: {deny: ["+1900*"]}
"""
MORNING = datetime(2026, 11, 20, 9, tzinfo=UTC)
CHRISTMAS = datetime(2026, 12, 25, 9, tzinfo=UTC)


@pytest.fixture
def door(tmp_path: Path) -> FrontDoor:
    file = tmp_path / "sipagent.yaml"
    file.write_text(COMPANY, encoding="utf-8")
    return load(file)


@pytest.mark.parametrize(
    ("asked", "agent", "route", "status"),
    [
        ({"to": "+15550100001", "caller": "+15550100123"}, "day", "vip", None),
        ({"to": "+15550109999", "caller": "+15550100123", "at": CHRISTMAS}, "day", "vip", None),
        ({"to": "+15550100001", "caller": "+15550100124"}, "day", "open", None),
        ({"at": CHRISTMAS}, "night", "closed", None),
        ({"headers": (("X-Tenant", "acme"),)}, None, None, 480),
        ({"caller": "+19001234567"}, None, None, 603),
    ],
)
def test_who_answers(
    door: FrontDoor, asked: dict[str, Any], agent: str | None, route: str | None, status: int | None
) -> None:
    verdict = ask(door, Question(**{"at": MORNING, **asked}))
    assert (verdict.agent, verdict.route, verdict.sip_status) == (agent, route, status)
    assert (verdict.reason is None) is (agent is not None)
    assert verdict.why


def test_every_route_looked_at_has_its_sentence(door: FrontDoor) -> None:
    verdict = ask(door, Question(at=CHRISTMAS, to="+15550100001"))
    assert len(verdict.why) == 4
    assert "Christmas" in verdict.why[2]
    assert verdict.calendars["office"].open is False
    assert verdict.calendars["office"].until == datetime(2026, 12, 28, 7, tzinfo=UTC)


def test_what_happens_without_a_place(door: FrontDoor) -> None:
    assert ask(door, Question(at=MORNING)).when_full == "night answers"
    assert ask(door, Question(at=CHRISTMAS)).when_full == "SIP status 486"
    assert ask(door, Question(at=MORNING, caller="+1900555")).when_full is None


def test_an_agent_that_answers_a_few_calls_instead(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    limits = "limits: {calls: {total: 9}, when_full: {agent: night, calls: 2}}\n"
    file.write_text(COMPANY + limits, encoding="utf-8")
    bounded = load(file)
    assert bounded.limits.when_full.calls == 2
    assert ask(bounded, Question(at=CHRISTMAS)).when_full == "night answers, 2 such calls at a time"


def test_numbers_are_read_as_those_of_a_call_are(door: FrontDoor) -> None:
    verdict = ask(door, Question(at=MORNING, to="030 1234567", caller="Anonymous"))
    assert (verdict.dialled, verdict.caller) == ("+49301234567", None)
    headers = (
        ("From", '"Ann" <sip:+15550100123@carrier.test>;tag=1'),
        ("Diversion", "<sip:+15550100001@twilio.test>;reason=unconditional"),
        ("To", "<sip:proj_x@sip.api.openai.com>"),
    )
    verdict = ask(door, Question(at=MORNING, headers=headers))
    assert (verdict.route, verdict.dialled, verdict.caller) == ("vip", "+15550100001", "+15550100123")


def test_the_moment_is_told_in_the_zone_of_the_business(door: FrontDoor) -> None:
    assert ask(door, Question(at=MORNING)).at.isoformat() == "2026-11-20T10:00:00+01:00"
    assert str(zone_of(door)) == "Europe/Berlin"


def test_routes_as_sentences(door: FrontDoor) -> None:
    assert [describe_route(route) for route in door.routes] == [
        "calls to +15550100001 or +15550109* from +15550100123: day answers",
        "calls with X-Tenant acme: SIP status 480",
        "calls when office is open: day answers; when full, night answers",
        "all other calls: night answers",
    ]


def test_which_plan_answers_a_call_of_a_carrier(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, WHOLE)

    def plan(to: str) -> str | None:
        return ask(loaded.door, Question(at=MORNING, to=to), loaded.carriers).plan

    assert plan("+15550100000") == (
        f"the audio through here, else a call to +15550100198 (30 s), else “{FAREWELL.words}”"
    )
    assert plan("+15550100002") == "“We are closed.”"
    assert str(plan("+15550100003")).startswith("OpenAI over SIP (15 s), else the audio through here")
    assert ask(loaded.door, Question(at=MORNING)).plan is None
