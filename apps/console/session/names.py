"""Names of the console's cookies. Other pages of this host, such as the staff site's, have names of their own."""

from django.conf import settings

SESSION, CSRF, DEVICE, MESSAGES, LANGUAGE = (
    "console",
    "console_form",
    "console_device",
    "console_note",
    "console_language",
)
DAY_SECONDS = 24 * 3600


def cookie_name(name: str, *, is_secure: bool | None = None) -> str:
    """With TLS the names have the prefix `__Host-`: no other host and no plain page can set such a cookie."""
    return f"__Host-{name}" if (settings.SESSION_COOKIE_SECURE if is_secure is None else is_secure) else name


def cookie_settings(*, is_secure: bool) -> dict[str, object]:
    """Django's settings for its own cookies of the console."""
    return {
        "SESSION_COOKIE_NAME": cookie_name(SESSION, is_secure=is_secure),
        "CSRF_COOKIE_NAME": cookie_name(CSRF, is_secure=is_secure),
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "LANGUAGE_COOKIE_NAME": cookie_name(LANGUAGE, is_secure=is_secure),
        "LANGUAGE_COOKIE_AGE": 365 * DAY_SECONDS,
    }
