"""Longer pages for users, in Markdown, as files beside this one."""

from __future__ import annotations

from importlib.resources import files

_SUFFIX = ".md"


def page_names() -> tuple[str, ...]:
    """The names of all pages, in alphabetical order."""
    names = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def read_page(name: str) -> str | None:
    """The Markdown of the page called ``name``, or None when there is none."""
    if name not in page_names():
        return None
    return files(__name__).joinpath(name + _SUFFIX).read_text(encoding="utf-8")


def page_title(name: str) -> str:
    """The first heading of the page called ``name``, which must exist."""
    text = read_page(name)
    assert text is not None, f"there is no page {name!r}"
    return text.lstrip().splitlines()[0].lstrip("# ")
