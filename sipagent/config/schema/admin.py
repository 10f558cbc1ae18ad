"""Who may look at a running service, and act on its calls."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sipagent.config.schema.base import Entry, Name, parsed_by, refuse
from sipagent.config.schema.web import Sendable
from sipagent.config.values import BadValueError

RoleName = Literal["read", "operate", "admin"]


def parse_listen(value: object) -> tuple[str, int]:
    """``127.0.0.1:9090`` or ``[::1]:9090``. Raises :class:`BadValueError`."""
    remedy = 'Write host and port, such as "127.0.0.1:9090".'
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is no address.", remedy)
    host, colon, digits = value.strip().rpartition(":")
    if not colon or not host or not digits.isascii() or not digits.isdigit() or int(digits) > 65_535:
        raise BadValueError(f"{value!r} is no address.", remedy)
    return host.removeprefix("[").removesuffix("]"), int(digits)


def parse_network(value: object) -> Any:
    """``10.0.0.0/8`` or one address. Raises :class:`BadValueError`."""
    remedy = 'Write an address or a network: "10.1.2.3" or "10.0.0.0/8".'
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is no network.", remedy)
    try:
        return ip_network(value.strip())
    except ValueError as error:
        try:
            meant = ip_network(value.strip(), strict=False)
        except ValueError:
            raise BadValueError(f"{value!r} is no network.", remedy) from error
        raise BadValueError(f"{value!r} has bits behind its length.", f'Write "{meant}".') from error


class TokenEntry(Entry):
    """Lets somebody in."""

    name: Name
    """Whose it is: it stands in the record of what they do."""
    token: Sendable
    """The secret itself, as ``${NAME}`` or ``${file:/run/secrets/name}``; at least 16 characters."""
    role: RoleName
    """``read``: look at metrics and calls. ``operate``: act on calls too. ``admin``: read configurations too,
    and have them read again."""


class AdminEntry(Entry):
    """Who may look at a running service, and act on its calls. Closed without a token."""

    tokens: list[TokenEntry] = Field(default_factory=list)
    """Each for one person or machine."""
    listen: (
        Annotated[
            tuple[str, int],
            parsed_by(parse_listen, pattern=r"^.+:[0-9]{1,5}$", examples=["127.0.0.1:9090"]),
        ]
        | None
    ) = None
    """An address of its own for all this; by default the one that webhooks come to."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names: set[str] = set()
        for index, entry in enumerate(self.tokens):
            if entry.name in names:
                raise refuse(
                    f"Two tokens are called {entry.name}.",
                    "Give each a name of its own: it says who did what.",
                    at=("tokens", index, "name"),
                )
            names.add(entry.name)
        return self


class ServerEntry(Entry):
    """What stands before the service."""

    trusted_proxies: (
        list[Annotated[Any, parsed_by(parse_network, pattern=r"^[0-9a-fA-F.:/]+$", examples=["10.0.0.0/8"])]]
        | None
    ) = None
    """Addresses of reverse proxies, whose ``X-Forwarded-For`` is believed; by default those of local
    networks."""
