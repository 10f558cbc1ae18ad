"""The command `sipagent`: finds the subcommand, runs it, and turns errors into sentences and exit codes.

Exit codes: 0 all is well, 1 something is wrong or failed, 2 the command was misused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol

from sipagent.cli.output import explain
from sipagent.errors import SipAgentError

COMMANDS = {
    "demo": "answer a telephone call here and now, without an account",
    "chat": "talk with an agent in writing, tools included",
    "init": "write a configuration to begin with",
    "serve": "answer the calls of a project",
    "check": "say whether a configuration is right, or on which line it is not",
    "explain": "say what holds for an agent, and where that is written",
    "route": "say who answers a call, and why",
    "doctor": "say what is missing before calls can be answered",
    "schema": "print the JSON Schema of configurations, for editors",
    "calls": "list and show calls, and act on those that are up",
    "simulator": "stand in for OpenAI's side of the telephone",
    "guide": "show a page for users",
}
"""Each command and what it does. The module of a command has its name, and loads only when it is used:
`sipagent --help` should not wait for an HTTP server to be imported."""


class Command(Protocol):
    """What the module of a command holds."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add description, examples and arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``arguments`` (by default those of the process) and return the exit code; raises nothing."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in words if not word.startswith("-")), None)
    command = _load(name) if name in COMMANDS else None
    parser = _parser(name, command)
    if not words:
        parser.print_help(sys.stderr)
        return 2
    try:
        parsed = parser.parse_args(words)
    except SystemExit as leaving:  # argparse leaves after --help, --version and mistakes
        return int(leaving.code or 0)
    assert command is not None, "the parser accepts only commands that exist"
    return _run(command, parsed)


def _load(name: str) -> Command:
    module: Command = importlib.import_module(f"sipagent.cli.{name}")
    return module


def _parser(name: str | None, command: Command | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sipagent",
        description="Answers telephone calls with an AI agent, over SIP, on OpenAI's Realtime API.",
        epilog="Begin with: sipagent demo. All there is to know: sipagent guide",
    )
    parser.add_argument("--version", action="version", version=f"sipagent {version('sipagent')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for known, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            known, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if known == name and command is not None:
            command.configure(subparser)
    return parser


def _run(command: Command, parsed: argparse.Namespace) -> int:
    code = 1
    try:
        code = command.run(parsed)
        sys.stdout.flush()
    except* BrokenPipeError:
        # Whoever read our output has read enough. What is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except* SipAgentError as errors:
        explain(errors, as_json=getattr(parsed, "json", False))
    except* KeyboardInterrupt:
        code = 130
    return code
