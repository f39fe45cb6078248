"""The transparency log over the event store: leaves, signed checkpoints, and archived months."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Leaf(models.Model):
    """An event in the Merkle tree. `seal_no` is the leaf index: from 0, without gaps."""

    seal_no = models.BigIntegerField(primary_key=True)
    event_id = models.UUIDField(unique=True)
    recorded_at = models.DateTimeField()
    event_hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audit_leaf"


class SignedCheckpoint(models.Model):
    """A signed checkpoint: tree size, root, and the frontier from which the tree grows on. `note` is the signed note.

    Every event recorded up to `settled_until` is in the tree. `sealed_at` is when it was signed.
    """

    tree_size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField(max_length=32)
    frontier = ArrayField(models.BinaryField(max_length=32))
    note = models.TextField()
    settled_until = models.DateTimeField()
    sealed_at = models.DateTimeField()

    class Meta:
        db_table = "audit_checkpoint"


class ArchivedPartition(models.Model):
    """A month of the event store that was moved into a file. `sha256` is that of the file."""

    name = models.TextField(primary_key=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    events = models.BigIntegerField()
    file_name = models.TextField()
    sha256 = models.BinaryField(max_length=32)
    archived_at = models.DateTimeField()

    class Meta:
        db_table = "audit_archived_partition"
        ordering = ["starts_at"]
