"""Modules of a configuration's folder, imported again and again while they change."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sipagent.config.files import FilesRead
from sipagent.config.modules import import_anew


@pytest.fixture(autouse=True)
def own_imports(tmp_path: Path) -> Iterator[None]:
    """Whatever a test imports is forgotten after it."""
    modules, finders, path = dict(sys.modules), list(sys.meta_path), list(sys.path)
    sys.path.insert(0, str(tmp_path))
    yield
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    sys.meta_path[:], sys.path[:] = finders, path


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def anew(folder: Path, *names: str) -> tuple[FilesRead, list[Any]]:
    read = FilesRead(folder)
    import_anew(folder, read)
    return read, [importlib.import_module(name) for name in names]


def test_an_edit_of_the_same_size_and_moment_counts(tmp_path: Path) -> None:
    for price in range(5):
        write(tmp_path, "shop.py", f"PRICE = {price}\n")
        _, (shop,) = anew(tmp_path, "shop")
        assert price == shop.PRICE
    assert not (tmp_path / "__pycache__").exists()


def test_what_a_module_imports_from_the_folder_is_new_as_well(tmp_path: Path) -> None:
    write(tmp_path, "shop/__init__.py", "from shop import prices\nfrom .goods import GOODS\n")
    write(tmp_path, "shop/prices.py", "PRICE = 1\n")
    write(tmp_path, "shop/goods.py", "import helper\nGOODS = helper.NAME\n")
    write(tmp_path, "helper.py", "NAME = 'floss'\n")
    read, (shop,) = anew(tmp_path, "shop")
    assert (shop.prices.PRICE, shop.GOODS) == (1, "floss")
    assert {path.relative_to(tmp_path).as_posix() for path in read.paths} == {
        "shop/__init__.py", "shop/prices.py", "shop/goods.py", "helper.py",
    }  # fmt: skip
    write(tmp_path, "helper.py", "NAME = 'brush'\n")
    write(tmp_path, "shop/prices.py", "PRICE = 2\n")
    again, (newer,) = anew(tmp_path, "shop")
    assert (newer.prices.PRICE, newer.GOODS) == (2, "brush")
    assert (shop.prices.PRICE, shop.GOODS) == (1, "floss"), "a call in progress keeps what it has"
    assert again.fingerprint != read.fingerprint


def test_a_folder_without_an_init_file_is_read_again_too(tmp_path: Path) -> None:
    write(tmp_path, "plain/tools.py", "PRICE = 1\n")
    read, _ = anew(tmp_path, "plain.tools")
    assert [path.name for path in read.paths] == ["tools.py"]
    write(tmp_path, "plain/tools.py", "PRICE = 2\n")
    _, (tools,) = anew(tmp_path, "plain.tools")
    assert tools.PRICE == 2


def test_modules_from_elsewhere_stay_what_they_are(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", "import json, sipagent.errors\nfrom email import charset\n")
    before = (sys.modules["json"], sys.modules["sipagent.errors"])
    read, (shop,) = anew(tmp_path, "shop")
    assert (shop.json, shop.sipagent.errors) == before
    assert [path.name for path in read.paths] == ["shop.py"]


def test_packages_that_were_there_before_keep_their_modules_even_in_this_folder(tmp_path: Path) -> None:
    write(tmp_path, "product/__init__.py", "")
    write(tmp_path, "product/late.py", "")
    product = importlib.import_module("product")  # as when the service itself lies in the folder
    read, _ = anew(tmp_path, "product.late")
    late = sys.modules["product.late"]
    anew(tmp_path)
    assert sys.modules["product"] is product
    assert sys.modules["product.late"] is late
    assert read.paths == ()


def test_taking_back_brings_the_old_modules_back(tmp_path: Path) -> None:
    write(tmp_path, "shop/__init__.py", "PRICE = 1\n")
    write(tmp_path, "shop/deep.py", "PRICE = 1\n")
    write(tmp_path, "bare/tools.py", "PRICE = 1\n")
    _, (shop, deep, tools) = anew(tmp_path, "shop", "shop.deep", "bare.tools")
    for name in ("shop/__init__.py", "shop/deep.py", "bare/tools.py", "extra.py"):
        write(tmp_path, name, "PRICE = 2\n")
    read, _ = anew(tmp_path, "shop", "shop.deep", "bare.tools", "extra")
    read.take_back()
    assert (sys.modules["shop"], sys.modules["shop.deep"], sys.modules["bare.tools"]) == (shop, deep, tools)
    assert sys.modules["bare"].tools is tools
    assert "extra" not in sys.modules
    assert importlib.import_module("extra").PRICE == 2


def test_a_module_that_a_running_tool_imports_is_noted_and_forgotten_as_well(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", "def price():\n    import prices\n    return prices.PRICE\n")
    write(tmp_path, "prices.py", "PRICE = 1\n")
    read, (shop,) = anew(tmp_path, "shop")
    assert shop.price() == 1
    assert {path.name for path in read.paths} == {"shop.py", "prices.py"}
    write(tmp_path, "prices.py", "PRICE = 2\n")
    _, (newer,) = anew(tmp_path, "shop")
    assert newer.price() == 2


@pytest.mark.parametrize("missing", ["nowhere", "shop.nowhere", "bare.nowhere"])
def test_where_a_missing_module_was_looked_for_is_known(tmp_path: Path, missing: str) -> None:
    write(tmp_path, "shop/__init__.py", "")
    write(tmp_path, "bare/tools.py", "")
    read = FilesRead(tmp_path)
    import_anew(tmp_path, read)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(missing)
    assert not read.changed(with_missing=True)
    write(tmp_path, f"{missing.replace('.', '/')}.py", "")
    assert read.changed(with_missing=True)
    assert importlib.import_module(missing).__name__ == missing


def test_a_broken_helper_is_known_to_have_been_read(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", "import helper\n")
    write(tmp_path, "helper.py", "def broken(:\n")
    read = FilesRead(tmp_path)
    import_anew(tmp_path, read)
    with pytest.raises(SyntaxError):
        importlib.import_module("shop")
    assert {path.name for path in read.paths} == {"shop.py", "helper.py"}


def test_another_folder_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, "shop.py", f"NAME = {name!r}\n")
    _, (one,) = anew(tmp_path / "one", "shop")
    _, (two,) = anew(tmp_path / "two", "shop")
    assert (one.NAME, two.NAME) == ("one", "two")
    ours = [finder for finder in sys.meta_path if type(finder).__module__ == import_anew.__module__]
    assert len(ours) == 2


def test_a_folder_that_is_also_the_name_of_a_library_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    (tmp_path / "wave").mkdir()  # a module of the standard library that nothing here has imported
    sys.modules.pop("wave", None)
    _, (json, wave) = anew(tmp_path, "json", "wave")
    assert isinstance(json, ModuleType)
    assert json.__file__ is not None
    assert wave.__file__ is not None


def test_data_beside_a_module_is_no_module(tmp_path: Path) -> None:
    write(tmp_path, "shop/__init__.py", "import pkgutil\nDATA = pkgutil.get_data('shop', 'list.txt')\n")
    write(tmp_path, "shop/list.txt", "floss\n")
    read, (shop,) = anew(tmp_path, "shop")
    assert shop.DATA == b"floss\n"
    assert [path.name for path in read.paths] == ["__init__.py"]
