"""`sipagent check`: whether a configuration is right."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from sipagent.app import configure_logging
from sipagent.cli.output import console, print_hanging, print_json
from sipagent.config import (
    CARRIER_TITLES,
    Loaded,
    describe_plan,
    describe_route,
    load_configuration,
    named_route,
    recorded_in_part,
    to_enter,
    try_servers,
)
from sipagent.errors import ConfigurationError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Reads a configuration, imports its tools, starts its MCP servers, and says on which line something "
        "is wrong."
    )
    parser.epilog = """\
examples:
  sipagent check                               ./sipagent.yaml
  sipagent check deploy/example/sipagent.yaml
  sipagent check --json sipagent.yaml | jq .problems
  sipagent check --offline sipagent.yaml       starts and asks nothing, as in a build

exit code: 0 when it can be served, 1 when it cannot"""
    parser.add_argument(
        "file", nargs="?", default="sipagent.yaml", type=Path, metavar="FILE", help="sipagent.yaml by default"
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="do not start or ask MCP servers: their tools are not looked at",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Load the file; mistakes are raised, and printed by whoever called."""
    loaded = load_configuration(arguments.file)
    tools: Mapping[str, Sequence[str]] = {}
    if loaded.mcp_servers and not arguments.offline:
        # What goes wrong is said once, with its line.
        configure_logging(as_json=False, level="ERROR", secrets=loaded.secrets, stream=sys.stderr)
        tried = asyncio.run(try_servers(loaded))
        if tried.problems:
            raise ConfigurationError(*tried.problems)
        loaded, tools = tried.loaded, tried.tools
    if arguments.json:
        servers = {spec.name: tools.get(spec.name) for spec in loaded.mcp_servers}
        print_json({"ok": True, "file": str(arguments.file), **_as_json(loaded), "mcp_servers": servers})
    else:
        _print(loaded, tools, arguments.file, console())
    return 0


def _as_json(loaded: Loaded) -> dict[str, Any]:
    door, tokens = loaded.door, loaded.access.tokens
    return {
        "fingerprint": loaded.fingerprint,
        "files": [str(file) for file in loaded.files],
        "agents": [
            {
                "name": profile.name,
                "greeting": None if profile.greeting is None else profile.greeting.text.text,
                "tools": [*(tool.name for tool in profile.agent.tools), *profile.call_tools],
                "handoffs": profile.handoffs,
                "transfer": [target.name for target in profile.transfer_targets],
                "settings": profile.settings,
            }
            for profile in door.profiles.values()
        ],
        "routes": [
            {
                "name": route.name,
                "to": [pattern.text for pattern in route.to],
                "from": [pattern.text for pattern in route.caller],
                "headers": route.headers,
                "when": None if route.when is None else {route.when.calendar: route.when.state},
                "agent": route.agent,
                "reject": route.reject,
                "sentence": describe_route(route),
            }
            for route in door.routes
        ],
        "calendars": list(door.calendars),
        "carriers": _carriers_as_json(loaded),
        "admin": [{"name": token.visitor.name, "role": token.visitor.role.name.lower()} for token in tokens],
    }


def _carriers_as_json(loaded: Loaded) -> dict[str, Any] | None:
    carriers = loaded.carriers
    if carriers is None:
        return None
    return {
        "enter": [asdict(each) for each in to_enter(carriers)],
        "plan": describe_plan(carriers.plan),
        "plans": {route: describe_plan(plan) for route, plan in carriers.plans.items()},
    }


def _print(loaded: Loaded, tools: Mapping[str, Sequence[str]], file: Path, out: Console) -> None:
    out.print(f"{file} is right (fingerprint {loaded.fingerprint}).", style="green")
    for profile in loaded.door.profiles.values():
        offered = [*(tool.name for tool in profile.agent.tools), *profile.call_tools]
        handoffs = f"; hands over to {', '.join(profile.handoffs)}" if profile.handoffs else ""
        print_hanging(
            out, f"  agent {profile.name}: ", f"{', '.join(offered) if offered else 'no tools'}{handoffs}"
        )
    for number, route in enumerate(loaded.door.routes, 1):
        print_hanging(out, f"  route {route.name or number}: ", describe_route(route))
    _print_carriers(loaded, out)
    let_in = (f"{token.visitor.name} ({token.visitor.role.name.lower()})" for token in loaded.access.tokens)
    if text := ", ".join(let_in):
        print_hanging(out, "  admin: ", text)
    for spec in loaded.mcp_servers:
        there = "not asked" if spec.name not in tools else ", ".join(tools[spec.name]) or "no tools"
        print_hanging(out, f"  MCP server {spec.name}: ", there)


def _print_carriers(loaded: Loaded, out: Console) -> None:
    carriers = loaded.carriers
    if carriers is None:
        return
    for route, plan in carriers.plans.items():
        print_hanging(out, f"  calls of carriers by {named_route(route)}: ", describe_plan(plan))
    others = " by other routes" if carriers.plans else ""
    print_hanging(out, f"  calls of carriers{others}: ", describe_plan(carriers.plan))
    if names := ", ".join(recorded_in_part(loaded.door, carriers)):
        print_hanging(out, "  recorded: ", f"{names}, but nothing of calls that are answered over SIP")
    for carrier, entries in groupby(to_enter(carriers), key=lambda each: each.carrier):
        out.print(f"  to enter at {CARRIER_TITLES[carrier]}:")
        for each in entries:
            print_hanging(out, "    ", each.where)
            out.print(Text(f"      {each.value}"), soft_wrap=True)
