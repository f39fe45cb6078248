"""The menu of the console's pages."""

from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Name of the page's URL: its title in the menu. A page that is not there is left out.
_PAGES: tuple[tuple[str, str | Promise], ...] = (
    ("home", _("Overview")),
    ("bots", _("Bots")),
    ("orders", _("Orders")),
    ("trades", _("Trades")),
    ("portfolio", _("Portfolio")),
    ("keys", _("Keys")),
    ("alerts", _("Alerts")),
)


@dataclass(frozen=True)
class Entry:
    title: str | Promise
    url: str
    is_current: bool


def navigation(path: str) -> list[Entry]:
    return [entry for name, title in _PAGES if (entry := _entry(name, title, path))]


def _entry(name: str, title: str | Promise, path: str) -> Entry | None:
    try:
        url = reverse(name)
    except NoReverseMatch:
        return None
    is_home = url == reverse("home")
    return Entry(title, url, path == url if is_home else path == url or path.startswith(f"{url.rstrip('/')}/"))
