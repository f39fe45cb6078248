"""Replays events: to the terminal, to a file of JSON lines, or into a projection that is rebuilt from scratch."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from apps.audit.files import open_private_text
from apps.audit.filters import EventFilter, add_arguments, filter_of
from apps.audit.replay import sources
from apps.audit.replay.completeness import missing_in_kafka
from apps.audit.replay.rebuild import Rebuild
from apps.audit.replay.run import replay
from apps.audit.replay.targets import JsonLines, Lines, Target
from apps.core.arguments import positive_number
from apps.core.errors import PlatformError
from apps.core.operator import add_operator
from apps.events.consumers.projections import all_projections, projection
from apps.messages.envelope import Envelope


class Command(BaseCommand):
    help = "Replays events from Kafka (90 days), or from the event store and archives (all of them)."

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)
        add_operator(parser)
        source_help = "auto: Kafka where its counts say that it has all that fits, else the event store"
        parser.add_argument("--source", choices=["auto", "kafka", "store"], default="auto", help=source_help)
        parser.add_argument("--archive", type=Path, metavar="FOLDER", help="where archive_events put old months")
        parser.add_argument("--jsonl", type=Path, metavar="FILE", help="write JSON lines; - for standard output")
        parser.add_argument("--into", metavar="PROJECTION", help="rebuild this projection from nothing")
        parser.add_argument("--rate", type=positive_number, metavar="N", help="at most N events a second")
        parser.add_argument("--dry-run", action="store_true", help="count what would be replayed, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._replay(options)
        except PlatformError as error:
            raise CommandError(error.message) from error

    def _replay(self, options: dict[str, Any]) -> None:
        filters = filter_of(options)
        rebuild = _rebuild(options["into"])
        if rebuild is not None and filters != EventFilter():
            raise CommandError("--into rebuilds from nothing, so it takes all events: leave the filters out.")
        wanted = rebuild.filters if rebuild else filters
        source, why = _source(options, wanted)
        envelopes = _envelopes(source, wanted, options["archive"])
        if rebuild is not None:
            envelopes = rebuild.only_handled(envelopes)
        if options["dry_run"]:
            count = sum(1 for _ in envelopes)
            self.stdout.write(f"{count} events would be replayed from {source}{why}. Nothing was done.")
            return
        with ExitStack() as stack:
            target = rebuild or self._target(options, stack)
            progress = _progress_bar(stack) if not isinstance(target, Lines) else lambda _events: None
            replayed = replay(
                envelopes,
                target=target,
                source=source,
                filters=filters,
                operator=options["operator"],
                events_per_second=options["rate"],
                clock=timezone.now,
                progress=progress,
            )
        rows = f" {rebuild.differed} rows of the read model changed." if rebuild else ""
        self.stderr.write(f"Replayed {replayed.events} events from {source}{why}.{rows} Replay {replayed.replay_id}.")

    def _target(self, options: dict[str, Any], stack: ExitStack) -> Target:
        if options["jsonl"] is None:
            return Lines(self.stdout.write)
        if str(options["jsonl"]) == "-":
            return JsonLines(lambda: cast(TextIO, self.stdout._out))  # the wrapper would add a second end to each line
        return JsonLines(lambda: stack.enter_context(open_private_text(options["jsonl"])))


def _rebuild(name: str | None) -> Rebuild | None:
    if name is None:
        return None
    found = projection(name)
    if found is None:
        known = ", ".join(sorted(item.name for item in all_projections())) or "none"
        raise CommandError(f"There is no projection {name!r}. Known: {known}.")
    return Rebuild(found)


def _source(options: dict[str, Any], wanted: EventFilter) -> tuple[str, str]:
    """The source, and the reason for the choice, to be printed behind it."""
    source, into = options["source"], options["into"]
    if source == "store" or (source == "auto" and into):
        return "store", ""
    lacking = missing_in_kafka(wanted)
    if not lacking:
        return "kafka", " (it has all that fits)"
    if source == "kafka" and into:
        raise CommandError(f"--into takes all events, and Kafka may lack some: {lacking}. Leave --source out.")
    return ("kafka" if source == "kafka" else "store"), f" ({lacking})"


def _envelopes(source: str, filters: EventFilter, archive_folder: Path | None) -> Generator[Envelope, None, None]:
    if source == "kafka":
        return sources.from_kafka(filters)
    return sources.from_store(filters, archive_folder=archive_folder)


def _progress_bar(stack: ExitStack) -> Callable[[int], None]:
    columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("events"), TimeElapsedColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task("replay", total=None)
    return lambda events: bar.update(task, completed=events)
