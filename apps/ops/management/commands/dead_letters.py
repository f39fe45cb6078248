"""Dead letters of RabbitMQ's queues and of the consumer groups: look, send again, or throw away."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.core.arguments import positive_integer, positive_number
from apps.core.errors import PlatformError
from apps.core.operator import add_operator
from apps.events.commands.dead_letters import queue
from apps.events.consumers.dead_letters import DeadLetter, Filters, Source, store

HALVES: tuple[Source, ...] = (queue, store)


class Command(BaseCommand):
    help = (
        "Lists, shows, redrives or purges dead letters. Sources are consumer:<group> for events that a consumer group "
        "could not handle, and <queue>.dlq for messages that have used up their attempts."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="how many lie where; with a source, each of them")
        listing.add_argument("source", nargs="?")
        _add_filters(listing)
        show = actions.add_parser("show", help="one letter, whole")
        show.add_argument("source")
        show.add_argument("letter_id")
        redrive = actions.add_parser("redrive", help="handle or send again, oldest first")
        redrive.add_argument("source")
        redrive.add_argument("--rate", type=positive_number, metavar="N", help="at most N letters a second")
        purge = actions.add_parser("purge", help="decide that these are never handled")
        purge.add_argument("source")
        purge.add_argument("--yes", action="store_true", help="do not ask")
        for each in (redrive, purge):
            _add_filters(each)
            each.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
            add_operator(each)

    def handle(self, *, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(options)
        except PlatformError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        if options["source"] is None:
            for half in HALVES:
                for source in half.sources():
                    self.stdout.write(f"{half.count(source):>7}  {source}")
            return
        shown = 0
        for letter in self._half(options["source"]).find(options["source"], _filters(options)):
            self.stdout.write(_line(letter))
            shown += 1
        self.stdout.write(f"{shown} dead letters in {options['source']}.")

    def _show(self, options: dict[str, Any]) -> None:
        letter = self._half(options["source"]).show(options["source"], options["letter_id"])
        self.stdout.write(_line(letter))
        self.stdout.write(json.dumps(letter.content, indent=2, sort_keys=True, default=str))

    def _redrive(self, options: dict[str, Any]) -> None:
        outcome = self._half(options["source"]).redrive(
            options["source"],
            _filters(options),
            rate=options["rate"],
            dry_run=options["dry_run"],
            operator=options["operator"],
            progress=lambda letter, what: self.stdout.write(f"{what}: {_line(letter)}"),
        )
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{outcome.redriven} {would}redriven, {outcome.failed} failed again, {outcome.left} left.")

    def _purge(self, options: dict[str, Any]) -> None:
        source, filters = options["source"], _filters(options)
        half = self._half(source)
        if not options["dry_run"] and not options["yes"]:
            count = half.purge(source, filters, dry_run=True, operator=options["operator"])
            if input(f"{count} dead letters of {source} will never be handled. Type yes to go on: ") != "yes":
                raise CommandError("Nothing was purged.")
        count = half.purge(source, filters, dry_run=options["dry_run"], operator=options["operator"])
        self.stdout.write(f"{count} {'would be ' if options['dry_run'] else ''}purged.")

    def _half(self, source: str) -> Source:
        for half in HALVES:
            if source in half.sources():
                return half
        known = ", ".join(name for half in HALVES for name in half.sources())
        raise CommandError(f"There is no source {source}. There are: {known}.")


def _add_filters(parser: CommandParser | Any) -> None:
    parser.add_argument("--type", help="the event's or command's name, such as bot.start")
    parser.add_argument("--key", type=UUID, help="the aggregate's id")
    parser.add_argument("--error", help="a part of the error's text")
    parser.add_argument("--since", type=_time, help="died at or after this time (ISO 8601, UTC where no zone is said)")
    parser.add_argument("--until", type=_time, help="died before this time")
    parser.add_argument("--limit", type=positive_integer, help="at most so many")


def _filters(options: dict[str, Any]) -> Filters:
    return Filters(
        event_type=options["type"],
        key=options["key"],
        error=options["error"],
        since=options["since"],
        until=options["until"],
        limit=options["limit"],
    )


def _line(letter: DeadLetter) -> str:
    died_at = f"{letter.died_at:%Y-%m-%d %H:%M:%S}" if letter.died_at else "-"
    return (
        f"{letter.letter_id}  {died_at}  {letter.event_type}  {letter.event_id}  key {letter.key}  {letter.reason} "
        f"after {letter.attempts} attempts  {letter.error}"
    )


def _time(text: str) -> datetime:
    moment = parse_datetime(text)
    if moment is None:
        raise ValueError(f"{text!r} is not a time: use 2026-01-31T12:00:00Z.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
