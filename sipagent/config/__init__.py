"""Turns a YAML file and the environment into what the service runs on, or says what is wrong with them."""

from sipagent.config.compile import compile_configuration, load_base_url
from sipagent.config.environment import Environment, read_database_url
from sipagent.config.files import FilesRead
from sipagent.config.loader import Document, parse_document, read_document
from sipagent.config.loading import Loaded, load, load_configuration

__all__ = [
    "Document",
    "Environment",
    "FilesRead",
    "Loaded",
    "compile_configuration",
    "load",
    "load_base_url",
    "load_configuration",
    "parse_document",
    "read_database_url",
    "read_document",
]
