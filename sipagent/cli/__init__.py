"""The commands an operator types."""

from sipagent.cli.main import main

__all__ = ["main"]
