"""Smoke test: uses the running platform as a client does, then shows the trades, their place in Kafka and the proof."""

from pathlib import Path
from typing import Any, TextIO, cast
from uuid import UUID

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from apps.audit.filters import EventFilter
from apps.core.arguments import positive_integer, positive_number
from apps.events.brokers.kafka.reader import TopicReader
from apps.messages.cloud_events import from_kafka
from apps.ops.smoke_test.client import Json, PlatformClient, SmokeTestFailed
from apps.ops.smoke_test.steps import Narrator, Outcome, smoke_test

EMAIL = "demo@example.com"


class Command(BaseCommand):
    help = "Acts as a client of the platform: registers, opens a paper account, runs a bot, and shows its trades."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--gateway", default=None, help="the gateway's address; MUCKARD_PUBLIC_URL where left out")
        parser.add_argument("--email", default=EMAIL)
        parser.add_argument("--trades", type=positive_integer, default=4, help="stop the bot after so many trades")
        parser.add_argument("--seconds", type=positive_number, default=45.0, help="or after so long")
        parser.add_argument("--witness", type=Path, help="the sealer's file of notes, to compare the audit log with")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=cast(TextIO, self.stdout), highlight=False, width=120)
        client = PlatformClient(options["gateway"] or settings.ENVIRONMENT.public_url)
        password = settings.ENVIRONMENT.secret("demo_password", needed_for="the demo log-in")
        narrator = Narrator(lambda line: console.print(line, markup=False))
        try:
            outcome = smoke_test(
                client,
                narrator,
                exchange_url=settings.ENVIRONMENT.paper_exchange_url,
                email=options["email"],
                password=password,
                trades=options["trades"],
                at_most_seconds=options["seconds"],
            )
        except SmokeTestFailed as error:
            raise CommandError(f"The smoke test failed. {error}") from None
        offsets = _offsets(UUID(outcome.bot["id"]))
        console.print(_trades_table(outcome, offsets))
        console.print(_equity_table(client.get(f"/api/v1/bot/{outcome.bot['id']}/performance"), outcome.status))
        console.print(f"Start to first trade in the API: {outcome.first_trade_seconds:.1f} s")
        console.print(f"\nThe bot's story from Kafka (manage.py replay_events --aggregate bot:{outcome.bot['id']}):")
        call_command("replay_events", aggregate=f"bot:{outcome.bot['id']}", source="kafka", stdout=self.stdout)
        call_command("audit_verify", witness=options["witness"], stdout=self.stdout)


def _offsets(bot_id: UUID) -> dict[str, str]:
    """Where each trade of the bot lies in Kafka, as topic/partition/offset, by trade id."""
    filters = EventFilter(aggregate_type="bot", aggregate_id=bot_id, event_types=("bot.trade.executed",))
    found = {}
    for record in TopicReader(sorted(filters.topics())).records():
        envelope = from_kafka(record.headers, record.value)
        if filters.fits(envelope):
            trade_id = str(getattr(envelope.message(), "trade_id"))  # noqa: B009  (of BotTradeExecuted)
            found[trade_id] = f"{record.topic}/{record.partition}/{record.offset}"
    return found


def _trades_table(outcome: Outcome, offsets: dict[str, str]) -> Table:
    table = Table(title=f"Trades (market: {outcome.market})")
    for column in ("executed", "candle", "side", "volume", "price", "cost", "fee", "Kafka topic/partition/offset"):
        table.add_column(column, justify="right" if column in ("volume", "price", "cost", "fee") else "left")
    for trade in reversed(outcome.trades):
        table.add_row(
            trade["executed_at"][11:19],
            (trade.get("market_time") or "")[:16].replace("T", " "),
            trade["side"],
            trade["volume"],
            trade["price"],
            trade["cost"],
            trade["fee"],
            offsets.get(trade["trade_id"], "not there yet"),
        )
    return table


def _equity_table(performance: Json, status: Json) -> Table:
    table = Table(title="Equity", show_header=False)
    for name, value in {**performance, "state": status["state"]}.items():
        if isinstance(value, str | int | float) and not name.endswith("_id"):
            table.add_row(name.replace("_", " "), str(value))
    return table
