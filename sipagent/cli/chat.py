"""`sipagent chat`: a conversation in writing with an agent of the configuration."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sipagent.app import configure_logging
from sipagent.cli.arguments import add_call_arguments
from sipagent.cli.chat_screen import JsonScreen, Screen, TextScreen
from sipagent.cli.chat_talk import Talk
from sipagent.cli.example import example_configuration
from sipagent.cli.lines import Lines
from sipagent.cli.output import causes, console, print_json_line
from sipagent.config.chat import ApiAccess, ChatCall, load_chat
from sipagent.errors import AttachError, ConfigurationError, ScriptError, SipAgentError, UserError
from sipagent.simulator.script import Script, default_script, load_script, shipped_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice

_DEFAULT_FILE = Path("sipagent.yaml")
_OWN_SCRIPT = ""
"""What ``--simulator`` without a script stands for."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Talks with an agent in writing, as a caller would by telephone: its tools run, handoffs and guardrails show.
On a terminal Ctrl-C cuts an answer off, and again (or Ctrl-D, or /quit) ends; /help names the commands.
From a pipe each line is a turn; the command ends with the input."""
    parser.epilog = """\
environment:
  OPENAI_API_KEY         needed, unless --simulator is given
  OPENAI_BASE_URL        where the API is

examples:
  sipagent chat --simulator                     the example practice, without an account
  sipagent chat --agent front-desk --config sipagent.yaml
  sipagent chat --to +15550100000 --at "2026-12-25 10:00"     whoever answers then, knowing what they know
  sipagent chat --simulator script.yaml         your agent, and a pretended model that follows your script
  echo "When are you open?" | sipagent chat --json | jq -r 'select(.type == "line").text'"""
    parser.add_argument("--agent", metavar="NAME", help="who answers; by default whoever the call leads to")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"{_DEFAULT_FILE} by default; with --simulator, where there is none, the example practice",
    )
    parser.add_argument(
        "--simulator",
        nargs="?",
        const=_OWN_SCRIPT,
        metavar="SCRIPT",
        help="a pretended model inside this command answers, after a script, instead of the real one",
    )
    add_call_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object for each event")


def run(arguments: argparse.Namespace) -> int:
    """Talk until one side ends it: 0 after an orderly end, 1 after a failure, 130 after Ctrl-C."""
    code = 1
    try:
        file = _configuration_file(arguments)
        # Files are read here, where nothing waits yet.
        plan = None if arguments.simulator is None else _plan(arguments.simulator, file)
        code = asyncio.run(_chat(arguments, file, plan))
    except* SipAgentError as errors:
        if not arguments.json:
            raise
        # One object a line to the very end: whoever reads the events reads this too.
        for error in causes(errors):
            print_json_line(
                {"type": "failed", "ok": False, "error": str(error), "problems": _problems(error)}
            )
    return code


async def _chat(arguments: argparse.Namespace, file: Path, plan: Script | None) -> int:
    if sys.stdin is None:
        raise UserError("there is nothing to read from: standard input is closed; </dev/null is nothing, too")
    lines = Lines(sys.stdin.fileno())
    screen = _screen(lines, as_json=arguments.json)
    async with AsyncExitStack() as stack:
        access = ApiAccess.read(file=file) if plan is None else await _simulated(stack, plan)
        configure_logging(as_json=False, level="ERROR", secrets=(access.api_key,), stream=sys.stderr)
        about = ChatCall(
            to=arguments.to, caller=arguments.caller, at=arguments.at, headers=tuple(arguments.header)
        )
        chat = load_chat(file, arguments.agent, access=access, view=screen, about=about)
        await _connect(stack.enter_async_context(chat), access)
        where = "the simulator" if plan is not None else access.base_url
        screen.opened(asdict(chat.agent), where)
        return await _talked(Talk(chat, lines, screen))


async def _talked(talk: Talk) -> int:
    """The exit code of the whole talk; Ctrl-C is its own to handle meanwhile."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, talk.interrupt)
    try:
        return await talk.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _connect(entering: Awaitable[Any], access: ApiAccess) -> None:
    try:
        await entering
    except* AttachError as errors:
        [error] = causes(errors)
        assert isinstance(error, AttachError), "the group holds nothing else"
        if error.status in (401, 403):
            raise UserError(
                f"{access.base_url} does not take the key in OPENAI_API_KEY ({error.status}): is it whole, "
                "and of a project that may use the Realtime API?"
            ) from error
        raise AttachError(f"no answer from {access.base_url}: {error}", status=error.status) from error


async def _simulated(stack: AsyncExitStack, plan: Script) -> ApiAccess:
    """A simulator that runs until ``stack`` is left."""
    api_key = secrets.token_urlsafe()
    simulator = await stack.enter_async_context(
        Simulator(SimulatorOptions(script=plan, api_key=api_key, voice=SilentVoice()))
    )
    return ApiAccess(api_key=api_key, base_url=simulator.base_url)


def _configuration_file(arguments: argparse.Namespace) -> Path:
    if arguments.config is not None:
        return Path(arguments.config)
    if arguments.simulator is not None and not _DEFAULT_FILE.exists():
        return example_configuration()
    return _DEFAULT_FILE


def _plan(script: str, configuration: Path) -> Script:
    """What the pretended model does: the script that was asked for, or one that fits."""
    if script != _OWN_SCRIPT:
        return load_script(script)
    if configuration.resolve() == example_configuration().resolve():
        return shipped_script("chat")
    return default_script()


def _screen(lines: Lines, *, as_json: bool) -> Screen:
    if as_json:
        return JsonScreen(lines)
    return TextScreen(console(), lines, asks=sys.stdin.isatty() and sys.stdout.isatty())


def _problems(error: BaseException) -> list[dict[str, Any]]:
    return (
        [asdict(each) for each in error.problems]
        if isinstance(error, ConfigurationError | ScriptError)
        else []
    )
