"""What is known of the files that a configuration was made of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipagent.config.files import FilesRead, parts_of, stamp_of


def read_all(folder: Path, *names: str) -> FilesRead:
    read = FilesRead(folder)
    for name in names:
        read.read_text(folder / name)
    return read


def two_files(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.yaml").write_text("version: 1\n")
    (folder / "prompt.md").write_text("Be kind.")
    return folder


def test_the_same_files_have_the_same_fingerprint_wherever_they_lie(tmp_path: Path) -> None:
    here, there = two_files(tmp_path / "here"), two_files(tmp_path / "there")
    one = read_all(here, "a.yaml", "prompt.md").fingerprint
    assert read_all(there, "prompt.md", "a.yaml").fingerprint == one
    (there / "prompt.md").write_text("Be brief.")
    assert read_all(there, "a.yaml", "prompt.md").fingerprint != one
    assert read_all(here, "a.yaml").fingerprint != one


def test_contents_that_change_places_change_the_fingerprint(tmp_path: Path) -> None:
    here, there = two_files(tmp_path / "here"), two_files(tmp_path / "there")
    (there / "a.yaml").write_text("Be kind.")
    (there / "prompt.md").write_text("version: 1\n")
    names = ("a.yaml", "prompt.md")
    assert read_all(here, *names).fingerprint != read_all(there, *names).fingerprint


def test_a_secret_is_watched_and_compared_but_never_shown_or_named(tmp_path: Path) -> None:
    folder = two_files(tmp_path / "here")
    (folder / "key").write_text("first")
    without = read_all(folder, "a.yaml")

    def with_key() -> FilesRead:
        read = read_all(folder, "a.yaml")
        assert read.read_secret(folder / "key") == (folder / "key").read_text()
        return read

    first = with_key()
    assert first.fingerprint == without.fingerprint
    assert "first" not in first.text
    (folder / "key").write_text("second")
    assert first.changed(with_missing=False)
    assert with_key().fingerprint == first.fingerprint
    assert not with_key().same_as(first)
    assert with_key().same_as(with_key())


def test_the_text_holds_every_file_under_its_name(tmp_path: Path) -> None:
    folder = two_files(tmp_path / "here")
    outside = tmp_path / "outside.md"
    outside.write_text("Elsewhere.\n")
    read = read_all(folder, "a.yaml", "prompt.md")
    read.read_text(outside)
    name = outside.as_posix()
    assert (
        read.text
        == f"version: 1\n\n# prompt.md, 8 characters\nBe kind.\n\n# {name}, 11 characters\nElsewhere.\n"
    )
    assert parts_of(read.text) == {"": "version: 1\n", "prompt.md": "Be kind.", name: "Elsewhere.\n"}
    assert read.paths == (folder / "a.yaml", folder / "prompt.md", outside)


@pytest.mark.parametrize(
    "text",
    ["version: 1\n\n# prompt.md, 80 characters\nBe kind.\n", "version: 1\n\n# a, 2 characters\nBe kind.\n"],
)
def test_a_text_that_is_not_whole_has_no_parts(text: str) -> None:
    assert parts_of(text) is None


def test_a_text_of_one_file_is_one_part() -> None:
    assert parts_of("version: 1\n") == {"": "version: 1\n"}


def test_a_file_that_is_missing_is_watched_all_the_same(tmp_path: Path) -> None:
    read = FilesRead(tmp_path)
    with pytest.raises(FileNotFoundError):
        read.read_text(tmp_path / "prompt.md")
    assert not read.changed(with_missing=False)
    (tmp_path / "prompt.md").write_text("Now.")
    assert read.changed(with_missing=False)


def test_what_was_looked_for_counts_only_when_asked(tmp_path: Path) -> None:
    read = FilesRead(tmp_path)
    read.note_missing(tmp_path / "shop.py")
    assert not read.changed(with_missing=True)
    (tmp_path / "shop.py").touch()
    assert read.changed(with_missing=True)
    assert not read.changed(with_missing=False)


@pytest.mark.parametrize("way", ["written", "replaced", "removed", "resized in the same moment"])
def test_every_way_of_changing_a_file_is_seen(tmp_path: Path, way: str) -> None:
    folder = two_files(tmp_path / "here")
    file, read = folder / "a.yaml", read_all(folder, "a.yaml", "prompt.md")
    before = file.stat()
    if way == "written":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    elif way == "replaced":
        other = folder / "a.yaml.new"
        other.write_bytes(file.read_bytes())
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.rename(file)
    elif way == "removed":
        file.unlink()
    else:
        file.write_text("version: 1\n\n")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read.changed(with_missing=False)


def test_a_file_that_was_touched_reads_the_same(tmp_path: Path) -> None:
    folder = two_files(tmp_path / "here")
    earlier = read_all(folder, "a.yaml", "prompt.md")
    os.utime(folder / "a.yaml", ns=(1, 1))
    assert earlier.changed(with_missing=False)
    assert read_all(folder, "a.yaml", "prompt.md").same_as(earlier)
    assert not read_all(folder, "a.yaml", "prompt.md").same_as(read_all(folder, "a.yaml"))


def test_a_file_that_only_the_earlier_one_knew_is_looked_at(tmp_path: Path) -> None:
    folder = two_files(tmp_path / "here")
    earlier = read_all(folder, "a.yaml", "prompt.md")
    assert read_all(folder, "a.yaml").same_as(earlier)
    (folder / "prompt.md").write_text("Be brief.")
    assert not read_all(folder, "a.yaml").same_as(earlier)
    (folder / "prompt.md").unlink()
    assert not read_all(folder, "a.yaml").same_as(earlier)


def test_taking_back_is_done_once_and_in_reverse(tmp_path: Path) -> None:
    read, done = FilesRead(tmp_path), list[str]()
    read.on_take_back(lambda: done.append("first"))
    read.on_take_back(lambda: done.append("second"))
    read.take_back()
    read.take_back()
    assert done == ["second", "first"]
    read.on_take_back(lambda: done.append("kept"))
    read.keep()
    read.take_back()
    assert done == ["second", "first"]


def test_no_file_has_no_stamp(tmp_path: Path) -> None:
    assert stamp_of(tmp_path / "nothing") is None
    assert stamp_of(Path("nul\0byte")) is None
