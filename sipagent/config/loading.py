"""Loads a configuration file with everything it pulls in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sipagent.calls.access import Access
from sipagent.calls.guardrails import Moderate
from sipagent.calls.mcp_door import servers_of
from sipagent.calls.routing import FrontDoor
from sipagent.calls.tools.mcp_spec import McpServerSpec
from sipagent.carrier.settings import CarrierSettings
from sipagent.config.compile import compile_configuration
from sipagent.config.compile_access import compile_access
from sipagent.config.compile_carriers import compile_carriers
from sipagent.config.compiling import Compiling
from sipagent.config.environment import read_base_url
from sipagent.config.files import FilesRead
from sipagent.config.loader import Document, Draft, read_draft
from sipagent.config.moderation import ApiModeration
from sipagent.config.modules import import_anew
from sipagent.config.secrets import Secrets
from sipagent.errors import ConfigurationError, UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be served, and what it was made of."""

    door: FrontDoor
    document: Document
    read: FilesRead
    base_url: str
    """Where the Realtime API is, without a slash at the end."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must never appear in a log."""
    access: Access = field(default_factory=Access)
    """Who may look at the running service, and act on its calls."""
    carriers: CarrierSettings | None = None
    """The telephone companies whose calls are answered; None where there are none. Counts from the next call
    on, but for that of an Asterisk: after a restart."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it was made of."""
        return self.read.paths

    @property
    def fingerprint(self) -> str:
        """Names it in the records of the calls it served."""
        return self.door.fingerprint

    @property
    def mcp_servers(self) -> tuple[McpServerSpec, ...]:
        """The MCP servers that have to run while it serves."""
        return servers_of(self.door.profiles.values())

    @property
    def text(self) -> str:
        """Its files, as they were; Python modules are left out."""
        return self.read.text

    @property
    def summary(self) -> str:
        """One line for people: what it holds."""
        agents, routes = len(self.door.profiles), len(self.door.routes)
        return f"{agents} agent{'s' * (agents != 1)}, {routes} route{'s' * (routes != 1)}"


def load_configuration(
    path: Path | str,
    variables: Mapping[str, str] | None = None,
    *,
    read: FilesRead | None = None,
    moderate: Moderate | None = None,
    door_only: bool = False,
) -> Loaded:
    """Read, check and compile the configuration at ``path``; ``variables`` are by default those of the
    process. Guardrails that want moderation ask ``moderate``, by default the API with ``OPENAI_API_KEY``.

    With ``door_only`` there is nothing in it of carriers, and of who is let in: whatever their keys are now,
    it loads.

    Python modules in its folder are imported anew; see `modules` for what that means. When this raises, they
    are what they were before, and what was read is noted in ``read`` all the same.

    Blocks: it reads files and runs the operator's modules. Raises `ConfigurationError` with every mistake
    found, and `UserError` where the environment holds one or a module ends the process.
    """
    path = Path(path)
    read = FilesRead(path.parent) if read is None else read
    draft: Draft | None = None
    try:
        draft = read_draft(path, read)
        if draft.document is None:
            raise ConfigurationError(*draft.problems)
        document = draft.document
        import_anew(path.parent, read)
        environment = os.environ if variables is None else variables
        secrets = Secrets(environment, path.parent, read)
        base_url = read_base_url(variables) or document.configuration.openai.address
        if moderate is None and (api_key := environment.get("OPENAI_API_KEY", "").strip()):
            moderate = ApiModeration(api_key=api_key, base_url=base_url)
        door = compile_configuration(
            document,
            path.parent,
            read,
            secrets=secrets,
            moderate=moderate,
            draft=draft,
            door_only=door_only,
        )
        if door_only:
            return Loaded(door=door, document=document, read=read, base_url=base_url, secrets=secrets.values)
        return Loaded(
            door=door,
            document=document,
            read=read,
            base_url=base_url,
            secrets=secrets.values,
            access=compile_access(Compiling(document, path.parent, read, secrets)),
            carriers=compile_carriers(Compiling(document, path.parent, read, secrets)),
        )
    except SystemExit as error:
        read.take_back()
        if draft is not None and draft.problems:
            raise ConfigurationError(*draft.problems) from error
        raise UserError(
            "A Python module of the configuration ends the process when it is imported."
        ) from error
    except BaseException:
        read.take_back()
        raise


def load(path: Path | str) -> FrontDoor:
    """As `load_configuration`, for those who need only what answers calls: keys of carriers and tokens of
    people are not asked for."""
    return load_configuration(path, door_only=True).door
