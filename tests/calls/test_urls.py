from __future__ import annotations

import pytest

from sipagent.calls.urls import as_url, check_plain_url, walks
from sipagent.errors import UserError


def test_scheme_and_host_are_written_out() -> None:
    check_plain_url("https://shop.test/hook/")
    with pytest.raises(UserError, match="before any variable"):
        check_plain_url("shop.test", before="variable")


def test_credentials_are_kept_out_of_urls() -> None:
    with pytest.raises(UserError, match="into a header"):
        check_plain_url("https://ann:secret@shop.test/")


def test_what_was_escaped_stays_so() -> None:
    assert str(as_url("https://shop.test/a%2Fb c?q=1&r=%26#x")) == "https://shop.test/a%2Fb%20c?q=1&r=%26#x"


def test_dots_alone_walk() -> None:
    assert [value for value in ("", ".", "..", "...", "a.") if walks(value)] == [".", ".."]
