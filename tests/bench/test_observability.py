"""What metrics, logs and traces cost a request, side by side in one run, and how long a scrape takes.

The kraken service's list of bots is asked through its WSGI application in this process: with nothing, with metrics and
logs, with traces off and on. Rounds alternate. Compared is the processor time of a request, the exporter's thread
included: throughput is bound by it, and a busy machine does not change it much. PostgreSQL's own time is not in it, so
the ratios are upper bounds.
"""

import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pytest_django import Settings

from apps.accounts.tokens import Holder, mint_access
from apps.core import tracing, tracing_backend
from apps.core.version import VERSION
from tests.bench.figures import record_figure
from tests.factories.accounts import sign_tokens
from tests.factories.bots import BotFactory

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600), pytest.mark.django_db(transaction=True)]

ROUNDS = 25
REQUESTS = 20
METRICS_AND_LOGS = 1.05
TRACES_ON = 1.10
TRACES_OFF = 1.01
SCRAPE_SECONDS = 0.05
RATIO = 0.1


class Encoded(SpanExporter):
    """Encodes as the OTLP exporter does, and sends nothing: the receiver's time is not ours."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Holds nothing."""


@contextmanager
def nothing(middleware: list[str]) -> Iterator[list[str]]:
    """Neither metrics nor log lines."""
    logging.disable(logging.CRITICAL)
    without = ("RequestMetricsMiddleware", "RequestLogMiddleware")
    try:
        yield [name for name in middleware if not name.endswith(without)]
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def observed(middleware: list[str]) -> Iterator[list[str]]:
    """As in production: metrics and logs, traces off."""
    yield middleware


