"""Tables of the event backbone.

The migrations create the unmanaged ones by SQL, because Django cannot express their partitions, the append function and
the trigger that makes events immutable.
"""

from typing import Any
from uuid import UUID

from django.db import models


class StoredEvent(models.Model):
    """`events.event`, the event store: append-only, written only by the function events.append_event."""

    event_id = models.UUIDField(primary_key=True)
    recorded_at = models.DateTimeField()
    event_type = models.TextField()
    schema_version = models.SmallIntegerField()
    aggregate_type = models.TextField()
    aggregate_id = models.UUIDField()
    aggregate_seq = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    user_id = models.UUIDField(null=True)
    correlation_id = models.UUIDField()
    causation_id = models.UUIDField(null=True)
    traceparent = models.TextField()
    payload = models.BinaryField()
    hash = models.BinaryField()
    actor = models.TextField(default="")

    class Meta:
        managed = False
        db_table = "event"


class ClientRecord(models.Model):
    """Network address and user agent of a request that published, under the digest that its events carry.

    Written only by the function events.keep_client, and erased with the account of `user_id`: the caller's, or for
    anonymous callers that of the account concerned.
    """

    digest = models.BinaryField(primary_key=True, max_length=32)
    salt = models.BinaryField(max_length=16)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200)
    user_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True, db_index=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "client_record"


class EventStream(models.Model):
    """The last sequence number and hash of an aggregate's hash chain. Locking the row orders the aggregate's events."""

    pk = models.CompositePrimaryKey("aggregate_type", "aggregate_id")
    aggregate_type = models.TextField()
    aggregate_id = models.UUIDField()
    last_seq = models.BigIntegerField()
    last_hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "stream"


class OutboxRow(models.Model):
    """A message that waits to be sent; deleted once the broker has confirmed it."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    recorded_at = models.DateTimeField()
    transport = models.TextField()
    destination = models.TextField()
    key = models.UUIDField()
    slot = models.SmallIntegerField()
    created_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.TextField(default="")

    class Meta:
        managed = False
        db_table = "outbox"


class ParkedKey(models.Model):
    """A key whose oldest message cannot be sent; later messages of the key must not overtake it."""

    transport = models.TextField()
    key = models.UUIDField()
    event_id = models.UUIDField()
    event_type = models.TextField()
    reason = models.TextField()
    parked_at = models.DateTimeField()

    class Meta:
        db_table = "parked_key"
        constraints = [models.UniqueConstraint(fields=["transport", "key"], name="parked_key_once")]


class Lease(models.Model):
    """Exclusive ownership of a piece of work until `expires_at`. `epoch` is the fencing token: it grows per owner."""

    name = models.TextField(primary_key=True)
    owner = models.TextField()
    epoch = models.BigIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "lease"


class InboxEntry(models.Model):
    """An event that a consumer has handled, inserted in the handler's transaction."""

    pk = models.CompositePrimaryKey("consumer", "event_id")
    consumer = models.TextField()
    event_id = models.UUIDField()
    processed_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "inbox"


class DeadLetter(models.Model):
    """An event that a consumer could not handle, or a later event of the same key that waits behind it."""

    class Reason(models.TextChoices):
        FAILED = "failed"
        BEHIND = "behind", "Waits behind a failed one of its key"

    consumer = models.TextField()
    event_id = models.UUIDField()
    event_type = models.TextField()
    key = models.UUIDField()
    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    envelope = models.JSONField()
    reason = models.TextField(choices=Reason.choices)
    error = models.TextField()
    attempts = models.IntegerField(default=1)
    created_at = models.DateTimeField()
    redriven_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "dead_letter"
        constraints = [models.UniqueConstraint(fields=["consumer", "event_id"], name="dead_letter_once")]
        indexes = [
            models.Index(fields=["consumer", "key"], name="dead_letter_key", condition=models.Q(redriven_at=None))
        ]


class CommandExecution(models.Model):
    """The execution of a command: one worker at a time, done once however often it is delivered.

    `result` is what the command came to, in the words of its handler; null before its end and for commands without any.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        RETRYING = "retrying"
        DONE = "done"
        DROPPED = "dropped"
        FAILED = "failed"

    command_id = models.UUIDField(primary_key=True)
    name = models.TextField()
    aggregate_id = models.UUIDField(db_index=True)
    state = models.TextField(choices=State.choices)
    attempts = models.IntegerField(default=0)
    fence = models.BigIntegerField(default=0)
    worker = models.TextField(default="")
    lease_until = models.DateTimeField(null=True)
    reason = models.TextField(default="")
    result: "models.JSONField[dict[str, Any] | None, dict[str, Any] | None]" = models.JSONField(null=True)
    first_delivered_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "command_execution"


class ProcessHeartbeat(models.Model):
    """The last sign of life of a process and the state of its broker. Readiness reads this table, not the broker."""

    name = models.TextField(primary_key=True)
    host = models.TextField()
    pid = models.IntegerField()
    state = models.TextField()
    detail = models.TextField(default="")
    beat_at = models.DateTimeField()

    class Meta:
        db_table = "process_heartbeat"
