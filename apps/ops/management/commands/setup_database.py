"""Makes or updates the database: schemas, roles, tables, grants, partitions. Harmless to run twice, and at once."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.ops import database


class Command(BaseCommand):
    help = "Makes or updates schemas, roles, tables, grants and partitions. Run with MUCKARD_DB_ROLE=owner."

    def handle(self, *args: Any, **options: Any) -> None:
        with database.alone(self.stdout.write):
            database.ensure_schemas_and_roles()
            call_command("migrate", interactive=False, verbosity=options["verbosity"])
            database.apply_grants()
            database.ensure_partitions()
        self.stdout.write("The database is up to date.")