@contextmanager
def without_tracing(middleware: list[str]) -> Iterator[list[str]]:
    """As `observed`, as if the code knew no traces: what asks for the current span is cut out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apps.core.context.current_traceparent", str)
        yield middleware


def traced(ratio: float) -> Callable[[list[str]], Any]:
    @contextmanager
    def run(middleware: list[str]) -> Iterator[list[str]]:
        provider = tracing_backend.provider(Encoded(), process="bench", ratio=ratio)
        connection.close()
        Psycopg2Instrumentor().instrument(tracer_provider=provider, skip_dep_check=True)
        with override_settings(MIDDLEWARE=list(middleware)) as _:
            DjangoInstrumentor().instrument(tracer_provider=provider)
            from django.conf import settings as now

            tracing.use(tracing_backend.OpenTelemetryBackend(provider.get_tracer("bench", VERSION)))
            try:
                yield list(now.MIDDLEWARE)
                provider.force_flush()
            finally:
                tracing.use(None)
                DjangoInstrumentor().uninstrument()
                Psycopg2Instrumentor().uninstrument()
                provider.shutdown()
                connection.close()

    return run


WAYS: dict[str, Callable[[list[str]], Any]] = {
    "nothing": nothing,
    "no tracing code": without_tracing,
    "metrics and logs": observed,
    f"traces, {RATIO:.0%} kept": traced(RATIO),
    "traces, all kept": traced(1.0),
}


def test_what_observing_a_request_costs(settings: Settings) -> None:
    sign_tokens(settings)
    settings.ROOT_URLCONF = "kraken_service.urls"
    user_id = uuid4()
    for _ in range(20):
        BotFactory.create(user_id=user_id)
    token = mint_access(holder=Holder(user_id, uuid4(), ["trader"], True, False), now=timezone.now()).token
    middleware = list(settings.MIDDLEWARE)

    with log_lines_to_nowhere():
        for way in WAYS.values():
            milliseconds(way, middleware, token)
        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(ROUNDS):
            for name, way in WAYS.items():
                taken[name].append(milliseconds(way, middleware, token))

    def ratio(name: str, to: str) -> float:
        return statistics.median(one / other for one, other in zip(taken[name], taken[to], strict=True))

    print()
    for name in WAYS:
        record_figure(name, taken[name], "ms", better="lower", note="processor time of a request")
        print(f"{name:24} {statistics.median(taken[name]):6.2f} ms of processor time a request")
    figures = {
        "metrics and logs": (ratio("no tracing code", "nothing"), METRICS_AND_LOGS),
        "traces off": (ratio("metrics and logs", "no tracing code"), TRACES_OFF),
        f"traces, {RATIO:.0%} kept": (ratio(f"traces, {RATIO:.0%} kept", "metrics and logs"), TRACES_ON),
        "traces, all kept": (ratio("traces, all kept", "metrics and logs"), float("inf")),
    }
    for name, (found, goal) in figures.items():
        known = None if goal == float("inf") else goal
        record_figure(f"a request with {name}, of one without", found, "", better="lower", goal=known)
        print(f"{name:24} x {found:.3f} (goal {goal:.2f})")
    assert [name for name, (found, goal) in figures.items() if found > goal] == []


def milliseconds(way: Callable[[list[str]], Any], middleware: list[str], token: str) -> float:
    """Processor time of a request of a round."""
    with way(middleware) as names, override_settings(MIDDLEWARE=names):
        handler = WSGIHandler()
        ask(handler, token)
        began = time.process_time()
        for _ in range(REQUESTS):
            ask(handler, token)
        return (time.process_time() - began) / REQUESTS * 1000


def ask(handler: WSGIHandler, token: str) -> None:
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1/bot", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "8001", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
        "wsgi.version": (1, 0), "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
    }  # fmt: skip
    status: list[str] = []

    def start_response(line: str, _headers: Any, _error: Any = None, /) -> Callable[[bytes], object]:
        status.append(line)
        return lambda _: None

    answer = handler(environ, start_response)
    assert b"".join(answer)
    answer.close()
    assert status == ["200 OK"]


@contextmanager
def log_lines_to_nowhere() -> Iterator[None]:
    """Lines are rendered as in production, and written to a file that keeps nothing."""
    root = logging.getLogger()
    rendered = next(each.formatter for each in root.handlers if type(each.formatter).__name__ == "ProcessorFormatter")
    before = root.handlers[:]
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(rendered)
        root.handlers[:] = [handler]
        try:
            yield
        finally:
            root.handlers[:] = before


SCRAPES = """
import os, statistics, time
from service_common.multiprocess_metrics import share_metrics
share_metrics()
import django
django.setup()
from apps.core.request_metrics import duration
from apps.events.process.metrics import answer
children = []
for _ in range(2):
    if (child := os.fork()) == 0:
        for route in range(60):
            for status in ("200", "404"):
                duration.labels("GET", f"api/v1/route/{route}", status).observe(0.01)
        print("counted", flush=True)
        time.sleep(120)
        os._exit(0)
    children.append(child)
time.sleep(2)
answer()
taken = []
for _ in range(30):
    began = time.process_time()
    status, _, body = answer()
    taken.append(time.process_time() - began)
    assert status == 200
for child in children:
    os.kill(child, 9)
print(statistics.median(taken), len(body))
"""


def test_a_scrape_of_a_busy_web_process_is_quick() -> None:
    """Two worker processes with 60 routes and two statuses each: as many as the largest service has."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DJANGO_SETTINGS_MODULE": "kraken_service.settings"}

    done = subprocess.run(
        [sys.executable, "-c", SCRAPES],
        env=given | {"SERVICE": "kraken"},
        capture_output=True,
        text=True,
        check=False,
    )

    seconds, size = done.stdout.split()[-2:]
    record_figure("a scrape", float(seconds) * 1000, "ms", better="lower", goal=SCRAPE_SECONDS * 1000)
    print(f"\nA scrape: {float(seconds) * 1000:.1f} ms of processor time, {int(size) / 1024:.0f} KiB")
    assert float(seconds) <= SCRAPE_SECONDS
