"""Rotates the key that signs user tokens, a step at each call. Idempotent, and safe beside another call."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.accounts.services.signing_keys import signing_key_end, signing_key_list, signing_key_rotate
from apps.core.errors import PlatformError


class Command(BaseCommand):
    help = (
        "Takes the next step of a rotation if it is due: publishes a new key; ten minutes later signs with it. The key "
        "before it verifies until its last token has expired. No user is logged out. Run with SERVICE=user."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--status", action="store_true", help="shows the keys and changes nothing")
        choice.add_argument(
            "--again", action="store_true", help="begins a rotation while the last one still retires a key"
        )
        choice.add_argument(
            "--compromised",
            metavar="KID",
            help="ends this key at once; users with tokens of it have to log in again",
        )

    def handle(self, *, status: bool, again: bool, compromised: str | None, **_: Any) -> None:
        if not status:
            self._step(again=again, compromised=compromised)
        for key in signing_key_list():
            until = f", until {key.ends_at:%Y-%m-%d %H:%M:%S} UTC" if key.ends_at else ""
            self.stdout.write(f"{key.kid}  {key.state}{until}")

    def _step(self, *, again: bool, compromised: str | None) -> None:
        now = timezone.now()
        try:
            step = (
                signing_key_end(kid=compromised, now=now) if compromised else signing_key_rotate(now=now, again=again)
            )
        except PlatformError as error:
            raise CommandError(error.message) from None
        later = f" Next step: {step.next_at:%Y-%m-%d %H:%M:%S} UTC." if step.next_at else ""
        self.stdout.write(step.did + later)
