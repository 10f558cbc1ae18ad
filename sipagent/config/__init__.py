"""Turns a YAML file and the environment into what the service runs on, or says what is wrong with them."""

from sipagent.calls.endings import EndReason
from sipagent.config.account import AccountSeen, environment_text, see_account
from sipagent.config.compile import compile_configuration, load_base_url
from sipagent.config.environment import Environment, read_database_url, webhook_secret_mistake
from sipagent.config.explaining import Setting, explain, explain_carriers
from sipagent.config.files import FilesRead
from sipagent.config.loader import Document, parse_document, read_document
from sipagent.config.loading import Loaded, load, load_configuration
from sipagent.config.published import published_schema
from sipagent.config.question import CalendarThen, Question, RouteVerdict, ask, describe_route, zone_of
from sipagent.config.reload import ConfigurationWatcher, Reload
from sipagent.config.starter import starter_text
from sipagent.config.stored import load_stored
from sipagent.config.telling import (
    CARRIER_TITLES,
    CarrierName,
    ToEnter,
    describe_plan,
    named_route,
    recorded_in_part,
    to_enter,
)
from sipagent.config.trying import Tried, try_servers

__all__ = [
    "CARRIER_TITLES",
    "AccountSeen",
    "CalendarThen",
    "CarrierName",
    "ConfigurationWatcher",
    "Document",
    "EndReason",
    "Environment",
    "FilesRead",
    "Loaded",
    "Question",
    "Reload",
    "RouteVerdict",
    "Setting",
    "ToEnter",
    "Tried",
    "ask",
    "compile_configuration",
    "describe_plan",
    "describe_route",
    "environment_text",
    "explain",
    "explain_carriers",
    "load",
    "load_base_url",
    "load_configuration",
    "load_stored",
    "named_route",
    "parse_document",
    "published_schema",
    "read_database_url",
    "read_document",
    "recorded_in_part",
    "see_account",
    "starter_text",
    "to_enter",
    "try_servers",
    "webhook_secret_mistake",
    "zone_of",
]
