"""Finds the Python functions that a configuration names, and makes tools of them."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sipagent.config.loader import suggestion
from sipagent.config.schema import PythonTool
from sipagent.config.values import BadValueError, PythonReference
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, function_tool

DEFAULT_TOOL_DEADLINE_S = 20.0
"""A caller hears silence while a tool runs; after this long the model is told that it failed."""


def load_tool(entry: PythonTool, *, folder: Path) -> FunctionTool:
    """The tool that ``entry`` describes.

    Modules in ``folder`` can be imported, then and for as long as the process lives: a tool may import more
    of them when it runs. Raises :class:`BadValueError` with what is wrong and how to mend it.
    """
    found = _find(entry.python, folder)
    if isinstance(found, FunctionTool):
        tool = found
    elif callable(found):
        tool = _wrap(found, entry.python)
    else:
        raise _no_function(entry.python, found)
    timeout_s = entry.timeout_s if entry.timeout_s is not None else tool.timeout_s
    return dataclasses.replace(
        tool,
        name=entry.name or tool.name,
        description=entry.description or tool.description,
        timeout_s=DEFAULT_TOOL_DEADLINE_S if timeout_s is None else timeout_s,
    )


def load_function(reference: PythonReference, *, folder: Path) -> Callable[..., Any]:
    """The function that ``reference`` names; see `load_tool`. Raises :class:`BadValueError`."""
    found = _find(reference, folder)
    if not callable(found):
        raise _no_function(reference, found)
    function: Callable[..., Any] = found
    return function


def _no_function(reference: PythonReference, found: object) -> BadValueError:
    return BadValueError(
        f"`{reference}` is of type {type(found).__name__}, and no function.", "Name a function of the module."
    )


def _wrap(function: Callable[..., Any], reference: PythonReference) -> FunctionTool:
    try:
        return function_tool(function)
    except Exception as error:  # a signature is user code: its annotations are evaluated here
        raise BadValueError(
            f"`{reference}` cannot be a tool: {_said(error)}.",
            "Give every parameter a type that exists and that JSON can express.",
        ) from error


def _find(reference: PythonReference, folder: Path) -> Any:
    module = _import(reference, folder)
    found: Any = module
    for part in reference.function.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            public = tuple(
                name
                for name in dir(found)
                if name[0] != "_" and callable(inspect.getattr_static(found, name))
            )
            raise BadValueError(
                f"The module {reference.module} ({module.__file__ or 'built in'}) "
                f"has no `{reference.function}`.",
                suggestion(part, public),
            ) from error
    return found


def _import(reference: PythonReference, folder: Path) -> ModuleType:
    entry = str(folder.resolve())
    if entry not in sys.path:
        sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(reference.module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{reference.module}.".startswith(f"{error.name}."):
            raise BadValueError(
                f"There is no Python module `{error.name}`.",
                f"Put it into the folder of this file ({folder}), or install it.",
            ) from error
        raise BadValueError(
            f"The module {reference.module} needs the module `{error.name}`, which is not installed.",
            "Install it.",
        ) from error
    except Exception as error:  # importing runs user code, which may raise anything
        raise BadValueError(
            f"The module {reference.module} cannot be imported: {_said(error)}.",
            "Mend the module; it must import by itself.",
        ) from error


def _said(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error).partition(": ")[2].rstrip(".") or str(error).rstrip(".")
    return f"{type(error).__name__}: {error}".rstrip(": .")
