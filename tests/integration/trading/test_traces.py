"""One start of a bot in one trace: request, outbox, RabbitMQ, worker, exchange, Kafka, consumer."""

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from apps.accounts.tokens import Holder, mint_access
from apps.core.terms import Mode
from apps.trading.models.ledger import Fill
from apps.vault.services.connect import credential_connect
from tests.factories.accounts import sign_tokens
from tests.factories.bots import BotFactory
from tests.support.otlp import Collector, ReceivedSpan, running_collector
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

# Seven processes start at once.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]
START_SECONDS = 120

BIN = Path(sys.executable).parent
SECRET = "swordfish"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@dataclass(frozen=True)
class Trader:
    bot_id: UUID
    token: str


@pytest.fixture
def trader(paper_exchange: str, settings: Settings) -> Trader:
    """With a paper account and a bot that buys at its first tick."""
    sign_tokens(settings)
    user_id, now = uuid4(), timezone.now()
    credential = credential_connect(user_id=user_id, label="Play", mode=Mode.PAPER, now=now)
    dca = {"strategy": "dca", "parameters": {"every_candles": 700, "quote_amount": "100"}}
    bot = BotFactory.create(user_id=user_id, credential_id=credential.id, **dca)
    holder = Holder(user_id, uuid4(), ["trader"], True, False)
    return Trader(bot.id, mint_access(holder=holder, now=now).token)


@pytest.fixture
def kraken_url(
    rabbitmq: RabbitMQ, trader: Trader, paper_exchange: str, processes: Processes, collector: Collector
) -> str:
    """The kraken service, with every process that a start passes, all of them with traces on."""
    call_command("declare_topology", "--only", "kafka", stdout=StringIO())
    traced = {
        "MUCKARD_TRACES": collector.url,
        "MUCKARD_TRACES_RATIO": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "MUCKARD_PAPER_EXCHANGE_URL": paper_exchange,
    }
    bot = traced | {"SERVICE": "bot", "MUCKARD_DB_ROLE": "bot_service"}
    manage = [sys.executable, "manage.py"]
    port = free_port()
    web = ["--config", "python:service_common.gunicorn_config", "kraken_service.wsgi", "--bind", f"127.0.0.1:{port}"]
    kraken = traced | {"SERVICE": "kraken", "MUCKARD_PROCESS": "kraken"}
    worker = ["worker", "-n", f"trace-{uuid4().hex}@localhost", "-c", "1", "-Q", "bot.start,bot.tick"]
    quiet = ["--without-gossip", "--without-mingle", "-l", "INFO"]
    celery = [str(BIN / "celery"), "-A", "celery_app", *worker, *quiet]
    processes.start("worker", celery, **bot, MUCKARD_PROCESS="worker")
    processes.start("kraken", [str(BIN / "gunicorn"), *web, "--threads", "4"], **kraken)
    for name, variables in (
        ("dispatcher", traced | {"SERVICE": "staff"}),
        ("relay", traced | {"SERVICE": "staff"}),
        ("event-consumer", traced | {"SERVICE": "kraken"}),
        ("scheduler", bot),
        ("reconciler", bot),
    ):
        command = [*manage, f"run_{name.replace('-', '_')}"]
        processes.start(name, command, **variables, MUCKARD_PROCESS=name)
    return f"http://127.0.0.1:{port}"


def call(url: str, token: str, trace_id: str) -> int:
    request = urllib.request.Request(url, data=b"{}", method="POST")
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    request.add_header("Idempotency-Key", uuid4().hex)
    request.add_header("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_a_start_is_followed_from_the_request_to_the_fill_and_its_consumer(
    trader: Trader, kraken_url: str, collector: Collector, processes: Processes
) -> None:
    start = f"{kraken_url}/api/v1/bot/{trader.bot_id}/start"
    # A request with a secret where none belongs is refused, and leaves a span.
    refused = secrets.token_hex(16)
    asked = f"{start}?token={SECRET}"
    logs = processes.logs
    eventually(lambda: call(asked, trader.token, refused) == 400, seconds=START_SECONDS, what=f"the service\n{logs()}")
    # Each call has a trace of its own: one that a busy machine refuses must not be in the trace that is read.
    answers: dict[str, int] = {}

    def accepted() -> str:
        trace_id = secrets.token_hex(16)
        answers[trace_id] = call(start, trader.token, trace_id)
        return trace_id if answers[trace_id] == 202 else ""

    trace_id = eventually(accepted, seconds=START_SECONDS, what=f"the start\n{logs()}")
    eventually(Fill.objects.exists, seconds=START_SECONDS, what=f"a fill\n{processes.logs()}")

    wanted = {
        ("kraken", "POST api/v1/bot/<uuid:bot_id>/start"),
        ("dispatcher", "dispatch bot.start"),
        ("worker", "run/bot.start"),
        ("worker", "tick"),
        ("worker", "place order"),
        ("worker", "exchange AddOrder"),
        ("relay", "relay trade.executed"),
        ("event-consumer", "consume trade.executed"),
    }

    def arrived() -> set[tuple[str, str]]:
        return {(span.process, span.name) for span in collector.of_trace(trace_id)}

    eventually(lambda: wanted <= arrived(), seconds=START_SECONDS, what=f"the spans {wanted}; there are {arrived()}")
    assert_connected(collector.of_trace(trace_id))
    assert_no_secrets(collector, trader.token)


def assert_connected(spans: list[ReceivedSpan]) -> None:
    """Every span but the first has its parent in the trace: a person sees one tree."""
    known = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_id not in known]
    assert [root.name for root in roots] == ["POST api/v1/bot/<uuid:bot_id>/start"]


def assert_no_secrets(collector: Collector, token: str) -> None:
    assert SECRET.encode() not in collector.bytes
    assert token.encode() not in collector.bytes
    statements = [span.attributes.get("db.statement", "") for span in collector.spans]
    assert any("%s" in statement for statement in statements)
    named = json.dumps([span.attributes for span in collector.spans])
    assert "nonce=" not in named
    assert "?" not in "".join(span.attributes.get("http.url", "") for span in collector.spans)
