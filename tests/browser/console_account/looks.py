"""What every page of the console must look like: accessible, no wider than the screen, in one language."""

import gettext
import os
from functools import cache
from pathlib import Path

from playwright.sync_api import Page, expect

from dev.base.profile import ROOT
from tests.browser.watch import DESKTOP, PHONE, WatchedPage

CATALOGUE = ROOT / "apps/console/locale/de/LC_MESSAGES/django.mo"
# The same in both languages
NEUTRAL = frozenset({"Muckard", "·", "–", "UTC"})
_TEXTS = """() => {
  const seen = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, text = node.textContent.trim().replace(/\\s+/g, ' ');
    if (text && !node.parentElement.closest('script, noscript, datalist, option, code, time, .code, .secret')) {
      seen.push(text);
    }
  }
  return seen;
}"""


def assert_looks_right(watched: WatchedPage, name: str) -> None:
    """At both widths. With SCREENSHOTS a picture of each is kept in that folder."""
    for width in (DESKTOP, PHONE):
        watched.page.set_viewport_size(width)
        _picture(watched.page, f"{name}-{width['width']}")
        watched.assert_fits()
        watched.assert_accessible()
    watched.page.set_viewport_size(DESKTOP)


def assert_speaks_german(watched: WatchedPage, name: str, *own: str) -> None:
    """By the switch of the page. `own`: what stands there as the trader wrote it."""
    english = set(watched.page.evaluate(_TEXTS))
    watched.page.get_by_role("button", name="Deutsch").click()
    expect(watched.page.locator("html")).to_have_attribute("lang", "de")
    german = set(watched.page.evaluate(_TEXTS))
    assert "Deutsch" not in german
    left = {
        text
        for text in english & german
        if any(map(str.isalpha, text)) and text not in NEUTRAL | set(own) and _translation(text) != text
    }
    assert not left, (name, left)
    watched.page.set_viewport_size(PHONE)
    _picture(watched.page, f"{name}-de")
    watched.assert_fits()


@cache
def _catalogue() -> gettext.GNUTranslations:
    with CATALOGUE.open("rb") as file:
        return gettext.GNUTranslations(file)


def _translation(text: str) -> str | None:
    """None where the catalogue does not know the text."""
    known: dict[str, str] = _catalogue()._catalog  # type: ignore[attr-defined]
    return known.get(text)


def _picture(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
