"""E-mail addresses have one normal form."""

import pytest

from apps.accounts.addresses import normalize_email


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Lovelace+Bot@EXAMPLE.com\n", "ada.lovelace+bot@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@faß.example", "ada@xn--fa-hia.example"),
        ("ada@ＥＸＡＭＰＬＥ.com", "ada@example.com"),
    ],
)
def test_equal_addresses_are_stored_alike(text: str, stored: str) -> None:
    assert normalize_email(text) == stored
    assert normalize_email(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a b@example.com",
        "ada@exa mple.com",
        "адa@example.com",
        "a@" + "x" * 70 + ".com",
        "x" * 250 + "@example.com",
        "ada@example..com",
        "ada@example.com\nbcc: eve@example.com",
        "a@-\udcff.com",
        "ada@💩.example",
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        "a@127.0.0.1",
        "ada@exam_ple.com",
        "ada@xn--zzzzzz-.example",
        "ada@exa\u202empl.com",
        "a\u202eda@example.com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid e-mail address"):
        normalize_email(text)


def test_a_sharp_s_is_no_double_s() -> None:
    assert normalize_email("x@faß.example") != normalize_email("x@fass.example")


def test_a_domain_that_only_looks_alike_differs() -> None:
    assert normalize_email("ada@exаmple.com") != normalize_email("ada@example.com")
