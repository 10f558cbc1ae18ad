"""Serving HTTP for as long as a simulator runs."""

from __future__ import annotations

from contextlib import AsyncExitStack

from aiohttp import web

from sipagent.errors import SimulatorError

_BACKLOG = 1024
"""Connections that wait to be taken: many calls may begin at once."""


async def serve_http(
    application: web.Application, *, host: str, port: int, until: AsyncExitStack
) -> tuple[str, int]:
    """Serve ``application`` until ``until`` is left; where it listens, which for port 0 is any free one.

    Raises `SimulatorError` when nobody can listen there.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    until.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        raise SimulatorError(f"cannot listen for HTTP on {host}:{port}: {error}") from error
    name, number = runner.addresses[0][:2]
    return str(name), int(number)
