"""Opens a database that was away when the service began."""

from __future__ import annotations

import asyncio
import logging

from sipagent.errors import StoreError
from sipagent.store import Store

logger = logging.getLogger(__name__)

OPEN_AGAIN_S = 1.0
"""How often the database is looked for."""
TELL_AGAIN_S = 60.0
"""How often it is told that it is still away, for the same reason."""


async def open_later(
    store: Store, *, open_again_s: float = OPEN_AGAIN_S, tell_again_s: float = TELL_AGAIN_S
) -> None:
    """Return when ``store`` is open. Raises nothing; cancel-safe.

    It is tried each second and told each minute, or when the reason is another: an outage is to be seen, and
    not to fill the log.
    """
    loop = asyncio.get_running_loop()
    told, tell_from = "", loop.time()
    while True:
        await asyncio.sleep(open_again_s)
        try:
            await store.open()
        except StoreError as error:
            if str(error) != told or loop.time() >= tell_from:
                logger.warning("The database cannot be opened yet: %s", error)
                told, tell_from = str(error), loop.time() + tell_again_s
        else:
            logger.info("The database is there")
            return
