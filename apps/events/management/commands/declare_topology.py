"""Declares Kafka's topics and RabbitMQ's exchanges and queues, or reports differences."""

from typing import Any

from amqp.exceptions import AMQPError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kafka.errors import KafkaError
from kombu import Connection

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.topology import Finding, State, kafka, rabbitmq

CONNECT_SECONDS = 10


class Command(BaseCommand):
    help = "Declares Kafka's topics and RabbitMQ's exchanges and queues. With --check, only reports what differs."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 if something differs")
        parser.add_argument("--only", choices=("kafka", "rabbitmq"), help="one of the two brokers")

    def handle(self, *, check: bool, only: str | None, **_: Any) -> None:
        findings: list[Finding] = []
        if only != "rabbitmq":
            findings += _kafka(check)
        if only != "kafka":
            findings += _rabbitmq(check)
        for finding in findings:
            if finding.state is not State.OK or self._verbosity_is_high:
                self.stdout.write(f"{finding.state.value:>8}  {finding.what}  {finding.detail}".rstrip())
        if drifted := sum(finding.is_drift for finding in findings):
            raise CommandError(
                f"{drifted} of {len(findings)} topics, exchanges and queues differ from the code. Existing "
                "ones are never replaced: docs/rabbitmq.md says how to change a queue without losing a message."
            )
        changed = sum(finding.state is not State.OK for finding in findings)
        self.stdout.write(f"{len(findings)} topics, exchanges and queues are as declared ({changed} of them made now).")

    def execute(self, *args: Any, **options: Any) -> str | None:
        self._verbosity_is_high = options.get("verbosity", 1) > 1
        return super().execute(*args, **options)


def _kafka(check: bool) -> list[Finding]:
    try:
        with admin_client() as admin:
            return kafka.check(admin) if check else kafka.declare(admin)
    except BrokerUnavailable as error:
        raise CommandError(str(error)) from error
    except KafkaError as error:
        raise CommandError(f"Kafka refuses: {error}") from error


def _rabbitmq(check: bool) -> list[Finding]:
    try:
        with Connection(settings.ENVIRONMENT.rabbitmq_url, connect_timeout=CONNECT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1)
            return rabbitmq.check(connection) if check else rabbitmq.declare(connection)
    except (AMQPError, OSError) as error:
        raise CommandError(f"RabbitMQ cannot be reached: {error}") from error
