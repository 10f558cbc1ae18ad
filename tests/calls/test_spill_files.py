from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sipagent.calls.spill_files import PAGE_BYTES, Home, Segment


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.create(tmp_path / "spill", "one")
    yield home
    home.release()


@pytest.fixture
def segment(home: Home) -> Iterator[Segment]:
    segment = Segment(home.next_segment(), home)
    yield segment
    segment.close()


def test_a_folder_is_its_processs_own_until_it_lets_go(home: Home) -> None:
    assert Home.claim(home.path) is None
    home.release()
    claimed = Home.claim(home.path)
    assert claimed is not None
    assert Home.claim(home.path) is None
    claimed.remove()
    assert not claimed.path.exists()


def test_two_of_one_name_are_two(home: Home) -> None:
    other = Home.create(home.path.parent, "one")
    assert other.path != home.path
    other.remove()


def test_what_a_process_made_that_died_before_it_locked_is_removed(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    assert Home.claim(tmp_path / "half") is None
    assert not (tmp_path / "half").exists()


def test_a_folder_that_was_taken_over_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_stat = os.stat
    taken: list[Path] = []

    def somebody_was_faster(path: Path, **_: object) -> os.stat_result:
        if not taken and Path(path).name == "lock":
            taken.append(path)
            Path(path).unlink()
            Path(path).parent.rmdir()
        return real_stat(path)

    monkeypatch.setattr("sipagent.calls.spill_files.os.stat", somebody_was_faster)
    home = Home.create(tmp_path, "one")
    assert taken
    assert home.path.is_dir()
    assert Home.claim(home.path) is None
    home.release()


def test_nobody_else_reads_what_is_in_there(segment: Segment) -> None:
    segment.append(b"x\n")
    assert segment.path.stat().st_mode & 0o777 == 0o600
    assert segment.home.path.stat().st_mode & 0o777 == 0o700


def test_lines_come_back_in_order_and_only_once_they_were_taken_in_are_others_read(segment: Segment) -> None:
    segment.append(b"one\ntwo\n")
    segment.append(b"three\n")
    lines, end = segment.read(2)
    assert lines == [b"one\n", b"two\n"]
    assert segment.read(2)[0] == lines
    segment.taken_in = end
    assert segment.read(2) == ([b"three\n"], segment.size)
    assert segment.waiting_bytes == 6


def test_a_page_is_bounded_in_bytes(segment: Segment) -> None:
    for _ in range(3):
        segment.append(b"x" * (PAGE_BYTES // 2) + b"\n")
    assert len(segment.read(10)[0]) == 2


def test_lines_that_do_not_fit_leave_nothing_behind(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment.append(b"one\n")
    real_write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, data[:2])

    with monkeypatch.context() as patched:
        patched.setattr("sipagent.calls.spill_files.os.write", full)
        with pytest.raises(OSError, match="No space"):
            segment.append(b"two\n")
    assert not segment.torn
    segment.append(b"three\n")
    assert segment.path.read_bytes() == b"one\nthree\n"


def test_a_half_line_at_the_end_is_cut_off(segment: Segment) -> None:
    segment.append(b"one\ntwo\n" + b"x" * 200_000)
    segment.close()
    found, halved = Segment.left_over(segment.path, segment.home)
    assert halved
    assert found.size == 8
    assert found.read(10)[0] == [b"one\n", b"two\n"]
    found, halved = Segment.left_over(segment.path, segment.home)
    assert not halved


def test_a_file_that_somebody_cut_ends_there(segment: Segment) -> None:
    segment.append(b"one\ntwo\n")
    os.truncate(segment.path, 4)
    lines, end = segment.read(10)
    assert lines == [b"one\n"]
    assert segment.size == end == 4


def test_thinning_out_keeps_what_is_wanted_of_what_is_left(segment: Segment) -> None:
    segment.append(b"a1\nb1\na2\nb2\n")
    segment.taken_in = 3
    assert segment.thin_out(lambda line: line.startswith(b"b")) == 1
    assert segment.read(10)[0] == [b"b1\n", b"b2\n"]
    assert segment.slim
    assert segment.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in segment.home.path.iterdir()) == ["00000001.jsonl", "lock"]


def test_segments_are_found_in_order_and_new_ones_come_after(home: Home) -> None:
    for _ in range(3):
        Segment(home.next_segment(), home).path.write_text("x\n")
    (home.path / "notes.jsonl").write_text("x\n")
    home.release()
    claimed = Home.claim(home.path)
    assert claimed is not None
    assert [path.name for path in claimed.segments()] == [f"0000000{n}.jsonl" for n in (1, 2, 3)]
    assert claimed.next_segment().name == "00000004.jsonl"
    claimed.release()
