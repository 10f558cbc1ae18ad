"""What events and items are made of: frozen values that cost little to make.

A call brings some twenty messages a second, and each becomes two values or three. A frozen dataclass takes
most of a microsecond to make, a struct of `msgspec` a tenth of that, and a server of a thousand calls makes
sixty thousand of them a second. To whoever reads them there is no difference.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, ClassVar, Literal

import msgspec

ItemStatus = Literal["in_progress", "completed", "incomplete"]
"""How far an item is; ``incomplete`` when the response that made it was cut off or failed."""


class _Fields:
    """The fields of a value as `dataclasses` wants them, made when somebody asks."""

    def __get__(self, instance: object, owner: type[msgspec.Struct]) -> dict[str, dataclasses.Field[Any]]:
        return _fields_of(owner)


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with named fields. ``dataclasses.fields``, ``asdict`` and ``replace`` take it too, and
    ``match`` sees its attributes."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]] = _Fields()  # type: ignore[assignment]


@cache
def _fields_of(struct: type[msgspec.Struct]) -> dict[str, dataclasses.Field[Any]]:
    fields: list[tuple[str, Any, Any]] = []
    for name, default in zip(struct.__struct_fields__, _defaults(struct), strict=True):
        fields.append((name, Any, dataclasses.field(default=default, kw_only=True)))
    if "type" not in struct.__struct_fields__ and "type" in vars(struct):
        # The type of what is decoded from a message stands in its class: the message's own is another.
        fields.append(("type", str, dataclasses.field(init=False, default=vars(struct)["type"])))
    twin: Any = dataclasses.make_dataclass(struct.__name__, fields)
    return {each.name: each for each in dataclasses.fields(twin)}


def _defaults(struct: type[msgspec.Struct]) -> list[Any]:
    given = [
        dataclasses.MISSING if each is msgspec.NODEFAULT else each for each in struct.__struct_defaults__
    ]
    return [dataclasses.MISSING] * (len(struct.__struct_fields__) - len(given)) + given
