"""Whether calls can be remembered."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sipagent.doctor.finding import Area, Finding, fail, ok, warn
from sipagent.errors import StoreError, UserError
from sipagent.store import open_store

_SQLITE = "sqlite:///"


async def examine_database(url: str, *, timeout_s: float) -> Finding:
    """Open it, as the service would, and ask; a SQLite file that is not there is not made.

    Opening brings a database of an earlier version to the present schema. ``url`` may hold a password and is
    not shown. Raises nothing but `asyncio.CancelledError`; cancel-safe.
    """
    remedy = "Compare SIPAGENT_DATABASE_URL."
    try:
        store = open_store(url)
    except UserError as error:
        return fail(Area.DATABASE, f"SIPAGENT_DATABASE_URL: {error}.", remedy)
    if url.startswith("memory:"):
        said = "Calls are remembered in memory only, and forgotten when the service ends."
        return warn(Area.DATABASE, said, "Set SIPAGENT_DATABASE_URL=sqlite:///sipagent.db.")
    if url.startswith(_SQLITE):
        file = Path(url.removeprefix(_SQLITE).partition("?")[0])
        if not await asyncio.to_thread(file.exists):
            return await asyncio.to_thread(_room_for, file)
        where = str(file)
    else:
        where = "The database"
    try:
        async with asyncio.timeout(timeout_s):
            try:
                await store.open()
                await store.ping()
            finally:
                await store.aclose()
    except StoreError as error:
        return fail(Area.DATABASE, f"{where}: {error}.", remedy)
    except TimeoutError:
        return fail(Area.DATABASE, f"{where} did not answer within {timeout_s:g} s.", remedy)
    return ok(Area.DATABASE, f"{where} answers.")


def _room_for(file: Path) -> Finding:
    folder = file.parent
    if not folder.is_dir():
        return fail(Area.DATABASE, f"There is no folder {folder} for {file.name}.", f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        said = f"Nothing may be written in {folder}."
        return fail(Area.DATABASE, said, "Let the service's user write there, or name another folder.")
    return ok(Area.DATABASE, f"{file} is not there yet; the service makes it.")
