"""Turns a YAML file and the environment into what the service runs on, or says what is wrong with them."""

from sipagent.config.compile import compile_configuration, load, load_base_url
from sipagent.config.environment import Environment, read_database_url
from sipagent.config.loader import Document, parse_document, read_document

__all__ = [
    "Document",
    "Environment",
    "compile_configuration",
    "load",
    "load_base_url",
    "parse_document",
    "read_database_url",
    "read_document",
]
