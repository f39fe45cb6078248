"""Seals over the event store."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Leaf(models.Model):
    """An event's place in the Merkle tree. Numbers are given when sealing, without gaps, from 0."""

    seal_no = models.BigIntegerField(primary_key=True)
    event_id = models.UUIDField(unique=True)
    recorded_at = models.DateTimeField()
    event_hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audit_leaf"


class SealedCheckpoint(models.Model):
    """A signed size and root of the tree, with the tree's right edge, from which the next one grows.

    Every event recorded up to `settled_until` is in the tree.
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
    """A month of the event store that lives in a file now."""

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
