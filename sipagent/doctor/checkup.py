"""The whole examination: what can be asked at the same time is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from sipagent.config import AccountSeen
from sipagent.doctor.account import examine_account
from sipagent.doctor.api import Asked, examine_api
from sipagent.doctor.carriers import Lines, examine_carriers, knock
from sipagent.doctor.configuration import Plan, examine_configuration
from sipagent.doctor.database import examine_database
from sipagent.doctor.finding import Area, Finding, fail, warn
from sipagent.doctor.machine import examine_machine
from sipagent.doctor.trunk import examine_trunk
from sipagent.doctor.webhook import Door, examine_webhook, no_webhook
from sipagent.errors import UserError
from sipagent.realtime.provider import DEFAULT_BASE_URL, provider_of

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is examined."""

    configuration: Path
    account: AccountSeen
    webhook_url: str | None = None
    trunk: str | None = None
    """One of `TRUNKS`; None takes what the configuration says."""
    live: bool = False
    """Whether real calls are to come: what only they need is then missed."""
    timeout_s: float = 10.0
    """For each thing that is asked."""


async def examine(patient: Patient, *, utc_now: Callable[[], datetime]) -> tuple[Finding, ...]:
    """All findings, by area. Raises nothing but `asyncio.CancelledError`; cancel-safe.

    Asks the API, the webhook's address and the database once each, and for real calls the addresses that
    carriers are told; starts nothing and changes nothing, but that a database of an earlier version is
    brought to the present schema.
    """
    base_url, wrong_base = _base_url(patient.account)
    plan = await asyncio.to_thread(examine_configuration, patient.configuration, base_url=base_url)
    patient = _with_project(patient, plan)
    findings = [*examine_machine(), plan.finding, *plan.mcp_servers, *wrong_base]
    findings += [] if plan.access is None else [plan.access]
    is_openai = (urlsplit(plan.base_url).hostname or "").endswith("api.openai.com")
    findings += examine_account(patient.account, is_openai=is_openai)
    if patient.live and (urlsplit(plan.base_url).hostname or "") in _LOOPBACK:
        said = f"The API is at {plan.base_url}: on this machine, where a simulator may be."
        findings.append(fail(Area.API, said, f"Unset OPENAI_BASE_URL; OpenAI's is {DEFAULT_BASE_URL}."))
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_api(patient, plan, utc_now), name="doctor: api"),
            group.create_task(_webhook(patient, utc_now), name="doctor: webhook"),
            group.create_task(_carriers(patient, plan), name="doctor: carriers"),
            group.create_task(_database(patient), name="doctor: database"),
        ]
    for task in asked:
        findings += task.result()
    findings += examine_trunk(
        patient.trunk or plan.trunk, project=patient.account.project, base_url=plan.base_url
    )
    order = list(Area)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.area)))


def _with_project(patient: Patient, plan: Plan) -> Patient:
    """``patient`` with the project that the configuration names, where the environment names none."""
    carriers = None if plan.loaded is None else plan.loaded.carriers
    if patient.account.project or carriers is None or carriers.sip is None:
        return patient
    return replace(patient, account=replace(patient.account, project=carriers.sip.project))


def _base_url(account: AccountSeen) -> tuple[str | None, list[Finding]]:
    """What the environment says of the API's address, and what is wrong with it."""
    if not account.base_url:
        return None, []
    try:
        return provider_of(account.base_url).rest_base_url, []
    except UserError:
        said = f"OPENAI_BASE_URL is {account.base_url!r}, which is no URL."
        return None, [fail(Area.API, said, f"Write one such as {DEFAULT_BASE_URL}, or unset it.")]


async def _api(patient: Patient, plan: Plan, utc_now: Callable[[], datetime]) -> tuple[Finding, ...]:
    if not patient.account.api_key:
        return (warn(Area.API, f"{plan.base_url} was not asked, for want of a key.", "Set OPENAI_API_KEY."),)
    asked = Asked(
        provider=provider_of(plan.base_url),
        api_key=patient.account.api_key,
        project=patient.account.project,
        models=plan.models,
    )
    async with aiohttp.ClientSession() as http:
        return await examine_api(asked, http=http, timeout_s=patient.timeout_s, utc_now=utc_now)


async def _webhook(patient: Patient, utc_now: Callable[[], datetime]) -> tuple[Finding, ...]:
    if patient.webhook_url is None:
        return (no_webhook(must_be_public=patient.live),)
    door = Door(url=patient.webhook_url, account=patient.account, must_be_public=patient.live)
    async with aiohttp.ClientSession() as http:
        return await examine_webhook(
            door, http=http, timeout_s=patient.timeout_s, now_s=utc_now().timestamp()
        )


async def _carriers(patient: Patient, plan: Plan) -> tuple[Finding, ...]:
    if plan.loaded is None:
        return ()
    lines = Lines(loaded=plan.loaded, project=patient.account.project, must_be_public=patient.live)
    found = await asyncio.to_thread(lambda: tuple(examine_carriers(lines)))
    async with aiohttp.ClientSession() as http:
        return (*found, *await knock(lines, http=http, timeout_s=patient.timeout_s))


async def _database(patient: Patient) -> tuple[Finding, ...]:
    return (await examine_database(patient.account.database_url, timeout_s=patient.timeout_s),)
