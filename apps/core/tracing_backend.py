"""Traces by OpenTelemetry, sent by OTLP over HTTP: what MUCKARD_TRACES turns on.

The maintained instrumentations make the spans of requests, Celery tasks, database statements and HTTP calls. Only what
ATTRIBUTES lists leaves the process: no parameter of a statement, no query string, no header, no text of an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from apps.core import tracing
from apps.core.redaction import mask_text
from apps.core.tracing import Kind
from apps.core.version import VERSION

# What may leave the process. Statements have placeholders: parameters are not captured.
ATTRIBUTES = frozenset(
    {
        *("http.method", "http.request.method", "http.route", "http.status_code", "http.response.status_code"),
        *("http.scheme", "http.flavor", "net.peer.name", "server.address"),
        *("db.system", "db.name", "db.statement", "db.query.text"),
        *("celery.action", "celery.state", "messaging.destination", "messaging.operation", "messaging.system"),
        *("error.type", "exception.type"),
        # Our own
        *("bot_id", "command_id", "event_id", "order_id", "client_order_id", "group", "transport"),
        *("mode", "method", "request_id", "user_id"),
    }
)  # fmt: skip
LONGEST_TEXT = 500

_W3C = TraceContextTextMapPropagator()


class ReceiveOnly(TraceContextTextMapPropagator):
    """Reads the trace context of what comes in. What goes out carries it only where the platform's own code puts it: an
    exchange is told nothing."""

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        """Adds nothing."""


class ByTraceId(Sampler):
    """Keeps a part of the traces, chosen by the trace id: every process decides alike, and no header of a caller
    counts. A statement or call outside any span, such as a loop's, begins no trace."""

    def __init__(self, ratio: float) -> None:
        chosen = TraceIdRatioBased(ratio)
        self._within = ParentBased(root=chosen, remote_parent_sampled=chosen, remote_parent_not_sampled=chosen)

    def should_sample(  # noqa: PLR0917 (the SDK calls it so)
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        has_parent = trace.get_current_span(parent_context).get_span_context().is_valid
        if not has_parent and kind is trace.SpanKind.CLIENT:
            return SamplingResult(Decision.DROP)
        return self._within.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return "ByTraceId"


class Scrubbed(SpanExporter):
    """Passes spans on without the attributes that ATTRIBUTES does not list; an error keeps its type alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=mask_text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_allowed(span.attributes or {}),
        events=(),
        links=span.links,
        kind=span.kind,
        # Without its description, which is the text of the exception
        status=trace.Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _allowed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: mask_text(value)[:LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in attributes.items()
        if name in ATTRIBUTES
    }


class OpenTelemetryBackend:
    """Makes the platform's own spans."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def current(self) -> str:
        return _traceparent(trace.get_current_span())

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str, attributes: dict[str, str]) -> Iterator[str]:
        with self._tracer.start_as_current_span(
            name, context=_context(parent), kind=trace.SpanKind[kind], attributes=attributes, record_exception=False
        ) as span:
            yield _traceparent(span)

    def record(
        self, name: str, *, kind: Kind, parent: str, attributes: dict[str, str], began_at: datetime, ended_at: datetime
    ) -> None:
        span = self._tracer.start_span(
            name,
            context=_context(parent),
            kind=trace.SpanKind[kind],
            attributes=attributes,
            start_time=int(began_at.timestamp() * 1e9),
        )
        span.end(int(ended_at.timestamp() * 1e9))


def _context(parent: str) -> Context | None:
    """None is the current context. A parent replaces it whole."""
    return _W3C.extract({"traceparent": parent}, Context()) if parent else None


def _traceparent(span: trace.Span) -> str:
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def provider(exporter: SpanExporter, *, process: str, ratio: float) -> TracerProvider:
    """A provider whose spans go to the exporter in batches, scrubbed, from a thread of its own."""
    resource = Resource({"service.namespace": "muckard", "service.name": process, "service.version": VERSION})
    made = TracerProvider(sampler=ByTraceId(ratio), resource=resource)
    made.add_span_processor(BatchSpanProcessor(Scrubbed(exporter)))
    return made


def start(endpoint: str, *, process: str, ratio: float) -> TracerProvider:
    """Turns traces on in this process, once. `endpoint` is the address of an OTLP/HTTP receiver."""
    made = provider(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"), process=process, ratio=ratio)
    set_global_textmap(ReceiveOnly())
    _instrument(made)
    tracing.use(OpenTelemetryBackend(made.get_tracer("muckard", VERSION)))
    return made


def _instrument(made: TracerProvider) -> None:
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    DjangoInstrumentor().instrument(tracer_provider=made)
    CeleryInstrumentor().instrument(tracer_provider=made)  # type: ignore[no-untyped-call]
    Psycopg2Instrumentor().instrument(tracer_provider=made, skip_dep_check=True, enable_commenter=False)
    RequestsInstrumentor().instrument(tracer_provider=made)
