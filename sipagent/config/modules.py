"""The operator's Python modules, imported anew for every configuration that is loaded.

An edited tool counts from the next call on, like an edited YAML file: before a configuration is loaded, the
modules that came from its folder are forgotten, and read again when they are imported. Functions that calls
in progress hold keep the modules they were made in.

The limits, which no way of reloading Python escapes:

- Only modules in the folder of the file (and folders below it) are read again. An installed package is not.
- What a module keeps in itself (a connection, a cache, a counter) begins anew with each generation.
- A tool that imports a module while it runs gets the newest one, also in a call of an older generation.
- A class of one generation is not the class of the next, even if nothing in it changed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from sipagent.config.files import FilesRead


def import_anew(folder: Path, read: FilesRead) -> None:
    """Forget every module that was imported from a configuration's folder; those of ``folder`` that are
    imported from now on are noted in ``read``, also those that a running tool imports later.

    `FilesRead.take_back` brings the forgotten ones back, in the place of those that were imported since.
    """
    finders = [each for each in sys.meta_path if isinstance(each, _Finder | _LastResort)]
    forgotten = {name: module for name, module in tuple(sys.modules.items()) if _is_ours(module)}

    def undo() -> None:
        _forget([name for name, module in tuple(sys.modules.items()) if _is_ours(module)])
        _remember(forgotten)
        _install(finders)

    read.on_take_back(undo)
    _forget(forgotten)
    finder = _Finder(folder.resolve(), read)
    _install([finder, _LastResort(finder)])
    importlib.invalidate_caches()


def _forget(names: Iterable[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)


def _remember(modules: Mapping[str, ModuleType]) -> None:
    sys.modules.update(modules)
    for name, module in modules.items():
        head, _, last = name.rpartition(".")
        if (parent := sys.modules.get(head)) is not None:
            setattr(parent, last, module)


def _install(finders: Sequence[_Finder | _LastResort]) -> None:
    """Put ``finders`` into the place of those of an earlier configuration."""
    path: list[Any] = [each for each in sys.meta_path if not isinstance(each, _Finder | _LastResort)]
    for finder in finders:
        if isinstance(finder, _Finder):
            # After what is built in, before what is found along sys.path: as if the folder stood first there.
            place = path.index(PathFinder) if PathFinder in path else len(path)
            path.insert(place, finder)
        else:
            path.append(finder)
    sys.meta_path[:] = path


def _is_ours(module: ModuleType) -> bool:
    """Whether a configuration's folder is where ``module`` was found."""
    # Whatever was put into sys.modules counts there as a module, so this takes nothing for granted.
    return isinstance(getattr(getattr(module, "__spec__", None), "loader", None), _Loader)


class _Finder:
    """Finds modules in the folder, and in packages that were found there."""

    def __init__(self, folder: Path, read: FilesRead) -> None:
        self._folder = folder
        self._read = read

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of ours, or None."""
        places = self.places(name, path)
        spec = None if places is None else PathFinder.find_spec(name, places, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = _Loader(name, spec.loader.path, self._read)
        return spec

    def places(self, name: str, path: Sequence[str] | None) -> Sequence[str] | None:
        """The folders in which a module ``name`` would be ours; None when nowhere."""
        head = name.rpartition(".")[0]
        if not head:
            return [str(self._folder)]
        parent = sys.modules.get(head)
        return path if parent is not None and (_is_ours(parent) or self._is_plain_folder(parent)) else None

    def note_missing(self, name: str, places: Sequence[str]) -> None:
        """Nobody found ``name``: an operator who is told so puts it into one of ``places``."""
        last = name.rpartition(".")[2]
        for place in map(Path, places):
            self._read.note_missing(place / f"{last}.py")
            self._read.note_missing(place / last / "__init__.py")

    def _is_plain_folder(self, package: ModuleType) -> bool:
        """Whether ``package`` is a folder of ours without an ``__init__.py``."""
        if getattr(package, "__file__", None) is not None:
            return False
        places = [Path(place) for place in getattr(package, "__path__", ())]
        return bool(places) and all(place.is_relative_to(self._folder) for place in places)


class _LastResort:
    """Asked when nobody has found a module; finds none either, but notes where it was expected."""

    def __init__(self, finder: _Finder) -> None:
        self._finder = finder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        """Always None."""
        places = self._finder.places(name, path)
        if places is not None:
            self._finder.note_missing(name, places)


class _Loader(SourceFileLoader):
    """Reads a module's source, never a compiled copy of it, and notes it."""

    def __init__(self, name: str, path: str, read: FilesRead) -> None:
        super().__init__(name, path)
        self._read = read

    def path_stats(self, path: object) -> NoReturn:
        """Raises `OSError`, so that no compiled copy is read or written: a copy tells an edit of the same
        second and size from nothing."""
        raise OSError("sources of a configuration are not cached")

    def get_data(self, path: Any) -> bytes:
        """The content of ``path``."""
        if str(path) == self.path:
            return self._read.read_bytes(Path(path))
        return super().get_data(path)
