from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from sipagent.calls.tools.program_words import LONGEST_LINE, ProgramWords
from tests.support.eventually import eventually


async def run(words: ProgramWords, program: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=words.file)
    words.handed_over()
    await process.wait()


async def test_the_last_line_is_kept_and_all_go_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sipagent"), ProgramWords("shop") as words:
        await run(words, "import sys; sys.stderr.write('one\\n\\ntwo \\n'); sys.stderr.write('three')")
        await eventually(lambda: words.last == "two")
    assert words.last == "three", "a line that was never ended counts when there is no more"
    assert [record.message for record in caplog.records if "says" in record.message] == [
        "shop says: one",
        "shop says: two",
        "shop says: three",
    ]


async def test_what_is_no_text_or_too_much_of_it_does_no_harm() -> None:
    with ProgramWords("shop") as words:
        await run(words, "import sys; sys.stderr.buffer.write(b'\\xff' + b'x' * 1_000_000 + b'\\n')")
    assert words.last.startswith(("x", "\N{REPLACEMENT CHARACTER}"))
    assert len(words.last) < LONGEST_LINE + 100


async def test_a_program_that_goes_on_is_not_waited_for() -> None:
    with ProgramWords("shop") as words:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import time; time.sleep(60)", stderr=words.file
        )
    assert words.last == ""
    process.kill()
    await process.wait()
