"""Makes a platform ready for its processes, in containers: brokers, database, market, first account of the staff site.

Harmless to run twice, and at once."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.accounts.addresses import normalize_email
from apps.accounts.models import User
from apps.accounts.services.staff import staff_create
from apps.core.identity.principal import Role


class Command(BaseCommand):
    help = (
        "Declares topics and queues, then makes or updates the database, starts a market again that has ended, and "
        "opens the account MUCKARD_ADMIN_EMAIL for the staff site if there is none. Run with MUCKARD_DB_ROLE=owner."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        # First: what brokers refuse ends the set-up while the database is still as the running processes know it.
        call_command("declare_topology", stdout=self.stdout)
        call_command("setup_database", verbosity=options["verbosity"], stdout=self.stdout)
        call_command("restart_market", "--if-ended", stdout=self.stdout)
        self._open_admin_account()

    def _open_admin_account(self) -> None:
        """Once: a password or role that was changed since is not changed back."""
        env = settings.ENVIRONMENT
        email = normalize_email(env.admin_email)
        if User.objects.filter(email=email).exists():
            self.stdout.write(f"{email} has an account.")
            return
        password = env.secret("admin_password", needed_for="the first account of the staff site")
        staff_create(email=email, password=password, role=Role.ADMIN, name="Administrator", now=timezone.now())
        self.stdout.write(f"{email} may log in to the staff site, with the secret muckard_admin_password.")
