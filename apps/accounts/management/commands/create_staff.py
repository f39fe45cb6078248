"""Creates a staff account, or gives an existing account a role. Idempotent."""

import getpass
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.accounts.addresses import normalize_email
from apps.accounts.errors import EmailTaken, PasswordTooWeak
from apps.accounts.models import STAFF_ROLES
from apps.accounts.services.staff import staff_create
from apps.core.identity.principal import Role

PASSWORD_VARIABLE = "STAFF_PASSWORD"  # noqa: S105  (a name)


class Command(BaseCommand):
    help = (
        f"Opens an account for staff with the password in ${PASSWORD_VARIABLE}, or asked for at the prompt; not on the "
        "command line, where everybody on the machine can read it. An existing account gets the role and the password."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--role", required=True, choices=sorted(STAFF_ROLES))
        parser.add_argument("--name", default="", help="shown on the staff site")

    def handle(self, *, email: str, role: str, name: str, **_: Any) -> None:
        try:
            user, is_new = staff_create(
                email=normalize_email(email), password=_password(), role=Role(role), name=name, now=timezone.now()
            )
        except (ValueError, EmailTaken, PasswordTooWeak) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{user.email} {'is new' if is_new else 'was there already'}, with {', '.join(user.roles)}.")


def _password() -> str:
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    if not sys.stdin.isatty():
        raise CommandError(f"Set {PASSWORD_VARIABLE} to the password, or run this at a terminal to be asked for it.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("The two passwords differ. Nothing was changed.")
    return password
