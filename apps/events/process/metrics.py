"""Metrics of this process for Prometheus: its own, or those of all its children where it has some."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.management.base import CommandError
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from apps.core.process_metrics import name_build
from apps.events.process.child_metrics import ChildMetrics

ENDING = b"This process is ending: it has no metrics any more.\n"


def registry() -> CollectorRegistry:
    """What /metrics shows. With children (gunicorn, Celery), each request reads the files that all of them write."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return REGISTRY
    shared = CollectorRegistry()
    shared.register(ChildMetrics(Path(folder)))
    return shared


def answer() -> tuple[int, str, bytes]:
    """Status, content type and body of a scrape: 503 while the process ends, since then the files are removed."""
    try:
        name_build()
        return 200, CONTENT_TYPE_LATEST, generate_latest(registry())
    except FileNotFoundError:
        return 503, "text/plain; charset=utf-8", ENDING


def serve_metrics(port: int, address: str) -> None:
    """Serves /metrics in a thread of its own. Raises CommandError where the port is taken."""
    try:
        server = make_server(address, port, _application, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise CommandError(f"Metrics cannot be served on {address}:{port}: {error.strerror}.") from error
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/metrics":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There is /metrics only.\n"]
    status, content_type, body = answer()
    start_response(f"{status} {'OK' if status == 200 else 'Service Unavailable'}", [("Content-Type", content_type)])
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no news."""
