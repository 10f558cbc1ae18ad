"""`sipagent check`: whether a configuration is right."""

from __future__ import annotations

import argparse
from pathlib import Path

from sipagent.cli.output import console, print_json
from sipagent.config import load


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Reads a configuration, imports its tools, and says on which line something is wrong."
    )
    parser.epilog = """\
examples:
  sipagent check                               ./sipagent.yaml
  sipagent check deploy/example/sipagent.yaml
  sipagent check --json sipagent.yaml | jq .problems

exit code: 0 when it can be served, 1 when it cannot"""
    parser.add_argument("file", nargs="?", default="sipagent.yaml", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Load the file; mistakes are raised, and printed by whoever called."""
    door = load(arguments.file)
    if arguments.json:
        print_json(
            {
                "ok": True,
                "file": str(arguments.file),
                "fingerprint": door.fingerprint,
                "agents": [
                    {
                        "name": profile.name,
                        "greeting": None if profile.greeting is None else profile.greeting.text.text,
                        "tools": [*(tool.name for tool in profile.agent.tools), *profile.call_tools],
                        "transfer": [target.name for target in profile.transfer_targets],
                        "settings": profile.settings,
                    }
                    for profile in door.profiles.values()
                ],
                "routes": [{"to": route.to, "agent": route.agent} for route in door.routes],
            }
        )
        return 0
    out = console()
    out.print(f"{arguments.file} is right (fingerprint {door.fingerprint}).", style="green")
    for profile in door.profiles.values():
        tools = [*(tool.name for tool in profile.agent.tools), *profile.call_tools]
        out.print(f"  agent {profile.name}: {', '.join(tools) if tools else 'no tools'}")
    for number, route in enumerate(door.routes, 1):
        out.print(f"  route {number}: calls to {route.to or 'any number'} are answered by {route.agent}")
    return 0
