"""`sipagent` as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


@asynccontextmanager
async def running(
    *words: str, variables: Mapping[str, str] | None = None, cwd: str | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command with ``words``; killed on the way out if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sipagent",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
        cwd=cwd,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        # Reading to the end closes the pipes, which would otherwise outlive the event loop.
        await process.communicate()


async def finished(
    *words: str, variables: Mapping[str, str] | None = None, cwd: str | None = None, timeout_s: float = 60
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command with ``words``."""
    async with running(*words, variables=variables, cwd=cwd) as process:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()
