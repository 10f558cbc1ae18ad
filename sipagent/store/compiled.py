"""Statements as a driver takes them.

SQLAlchemy too compiles a statement only once, but all that it does around one that is executed costs more
than a short one itself. So the few for which somebody on the telephone waits go to the driver directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStatement:
    """One statement. Its values must be what the driver takes: nothing converts them."""

    text: str
    names: tuple[str, ...]
    """What stands in each place."""
    always: Mapping[str, Any]
    """Values that belong to the statement itself."""

    def in_places(self, values: Mapping[str, Any]) -> list[Any]:
        """``values``, by their names, in the order in which the driver wants them."""
        known = {**self.always, **values}
        return [known[name] for name in self.names]


class CompiledStatements:
    """Compiles each statement once. For those of which there are few, made once."""

    def __init__(self, engine: sa.Engine) -> None:
        """``engine`` is of the driver, which must tell parameters by their places."""
        self._engine = engine
        self._found: dict[sa.Executable, CompiledStatement] = {}

    def of(self, statement: sa.Executable) -> CompiledStatement:
        """``statement``, compiled."""
        found = self._found.get(statement)
        if found is None:
            compiled = statement.compile(self._engine)  # type: ignore[attr-defined]
            found = self._found[statement] = CompiledStatement(
                text=str(compiled), names=tuple(compiled.positiontup), always=dict(compiled.params)
            )
        return found
