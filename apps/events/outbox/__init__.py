"""What relay and dispatcher share of the outbox: reading it fast, what may pass, and what to tell of it."""

from apps.events.outbox.floor import Floor
from apps.events.outbox.gate import Gate
from apps.events.outbox.parking import Poison
from apps.events.outbox.prefetch import Prefetcher
from apps.events.outbox.progress import OutboxProgress
from apps.events.outbox.rows import delete_rows, prepare_session

__all__ = ["Floor", "Gate", "OutboxProgress", "Poison", "Prefetcher", "delete_rows", "prepare_session"]
