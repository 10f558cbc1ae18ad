"""The configuration file as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sipagent.config.schema.admin import AdminEntry, ServerEntry
from sipagent.config.schema.agents import AgentKeys
from sipagent.config.schema.base import Entry, Name, Text, at_most_one_of, not_empty, parsed_by, refuse
from sipagent.config.schema.calendars import CalendarEntry
from sipagent.config.schema.carriers import CarriersEntry, RecordingsEntry
from sipagent.config.schema.limits import LimitsEntry
from sipagent.config.schema.routes import CallersEntry, NumbersEntry, RouteEntry
from sipagent.config.schema.variables import BusinessEntry, LookupEntry, VariableName
from sipagent.config.values import parse_azure_resource, parse_base_url
from sipagent.realtime.provider import DEFAULT_BASE_URL, OpenAIRegion, openai_provider


class ApiEntry(Entry):
    """Where the Realtime API is: one of the keys, or OpenAI's own address.

    A key without a value is a mistake: a call must not go somewhere else because a region was forgotten.
    """

    model_config = at_most_one_of("region", "azure", "base_url")

    region: Annotated[
        OpenAIRegion | None, BeforeValidator(not_empty, json_schema_input_type=OpenAIRegion)
    ] = None
    """Where the project keeps its data."""
    azure: Annotated[
        Annotated[str, parsed_by(parse_azure_resource)] | None,
        BeforeValidator(not_empty, json_schema_input_type=Text),
    ] = None
    """A resource of Azure OpenAI, by its name or its endpoint."""
    base_url: Annotated[
        Annotated[str, parsed_by(parse_base_url)] | None,
        BeforeValidator(not_empty, json_schema_input_type=Annotated[str, Field(pattern="^https?://")]),
    ] = None
    """Any server that speaks the same."""

    @model_validator(mode="after")
    def _only_one(self) -> Self:
        written = [f"`{name}`" for name in ("region", "azure", "base_url") if getattr(self, name) is not None]
        if len(written) > 1:
            raise refuse(f"{' and '.join(written)} stand side by side.", "Keep one of them.")
        return self

    @property
    def address(self) -> str:
        """The REST base, without a slash at the end."""
        if self.region is not None:
            return openai_provider(self.region).base_url
        return self.azure or self.base_url or DEFAULT_BASE_URL


class Configuration(Entry):
    """The whole file."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "api": "openai", "agent": "agents", "route": "routes", "routing": "routes", "calendar": "calendars",
        "lookups": "lookup", "vars": "variables", "carrier": "carriers",
    }  # fmt: skip
    hints: ClassVar[Mapping[str, str]] = {
        "hours": "Write `calendars: {office: {hours: …}}`.",
        "timezone": "Write `business: {timezone: …}`.",
        "holidays": "Write `calendars: {office: {holidays: …}}`.",
        "greeting": "Indent it below an agent, or below `defaults:`.",
        "instructions": "Indent it below an agent, or below `defaults:`.",
        "tools": "Indent it below an agent, or below `defaults:`.",
        "ending": "Indent it below an agent, or below `defaults:`.",
        "transfer": "Indent it below an agent, or below `defaults:`.",
        "spend": "Indent it below `limits:`.",
        "deny": "Indent it below `callers:`.",
        "tokens": "Indent it below `admin:`.",
        "twilio": "Indent it below `carriers:`.",
        "telnyx": "Indent it below `carriers:`.",
        "asterisk": "Indent it below `carriers:`.",
        "public_url": "Indent it below `carriers:`.",
        "answer": "Indent it below `carriers:`, or write it in a route.",
        "recording": "Write it below an agent or below `defaults:`; `recordings:` says where they are kept.",
        "trusted_proxies": "Indent it below `server:`.",
    }

    version: Literal[1]
    """Of this form of file."""
    business: BusinessEntry = BusinessEntry()
    """Whose telephone it is."""
    numbers: NumbersEntry = NumbersEntry()
    """Where the dialled number and the caller's stand in a call."""
    variables: dict[VariableName, str] = Field(default_factory=dict)
    """Values of your own, which texts can name: ``{{street}}``."""
    lookup: dict[VariableName, LookupEntry] = Field(default_factory=dict)
    """Values fetched before the answer, which texts can name: ``{{customer.name}}``."""
    calendars: dict[VariableName, CalendarEntry] = Field(default_factory=dict)
    """When somebody is there."""
    openai: ApiEntry = ApiEntry()
    """Where the Realtime API is."""
    defaults: AgentKeys = AgentKeys()
    """Keys that agents inherit, one by one."""
    agents: dict[Name, AgentKeys] = Field(min_length=1)
    """Each agent by its name."""
    routes: list[RouteEntry] = Field(min_length=1)
    """Who answers, in order: the first route that matches takes the call."""
    carriers: CarriersEntry | None = None
    """The telephone companies whose calls are answered here; none where a trunk leads to OpenAI by itself."""
    recordings: RecordingsEntry | None = None
    """Where recordings are kept, and how long; which calls are recorded, their agents say."""
    callers: CallersEntry = CallersEntry()
    """Who may call."""
    limits: LimitsEntry = LimitsEntry()
    """How many calls, and what they may cost."""
    admin: AdminEntry = AdminEntry()
    """Who may look at the running service, and act on its calls."""
    server: ServerEntry = ServerEntry()
    """What stands before the service."""
