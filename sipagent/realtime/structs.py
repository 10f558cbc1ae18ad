"""Values that are made for most messages of a call: as cheap as they come, and still read like the others."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound=type[msgspec.Struct])


def readable_as_dataclass(struct: S) -> S:
    """Let ``dataclasses.fields``, ``asdict`` and ``replace`` take instances of ``struct`` too.

    A struct costs a tenth of a frozen dataclass to make. Whoever writes every event of a session to a log
    should not have to know which of them are structs.
    """
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(struct):
        default = dataclasses.MISSING if field.default is msgspec.NODEFAULT else field.default
        fields.append((field.name, field.type, dataclasses.field(default=default, kw_only=True)))
    if "type" not in struct.__struct_fields__:
        name: Any = vars(struct)["type"]
        fields.append(("type", str, dataclasses.field(init=False, default=name)))
    twin = dataclasses.make_dataclass(struct.__name__, fields)
    struct.__dataclass_fields__ = twin.__dataclass_fields__  # type: ignore[attr-defined]
    return struct
