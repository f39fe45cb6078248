"""The event store and what hangs on it. Tables of this app are written by SQL in the migrations: partitions, the
append function and the trigger that refuses change are not Django's to make."""

from django.db import models


class StoredEvent(models.Model):
    """`events.event`: what was published, for ever. Appended by the function events.append_event alone."""

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

    class Meta:
        managed = False
        db_table = "event"


class EventStream(models.Model):
    """The head of an aggregate's chain: the last number and hash. Its row is the lock that orders the aggregate."""

    pk = models.CompositePrimaryKey("aggregate_type", "aggregate_id")
    aggregate_type = models.TextField()
    aggregate_id = models.UUIDField()
    last_seq = models.BigIntegerField()
    last_hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "stream"


class OutboxRow(models.Model):
    """What is still to be delivered; deleted when the broker has confirmed it."""

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
    """A key that no relay may pass: its oldest event cannot be sent, and nothing may overtake it."""

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
    """Who works on what, until when. `epoch` is the fencing token: it grows with every change of owner."""

    name = models.TextField(primary_key=True)
    owner = models.TextField()
    epoch = models.BigIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "lease"


class InboxEntry(models.Model):
    """An event that a consumer has handled, written in the handler's own transaction."""

    pk = models.CompositePrimaryKey("consumer", "event_id")
    consumer = models.TextField()
    event_id = models.UUIDField()
    processed_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "inbox"


class DeadLetter(models.Model):
    """An event that a consumer could not handle, and every later one of the same key, in order."""

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
    """A command's run: claimed by one worker at a time, done once however often the broker delivers it."""

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
    first_delivered_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "command_execution"


class ProcessHeartbeat(models.Model):
    """A background process lives, and what it sees of its broker: readiness reads this, and never asks the broker."""

    name = models.TextField(primary_key=True)
    host = models.TextField()
    pid = models.IntegerField()
    state = models.TextField()
    detail = models.TextField(default="")
    beat_at = models.DateTimeField()

    class Meta:
        db_table = "process_heartbeat"
