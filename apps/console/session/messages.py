"""Notes for the next page ("Saved."), in a signed cookie of the console's own."""

from django.contrib.messages.storage import cookie

from apps.console.session.names import MESSAGES, cookie_name


class Storage(cookie.CookieStorage):
    @property
    def cookie_name(self) -> str:  # type: ignore[override]
        return cookie_name(MESSAGES)
