"""`sipagent doctor`: whether everything is there that answering calls takes."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sipagent.cli.arguments import duration_s
from sipagent.cli.output import console, print_hanging, print_json
from sipagent.clock import utc_now
from sipagent.config import see_account
from sipagent.doctor import TRUNKS, Area, Finding, Patient, Verdict, examine

_TITLES = {
    Area.MACHINE: "This machine",
    Area.CONFIGURATION: "Configuration",
    Area.ACCOUNT: "Account",
    Area.API: "API",
    Area.WEBHOOK: "Webhook",
    Area.CARRIERS: "Carriers",
    Area.DATABASE: "Database",
    Area.TRUNK: "Trunk (at your carrier; not seen from here)",
}
_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.HINT: ("·", "dim"),
    Verdict.WARN: ("warn", "yellow"),
    Verdict.FAIL: ("FAIL", "bold red"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Looks at everything that answering calls takes: this machine, the configuration, key, project and signing
secret, the API, the way of the webhook, the carriers, the database; and says what to set at the carrier.
Each line is ok, warn or FAIL, with what to do. No secret is ever shown, and nothing is changed."""
    parser.epilog = """\
environment:
  OPENAI_API_KEY, OPENAI_WEBHOOK_SECRET, OPENAI_PROJECT_ID, OPENAI_BASE_URL, SIPAGENT_DATABASE_URL

examples:
  sipagent doctor
  sipagent doctor --live --webhook-url https://calls.example.com/webhooks/openai
  sipagent doctor --trunk twilio --project proj_AbC123
  sipagent doctor --json | jq '.findings[] | select(.verdict == "fail")'

exit code: 0 when nothing fails (warnings may remain), 1 otherwise"""
    parser.add_argument(
        "--config", type=Path, default=Path("sipagent.yaml"), metavar="FILE", help="sipagent.yaml by default"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="for real calls: miss what only they need, and name the console's page for each missing piece",
    )
    parser.add_argument("--webhook-url", metavar="URL", help="where OpenAI sends webhooks; knocks there")
    parser.add_argument("--project", metavar="proj_…", help="the project id, if OPENAI_PROJECT_ID is not set")
    parser.add_argument("--trunk", choices=TRUNKS, help="hints for this carrier; else the configuration's")
    parser.add_argument(
        "--timeout", type=duration_s, default=10.0, metavar="TIME", help="for each question; 10s by default"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Examine and report; 1 when something fails."""
    account = see_account()
    if arguments.project:
        account = replace(account, project=arguments.project.strip())
    patient = Patient(
        configuration=arguments.config,
        account=account,
        webhook_url=arguments.webhook_url,
        trunk=arguments.trunk,
        live=arguments.live,
        timeout_s=arguments.timeout,
    )
    findings = asyncio.run(examine(patient, utc_now=utc_now))
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    if arguments.json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings, console(), with_pages=arguments.live)
    return 1 if failed else 0


def _print(findings: Sequence[Finding], out: Console, *, with_pages: bool) -> None:
    for area, group in groupby(findings, key=lambda finding: finding.area):
        out.print(Text(_TITLES[area], style="bold"))
        for finding in group:
            word, style = _MARKS[finding.verdict]
            print_hanging(out, f"  {word:<5}", finding.said, mark_style=style)
            if finding.remedy:
                print_hanging(out, "       → ", finding.remedy, mark_style="dim")
            if with_pages and finding.page:
                print_hanging(out, "       ↗ ", finding.page, mark_style="dim", style="cyan")
    counted = {verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict}
    out.print()
    if counted[Verdict.FAIL]:
        out.print(f"{_many(counted[Verdict.FAIL], 'thing')} to mend before calls are answered.", style="red")
    elif counted[Verdict.WARN]:
        out.print(f"Calls can be answered; {_many(counted[Verdict.WARN], 'warning')}.", style="yellow")
    else:
        out.print("All is well.", style="green")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
