"""Proves the event store whole, or names the first place where it is not. `run_verifier` does it again and again."""

from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from apps.audit import checkpoints, verification
from apps.audit.verify_bundle import BundleDoesNotVerify, verify_bundle
from apps.core.arguments import port_number
from apps.core.errors import PlatformError
from apps.core.progress import counted


class Command(BaseCommand):
    help = "Recomputes every hash chain and Merkle checkpoint, and names the first divergence. Exit status 1 if any."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--archive", type=Path, metavar="FOLDER", help="where archive_events put old months")
        parser.add_argument("--witness", type=Path, metavar="FILE", help="signed checkpoints kept outside the database")
        parser.add_argument(
            "--bundle", type=Path, metavar="FILE", help="verify this exported bundle instead; no database"
        )
        parser.add_argument(
            "--every", type=float, metavar="SECONDS", help="the old way to start run_verifier, for one release more"
        )
        parser.add_argument("--metrics-port", type=port_number, help="of run_verifier, for --every")
        parser.add_argument("--metrics-address", default="127.0.0.1", help="of run_verifier, for --every")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"] is not None:
            self._run_verifier(options)
            return
        pem = settings.ENVIRONMENT.secret("audit_public_key", needed_for="checking the checkpoints' signatures")
        if options["bundle"]:
            self._verify_bundle(options["bundle"], pem.encode())
            return
        verify = partial(
            verification.verify,
            public_key=checkpoints.public_key(pem),
            archive_folder=options["archive"],
            witness=options["witness"],
        )
        console = Console(file=cast(TextIO, self.stdout), highlight=False)
        with Console(stderr=True).status("Verifying ...") as status:
            try:
                verdict = verify(progress=lambda step, done: status.update(f"Verifying {step}: {done:,} events"))
            except (PlatformError, OSError) as error:
                raise CommandError(f"The event store could not be verified: {error}") from error
        table = Table(show_header=False)
        for name, value in (
            ("events", verdict.events),
            ("aggregates (hash chains)", verdict.aggregates),
            ("sealed events", verdict.leaves),
            ("signed checkpoints", verdict.checkpoints),
            ("not sealed yet", verdict.pending),
        ):
            table.add_row(name, f"{value:,}")
        witness = verdict.witness
        if witness is not None:
            table.add_row("witness: notes compared", f"{witness.notes:,}")
            table.add_row("witness: up to sealed event", f"{witness.size:,} of {verdict.leaves:,}")
            table.add_row("witness: later checkpoints", f"{witness.lacking:,}")
        console.print(table)
        if witness is None:
            console.print("No witness was compared: name its file with --witness.")
        if verdict.is_whole:
            console.print("The event store is whole.")
            return
        for divergence in verdict.divergences:
            console.print(str(divergence), markup=False)
        raise CommandError(f"The event store is NOT whole. First divergence: {verdict.divergences[0]}", returncode=1)

    def _run_verifier(self, options: dict[str, Any]) -> None:
        self.stderr.write(
            "manage.py audit_verify --every is now called run_verifier. --every will go with the next release."
        )
        names = ("every", "archive", "witness", "metrics_port", "metrics_address")
        call_command("run_verifier", **{name: options[name] for name in names})

    def _verify_bundle(self, path: Path, key: bytes) -> None:
        try:
            with counted("Verifying") as show:
                found = verify_bundle(path, key, show)
        except (BundleDoesNotVerify, OSError) as error:
            raise CommandError(f"NOT VERIFIED: {error}", returncode=1) from None
        self.stdout.write(f"VERIFIED: {found.events} events, {found.leaves} of them sealed.")
