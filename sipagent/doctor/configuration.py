"""Whether the configuration can be served, and what the rest of the examination needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sipagent.config import Loaded, load_configuration
from sipagent.doctor.finding import Area, Finding, Verdict, fail, hint, ok
from sipagent.errors import ConfigurationError, UserError
from sipagent.realtime.provider import DEFAULT_BASE_URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the file says, as far as others want to know."""

    finding: Finding
    base_url: str = DEFAULT_BASE_URL
    models: tuple[str, ...] = ()
    trunk: str | None = None
    """The preset of its numbers."""
    access: Finding | None = None
    """Who is let in beside webhooks."""
    mcp_servers: tuple[Finding, ...] = ()
    """What is to be known of those that the service starts or asks."""
    loaded: Loaded | None = None
    """The configuration, where it can be served."""


def examine_configuration(path: Path, *, base_url: str | None) -> Plan:
    """Load the file; ``base_url`` is what the environment says, which wins over the file.

    Blocks: it reads files and imports tools. Raises nothing.
    """
    fallback = base_url or DEFAULT_BASE_URL
    if not path.exists():
        said, remedy = f"There is no {path}.", "`sipagent init` writes one; --config names another."
        return Plan(finding=fail(Area.CONFIGURATION, said, remedy), base_url=fallback)
    try:
        loaded = load_configuration(path)
    except ConfigurationError as error:
        count = len(error.problems)
        many = "a mistake" if count == 1 else f"{count} mistakes, first"
        said = f"{path} has {many}: line {error.problems[0].line}: {error.problems[0].message}"
        return Plan(
            finding=fail(Area.CONFIGURATION, said, f"`sipagent check {path}` names all of them."),
            base_url=fallback,
        )
    except UserError as error:
        return Plan(finding=fail(Area.CONFIGURATION, f"{path}: {error}", "Mend it."), base_url=fallback)
    said = f"{path} is right ({loaded.summary}, fingerprint {loaded.fingerprint})."
    return Plan(
        finding=ok(Area.CONFIGURATION, said),
        base_url=base_url or loaded.base_url,
        models=_models(loaded),
        trunk=_trunk(loaded),
        access=_access(loaded),
        mcp_servers=_mcp_servers(loaded, path),
        loaded=loaded,
    )


def _mcp_servers(loaded: Loaded, path: Path) -> tuple[Finding, ...]:
    # Whether they run is not looked at: an examination starts nothing.
    names = ", ".join(spec.name for spec in loaded.mcp_servers)
    if not names:
        return ()
    said = f"MCP servers that the service starts or asks: {names}."
    remedy = f"`sipagent check {path}` starts them and lists their tools; /readyz says which are up."
    return (Finding(area=Area.CONFIGURATION, verdict=Verdict.HINT, said=said, remedy=remedy),)


def _models(loaded: Loaded) -> tuple[str, ...]:
    names = (profile.settings.get("model_name") for profile in loaded.door.profiles.values())
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _access(loaded: Loaded) -> Finding:
    access = loaded.access
    if not access.is_open_to_somebody:
        said = "`admin:` has no token: /admin is closed, and /metrics open to whoever reaches the service."
        return hint(Area.CONFIGURATION, said)
    names = ", ".join(token.visitor.name for token in access.tokens)
    return ok(Area.CONFIGURATION, f"`admin:` lets in {names}.")


def _trunk(loaded: Loaded) -> str | None:
    numbers = getattr(loaded.document.configuration, "numbers", None)
    preset = getattr(numbers, "preset", None)
    return preset if isinstance(preset, str) else None
