"""Mails lead to pages of the console."""

import pytest
from django.urls import resolve

from apps.accounts.mail_templates import PAGES, TEMPLATES
from apps.accounts.models import OutgoingMail


@pytest.mark.parametrize("kind", PAGES, ids=str)
@pytest.mark.urls("web_console.urls")
def test_the_link_of_a_mail_is_a_page_of_the_console(kind: OutgoingMail.Kind) -> None:
    assert resolve(f"/app/{PAGES[kind]}").url_name


def test_every_mail_with_a_code_has_a_link_to_its_page() -> None:
    with_code = {kind for kind, (_, body) in TEMPLATES.items() if "{token}" in body}

    assert with_code == {kind for kind, (_, body) in TEMPLATES.items() if "{link}" in body} == PAGES.keys()
