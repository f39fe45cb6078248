"""Declares Kafka's topics and RabbitMQ's exchanges and queues, replaces queues that differ, or reports differences."""

from typing import Any

from amqp.exceptions import AMQPError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kafka.errors import KafkaError
from kombu import Connection

from apps.core.errors import PlatformError
from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.rabbitmq import queue_replacement
from apps.events.brokers.topology import Finding, State, kafka, rabbitmq

CONNECT_SECONDS = 10


class Command(BaseCommand):
    help = (
        "Declares Kafka's topics and RabbitMQ's exchanges and queues. A queue with other arguments is replaced; its "
        "messages move into its successor. With --check, only reports what differs."
    )
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
                f"{drifted} of {len(findings)} topics, exchanges and queues differ from the code. Queues are replaced "
                "by this command without --check; docs/rabbitmq.md says what becomes of topics and exchanges."
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
            if check:
                return rabbitmq.check(connection)
            found = rabbitmq.declare(connection)
            if outdated := queue_replacement.outdated(connection, rabbitmq.queues()):
                queue_replacement.replace(outdated)
                replaced = {f"queue {spec.name}" for spec in outdated}
                found = [_changed(each, replaced) for each in rabbitmq.declare(connection)]
            return found
    except PlatformError as error:
        raise CommandError(error.message) from error
    except (AMQPError, OSError) as error:
        raise CommandError(f"RabbitMQ cannot be reached: {error}") from error


def _changed(finding: Finding, replaced: set[str]) -> Finding:
    is_new = finding.what in replaced and not finding.is_drift
    return Finding(finding.what, State.CHANGED, "replaced; its messages are in it") if is_new else finding
