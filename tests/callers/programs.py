"""Finds and runs the programs; a missing one skips its test, except in CI, where it fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest


def find_program(name: str) -> str | None:
    """Its path; servers are where only root's PATH leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def program(name: str, package: str) -> str:
    """The path of ``name``; skips the test when it is not installed."""
    path = find_program(name)
    if path is None:
        reason = f"{name} is not installed (Debian package {package})"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI must run this test", pytrace=False)
        pytest.skip(reason)
    return path


async def run(*command: str, folder: Path, within_s: float = 60.0) -> tuple[int, str]:
    """Run a program to its end in ``folder``; its exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within_s):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


@asynccontextmanager
async def running(
    *command: str, folder: Path, in_group: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that runs until the block is left; what it prints goes to ``program.log`` in ``folder``.

    ``in_group``: it has processes of its own, which end with it.
    """
    with (folder / "program.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=in_group,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if in_group:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
