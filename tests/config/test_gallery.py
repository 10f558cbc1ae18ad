from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.config.gallery import GALLERY, broken_files, said_about

LINE = re.compile(r"[\w./-]+\.(yaml|md):[0-9]+:[0-9]+: [A-Z`'\"+0-9{].*[.?:)}>\"`]")


@pytest.mark.parametrize("file", broken_files(), ids=lambda file: file.stem)
def test_what_is_said_about_a_mistake(file: Path) -> None:
    expected = file.with_suffix(".txt").read_text(encoding="utf-8")
    said = said_about(file)
    assert said == expected
    assert said, "nothing is wrong with it"
    for line in said.splitlines():
        assert LINE.fullmatch(line), line
        assert len(line) < 400, line


def test_the_gallery_is_large_and_complete() -> None:
    assert len(broken_files()) >= 40
    texts = {file.stem for file in GALLERY.glob("*.txt")}
    assert texts == {file.stem for file in broken_files()}
