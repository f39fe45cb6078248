"""Metrics of this process for Prometheus: its own, or those of all its children where it has some."""

import os

from django.core.management.base import CommandError
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector


def registry() -> CollectorRegistry:
    """What /metrics shows. With children (gunicorn, Celery), each request reads the files that all of them write."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    shared = CollectorRegistry(auto_describe=True)
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared


def serve_metrics(port: int, address: str) -> None:
    """Serves /metrics in a thread of its own. Raises CommandError where the port is taken."""
    try:
        start_http_server(port, addr=address, registry=registry())
    except OSError as error:
        raise CommandError(f"Metrics cannot be served on {address}:{port}: {error.strerror}.") from error
