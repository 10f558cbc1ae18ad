"""What is found out about one call before it is answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from aiohttp import web

from sipagent.calls.briefing import Briefing
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lookup import Lookup, open_lookup_session
from sipagent.calls.template import Template
from sipagent.calls.variables import Business
from sipagent.identifiers import CallId
from tests.calls.test_lookup import serving

NOW = datetime(2026, 11, 20, 13, 5, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Opened:
    open: bool
    until: datetime | None
    reason: str = ""


class Hours:
    """Open until six in the evening of the day that it is asked about."""

    def opening(self, now: datetime) -> Opened:
        there = now.astimezone(BERLIN)
        return Opened(open=True, until=there.replace(hour=18, minute=0))


def incoming(*headers: tuple[str, str], caller: str | None = "+15550100123") -> IncomingCall:
    return IncomingCall(
        call_id=CallId("rtc_1"),
        webhook_id="wh_1",
        caller=caller,
        dialled="+15550100000",
        sip_call_id=None,
        sip_headers=headers,
        media_security=None,
    )


def crm(base: str) -> Lookup:
    return Lookup(
        name="customer",
        url=Template(f"{base}/{{{{caller}}}}/{{{{sip.x-tenant | none}}}}/{{{{street}}}}"),
        take={"name": "/name", "tier": "/tier"},
        defaults={"tier": "standard"},
        timeout_s=3,
    )


def briefing(*lookups: Lookup) -> Briefing:
    return Briefing(
        business=Business(name="Harbor Dental", timezone=BERLIN),
        own={"street": "Main Street 1"},
        calendars={"office": Hours()},
        lookups=lookups,
    )


def soon() -> float:
    return asyncio.get_running_loop().time() + 30


async def test_everything_is_known_without_a_lookup() -> None:
    briefed = await briefing().about(incoming(("X-Tenant", "acme")), now=NOW, deadline=soon())
    assert briefed.outcomes == ()
    assert briefed.values == {
        "caller": "+15550100123",
        "dialled": "+15550100000",
        "now": "Friday 20 November 2026, 14:05",
        "today": "Friday 20 November 2026",
        "weekday": "Friday",
        "time": "14:05",
        "business.name": "Harbor Dental",
        "business.timezone": "Europe/Berlin",
        "calendar.office.open": "open",
        "calendar.office.until": "18:00",
        "sip.x-tenant": "acme",
        "street": "Main Street 1",
    }


async def test_a_lookup_knows_the_other_values_and_adds_its_own() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"name": "Ann Lee"})

    async with serving(answer) as base, open_lookup_session() as http:
        for given in (None, http):
            briefed = await briefing(crm(base)).about(
                incoming(("X-Tenant", "acme")), now=NOW, deadline=soon(), http=given
            )
            assert briefed.values["customer.name"] == "Ann Lee"
            assert briefed.values["customer.tier"] == "standard"
            assert briefed.values["street"] == "Main Street 1"
            (outcome,) = briefed.outcomes
            assert (outcome.name, outcome.failure, outcome.defaulted) == ("customer", None, ("tier",))
        assert not http.closed
    assert asked == ["/+15550100123/acme/Main Street 1"] * 2


async def test_a_default_that_is_empty_is_no_value() -> None:
    briefed = await briefing(crm("http://127.0.0.1:1")).about(incoming(caller=None), now=NOW, deadline=soon())
    assert "customer.name" not in briefed.values
    assert briefed.values["customer.tier"] == "standard"
    assert briefed.outcomes[0].failure == "not asked: `caller` has no value."


async def test_it_takes_well_under_a_millisecond() -> None:
    headers = tuple((f"X-Header-{number}", f"value {number} äöü") for number in range(30))
    there, call = briefing(), incoming(*headers)
    rounds = []
    for _ in range(20):
        begun = time.process_time()
        for _ in range(10):
            await there.about(call, now=NOW, deadline=soon())
        rounds.append((time.process_time() - begun) / 10)
    assert min(rounds) < 0.001
