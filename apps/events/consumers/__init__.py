"""Consumers of events: who listens to what, and the one way in which an event reaches a handler.

An app's `consumers.py` declares its handlers with @consumes; the process that runs a group delivers to them.
"""

from apps.events.consumers.delivery import deliver, deliver_batch
from apps.events.consumers.registry import (
    Handler,
    Registration,
    consumes,
    consumes_batch,
    groups,
    handlers_for,
    load_consumers,
    topics_of,
)

__all__ = [
    "Handler",
    "Registration",
    "consumes",
    "consumes_batch",
    "deliver",
    "deliver_batch",
    "groups",
    "handlers_for",
    "load_consumers",
    "topics_of",
]
