"""Where the example practice is: beside the sources, or inside an installed package."""

from __future__ import annotations

from pathlib import Path

import sipagent
from sipagent.errors import UserError


def example_configuration() -> Path:
    """The example's YAML file. Raises `UserError` when this installation has none."""
    package = Path(sipagent.__file__).parent
    # An installed package holds a copy (see pyproject.toml); a checkout has the one that people edit.
    for folder in (package / "_example", package.parent / "deploy" / "example"):
        if (file := folder / "sipagent.yaml").is_file():
            return file
    raise UserError("this installation came without its example; install sipagent again")
