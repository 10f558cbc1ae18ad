"""`sipagent calls hangup`, `transfer`, `say` and `workers`: acting on calls from anywhere.

What is asked goes through the database to whichever process holds the call, and what came of it comes back.
Exit codes: 0 done, 1 refused or failed, 2 misused, 3 there is no such call, 4 nobody answered in time.
"""

from __future__ import annotations

import argparse
import os
import pwd
import socket
from collections.abc import Callable, Mapping
from typing import assert_never

from sipagent.cli.arguments import duration_s
from sipagent.cli.database import ask_database
from sipagent.cli.output import console, print_json, print_table
from sipagent.clock import utc_now
from sipagent.identifiers import CallId
from sipagent.store import Store, WorkerSeen
from sipagent.store.as_json import worker_as_json
from sipagent.store.orders import (
    MAXIMUM_ARGUMENT,
    NOW,
    POLITELY,
    Answered,
    NoSuchCall,
    Reply,
    Unanswered,
    Verb,
    order,
)

DONE, FAILED, NO_SUCH_CALL, NO_ANSWER = 0, 1, 3, 4
_EXIT_CODES = (
    "exit code: 0 done, 1 refused or failed, 2 misused, 3 there is no such call, 4 nobody answered in time"
)
_PATIENCE_S: Mapping[Verb, float] = {"hangup": 15.0, "say": 15.0, "transfer": 60.0}
_STYLES = {DONE: "green", FAILED: "red", NO_SUCH_CALL: "red", NO_ANSWER: "yellow"}

AddParser = Callable[..., argparse.ArgumentParser]


def words_to_say(text: str) -> str:
    """Words that take no longer than some minutes to say."""
    if not text.strip() or len(text) > MAXIMUM_ARGUMENT:
        raise argparse.ArgumentTypeError(f"write 1 to {MAXIMUM_ARGUMENT} characters")
    return text.strip()


def configure(add_parser: AddParser) -> tuple[argparse.ArgumentParser, ...]:
    """Add the actions by ``add_parser``; their parsers."""
    hangup = add_parser(
        "hangup",
        help="end a call, whichever process holds it",
        description="Has the agent say goodbye and ends the call, whichever process holds it.",
        epilog=f"""\
examples:
  sipagent calls hangup rtc_u1_0123
  sipagent calls hangup rtc_u1_0123 --now

{_EXIT_CODES}""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hangup.add_argument("call_id", metavar="CALL_ID", help="as `sipagent calls list --live` names it")
    hangup.add_argument("--now", action="store_true", help="without a goodbye")
    transfer = add_parser(
        "transfer",
        help="send a caller to a target of the configuration",
        description="""\
Has the agent tell the caller, and sends them to a target that the configuration of the call names. It is done
when the call has left; where that fails, the caller is still with the agent, who knows it.""",
        epilog=f"""\
examples:
  sipagent calls transfer rtc_u1_0123 billing
  sipagent calls transfer rtc_u1_0123 billing --timeout 2m --json

{_EXIT_CODES}""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    transfer.add_argument("call_id", metavar="CALL_ID", help="as `sipagent calls list --live` names it")
    transfer.add_argument("target", metavar="TARGET", type=words_to_say, help="its name, such as billing")
    say = add_parser(
        "say",
        help="have the agent say exact words",
        description="Has the agent of a call say these words, as soon as it may speak.",
        epilog=f"""\
examples:
  sipagent calls say rtc_u1_0123 "We close in five minutes."

{_EXIT_CODES}""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    say.add_argument("call_id", metavar="CALL_ID", help="as `sipagent calls list --live` names it")
    say.add_argument("words", metavar="WORDS", type=words_to_say)
    for verb, parser in (("hangup", hangup), ("transfer", transfer), ("say", say)):
        default = f"{_PATIENCE_S[verb]:g}s"  # type: ignore[index]
        parser.add_argument(
            "--timeout", type=duration_s, metavar="TIME", help=f"how long to wait for an answer ({default})"
        )
    workers = add_parser(
        "workers",
        help="the processes that hold calls",
        description="Lists the processes that share the database, and how many calls each holds.",
        epilog="""\
examples:
  sipagent calls workers
  sipagent calls workers --json""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return hangup, transfer, say, workers


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print what came of it."""
    match arguments.action:
        case "hangup":
            return _order(arguments, "hangup", NOW if arguments.now else POLITELY)
        case "transfer":
            return _order(arguments, "transfer", arguments.target)
        case "say":
            return _order(arguments, "say", arguments.words)
        case _:
            return _workers(arguments)


def _order(arguments: argparse.Namespace, verb: Verb, argument: str) -> int:
    async def ask(store: Store) -> Reply:
        return await order(
            store,
            CallId(arguments.call_id),
            verb,
            argument,
            asked_by=_who(),
            patience_s=_PATIENCE_S[verb] if arguments.timeout is None else arguments.timeout,
            utc_now=utc_now,
        )

    reply = ask_database(arguments.database, ask)
    match reply:
        case Answered(outcome=outcome):
            code = DONE if reply.done else FAILED
            word, detail = outcome.outcome, outcome.detail
        case NoSuchCall(detail=detail):
            code, word = NO_SUCH_CALL, "no_such_call"
        case Unanswered(detail=detail):
            code, word = NO_ANSWER, "no_answer"
        case never:
            assert_never(never)
    if arguments.json:
        print_json({"ok": code == DONE, "call_id": arguments.call_id, "outcome": word, "detail": detail})
    else:
        console().print(detail, style=_STYLES[code])
    return code


def _who() -> str:
    """Who asks, as the operating system knows them; not what the environment claims."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # a container may run as a user that nobody has described
        name = f"user {user}"
    return f"{name}@{socket.gethostname()}"


def _workers(arguments: argparse.Namespace) -> int:
    async def ask(store: Store) -> tuple[WorkerSeen, ...]:
        return await store.workers()

    found = ask_database(arguments.database, ask)
    if arguments.json:
        print_json([worker_as_json(worker) for worker in found])
        return 0
    if not found:
        console().print("No workers.")
        return 0
    rows = [
        (worker.worker, worker.name, worker.state, f"{worker.seen_s:.1f} s ago", str(worker.calls))
        for worker in found
    ]
    print_table(console(), ("worker", "process", "state", "seen", "calls"), rows)
    return 0
