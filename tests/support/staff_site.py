"""The staff site in a test's own process."""

from typing import Any

from django.test import Client

from staff_site import settings as staff_settings
from tests.factories.accounts import make_user

# Without the static files' middleware: their folder exists in a deployment only.
MIDDLEWARE = [name for name in vars(staff_settings)["MIDDLEWARE"] if "whitenoise" not in name]


def serve_staff_site(settings: Any) -> None:
    """Its URLs and its middleware, for the test whose `settings` these are."""
    settings.ROOT_URLCONF = "staff_site.urls"
    settings.MIDDLEWARE = list(MIDDLEWARE)


def client_of(*roles: str) -> Client:
    """A member of staff who is logged in."""
    client = Client()
    client.force_login(make_user(roles=list(roles)))
    return client
