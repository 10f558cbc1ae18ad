"""The file that `sipagent init` writes: a whole configuration, with comments."""

from __future__ import annotations

from importlib.resources import files


def starter_text() -> str:
    """A configuration that can be served as it stands, and explains itself."""
    return files("sipagent.config").joinpath("starter.yaml").read_text(encoding="utf-8")
