from __future__ import annotations

import pytest

from sipagent.config.values import (
    BadValueError,
    parse_azure_resource,
    parse_base_url,
    parse_duration_s,
    parse_reference,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("1.5m", 90.0), ("2h", 7200.0), (" 3 s ", 3.0)],
)
def test_a_duration_has_a_unit(written: str, seconds: float) -> None:
    assert parse_duration_s(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (10, "Write 10s"),
        (2.5, "Write 2.5s"),
        ("10", "500ms"),
        ("0s", "above zero"),
        (True, "500ms"),
        ("-1s", "500ms"),
    ],
)
def test_a_duration_without_a_unit_says_what_to_write(written: object, remedy: str) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_duration_s(written)
    assert remedy in caught.value.remedy


def test_a_reference_names_a_module_and_a_function() -> None:
    reference = parse_reference("harbor_dental.tools:Desk.next_free_slot")
    assert (reference.module, reference.function) == ("harbor_dental.tools", "Desk.next_free_slot")
    assert str(reference) == "harbor_dental.tools:Desk.next_free_slot"


@pytest.mark.parametrize(
    "written", ["tools", "tools:", ":f", "a.b.c", "a-b:c", "a:b:c", "a:b()", None, "1a:b"]
)
def test_what_is_no_reference(written: object) -> None:
    with pytest.raises(BadValueError, match="does not name a Python function"):
        parse_reference(written)


@pytest.mark.parametrize(
    ("written", "base_url"),
    [
        ("https://eu.api.openai.com/v1/", "https://eu.api.openai.com/v1"),
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("https://harbor.openai.azure.com", "https://harbor.openai.azure.com/openai/v1"),
    ],
)
def test_a_base_url_is_ready_for_use(written: str, base_url: str) -> None:
    assert parse_base_url(written) == base_url


@pytest.mark.parametrize("written", ["api.openai.com", "ftp://x", "wss://x/v1", "https://", "https://x:y", 3])
def test_a_base_url_that_is_none_says_how(written: object) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_base_url(written)
    assert "https://api.openai.com/v1" in caught.value.remedy


@pytest.mark.parametrize("written", ["harbor", "https://harbor.openai.azure.com/"])
def test_a_resource_of_azure_by_name_or_endpoint(written: str) -> None:
    assert parse_azure_resource(written) == "https://harbor.openai.azure.com/openai/v1"


@pytest.mark.parametrize("written", ["", "harbor.openai.azure.com", "wss://x", "https://", "a b", 3])
def test_what_is_no_resource_says_how(written: object) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_azure_resource(written)
    assert "https://NAME.openai.azure.com" in caught.value.remedy
