"""Turns tokens into who is let in."""

from __future__ import annotations

from sipagent.calls.access import LONGEST_TOKEN, SHORTEST_TOKEN, Access, AccessToken, Role
from sipagent.calls.sources import LOCAL_NETWORKS
from sipagent.config.compiling import Compiling
from sipagent.config.secrets import REFERENCE

_ROLES = {"read": Role.READ, "operate": Role.OPERATE, "admin": Role.ADMIN}
_REMEDY = "Make one with `openssl rand -hex 32`."


def compile_access(compiling: Compiling) -> Access:
    """Who is let in; reports tokens that stand in the file, are too short, or are somebody else's too."""
    admin, server = compiling.configuration.admin, compiling.configuration.server
    tokens: list[AccessToken] = []
    known: dict[bytes, str] = {}
    for index, entry in enumerate(admin.tokens):
        path = ("admin", "tokens", index, "token")
        if REFERENCE.fullmatch(entry.token.strip()) is None:
            compiling.report(
                path,
                "A token does not belong into this file.",
                "Put it into the environment and write ${NAME}, or into a file: ${file:/run/secrets/name}.",
            )
            continue
        reported = len(compiling.problems)
        secret = compiling.secret(path, entry.token.strip())
        if len(compiling.problems) > reported:
            continue
        token = AccessToken.of(entry.name, secret, _ROLES[entry.role])
        if not SHORTEST_TOKEN <= len(secret) <= LONGEST_TOKEN:
            compiling.report(
                path,
                f"The token of {entry.name} has {len(secret)} characters, and needs {SHORTEST_TOKEN} to "
                f"{LONGEST_TOKEN}.",
                _REMEDY,
            )
        elif (other := known.get(token.digest)) is not None:
            compiling.report(path, f"The tokens of {entry.name} and {other} are the same.", _REMEDY)
        known.setdefault(token.digest, entry.name)
        tokens.append(token)
    networks = server.trusted_proxies
    return Access(
        tokens=tuple(tokens),
        listen=admin.listen,
        trusted_proxies=LOCAL_NETWORKS if networks is None else tuple(networks),
    )
