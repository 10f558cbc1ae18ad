"""`sipagent serve`: answer the calls of a project."""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import re
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sipagent.app import Service, ServiceSettings, ShiftSettings, configure_logging
from sipagent.cli.arguments import duration_s, port
from sipagent.cli.loops import LOOP_NAMES, run_on
from sipagent.cli.output import console, first_cause, print_json_line
from sipagent.config import Environment, load_configuration
from sipagent.errors import UserError
from sipagent.store import open_store, spill_folder

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(r"address \('([^']+)', (\d+)")
"""In what asyncio says when it cannot bind."""
PRIVATE = 0o077
"""What the process writes, callers' words among it, is for nobody but its own user."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = """\
Receives the webhooks of calls and answers them as the configuration says.

Several of these may share one PostgreSQL database: each call is answered by one of them, and goes on at
another when that one dies. SIGTERM hands live calls to the others at once. Where there are none, it refuses
new calls and lets running ones finish; a second one, or the drain timeout, hangs them up.

When the file changes, or one of the files and Python modules it pulls in, or on SIGHUP, it is read again. It
then serves the next call; calls in progress keep what they began with. A file with a mistake changes nothing:
the log names each line, /readyz and /metrics say so."""
    parser.epilog = """\
environment:
  OPENAI_API_KEY, OPENAI_WEBHOOK_SECRET      needed
  OPENAI_WEBHOOK_SECRET_PREVIOUS             while a secret is being rotated out
  OPENAI_BASE_URL, SIPAGENT_DATABASE_URL, SIPAGENT_LOG_JSON, SIPAGENT_LOG_LEVEL

examples:
  sipagent serve --config sipagent.yaml
  sipagent serve --config sipagent.yaml --host 0.0.0.0 --port 8080 --json-logs
  sipagent serve --config sipagent.yaml --drain-timeout 20m
  SIPAGENT_DATABASE_URL=postgresql://sipagent@db/sipagent sipagent serve --lease 10s"""
    parser.add_argument(
        "--config", type=Path, default=Path("sipagent.yaml"), metavar="FILE", help="sipagent.yaml by default"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=port, default=8080, help="port to listen on (8080); 0 takes a free one"
    )
    parser.add_argument(
        "--drain-timeout", type=duration_s, default=30.0, metavar="TIME", help="30s by default"
    )
    parser.add_argument(
        "--spill",
        type=Path,
        metavar="FOLDER",
        help="where records wait while the database is away, with what callers said in them; by default "
        "sipagent-spill, beside an SQLite database or else in the folder of the start",
    )
    parser.add_argument(
        "--lease",
        type=duration_s,
        default=15.0,
        metavar="TIME",
        help="a worker that shares a database and was frozen for so long has lost its calls to the others "
        "(15s); one that died loses them within seconds",
    )
    parser.add_argument(
        "--hand-over",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="on SIGTERM, leave live calls to other workers that share the database (the default)",
    )
    parser.add_argument(
        "--reload",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="read the configuration again when it changes (the default); without, only on SIGHUP",
    )
    parser.add_argument(
        "--loop",
        choices=LOOP_NAMES,
        default="auto",
        help="event loop; auto (the default) takes uvloop where it is installed",
    )
    parser.add_argument("--json-logs", action="store_true", help="write each log line as a JSON object")
    parser.add_argument("--json", action="store_true", help="print the address in use as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal; returns 0 after an orderly stop."""
    environment = Environment.read()
    secrets = dict.fromkeys(environment.secrets)

    def learn_secrets(more: Sequence[str]) -> None:
        # Those of configurations that serve no more are still in the mouths of calls that began with them.
        secrets.update(dict.fromkeys(more))
        configure_logging(
            as_json=arguments.json_logs or environment.log_json,
            level=environment.log_level,
            secrets=tuple(secrets),
            stream=sys.stderr,
        )

    learn_secrets(())
    if os.geteuid() == 0:
        logger.warning("Running as root, which nothing here needs: give the service a user of its own")
    configuration = load_configuration(arguments.config)
    service = Service(
        front_door=configuration,
        learn_secrets=learn_secrets,
        api_key=environment.openai_api_key,
        base_url=configuration.base_url,
        webhook_secrets=environment.webhook_secrets,
        store=open_store(environment.database_url),
        settings=ServiceSettings(
            host=arguments.host,
            port=arguments.port,
            drain_timeout_s=arguments.drain_timeout,
            watch_configuration=arguments.reload,
            hands_over=arguments.hand_over,
            shift=ShiftSettings.for_lease(arguments.lease),
            spill=spill_folder(environment.database_url, arguments.spill),
        ),
    )
    os.umask(PRIVATE)
    return run_on(arguments.loop, lambda: _serve(service, arguments))


async def _serve(service: Service, arguments: argparse.Namespace) -> int:
    _calm_the_collector()
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(service)
        except* OSError as errors:
            where = f"{arguments.host}:{arguments.port}"
            raise UserError(_cannot_listen(where, first_cause(errors))) from errors
        _announce(service, as_json=arguments.json)
        return await service.serve_until_stopped()


def _cannot_listen(where: str, error: BaseException) -> str:
    """What is wrong. The address is that of the error, if it names one: the configuration may want more of
    them than ``where``."""
    named = _ADDRESS.search(str(error))
    taken = where if named is None else f"{named[1]}:{named[2]}"
    if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {taken}: this machine has no such address. 0.0.0.0 is all that it has."
    if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
        return f"cannot listen on {taken}: {error}"
    remedy = "take another --port" if taken == where else "change `listen` in the configuration"
    return f"cannot listen on {taken}: another process does. Stop it, or {remedy}."


def _calm_the_collector() -> None:
    """Keep the garbage collector from walking over every live call again and again in a burst of calls.

    What start-up made (modules, schemas, configuration) stays for good and is taken out of its sight. The
    rest is collected less often: with Python's own thresholds, half a millisecond of each call of a burst
    of 300 goes into collections that find nothing; with these a tenth. Garbage in cycles waits a little
    longer, which costs megabytes at most.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _announce(service: Service, *, as_json: bool) -> None:
    if as_json:
        print_json_line({"webhook_url": service.webhook_url, "port": service.port})
    else:
        console().print(f"Answering calls whose webhooks come to {service.webhook_url}")
        sys.stdout.flush()
