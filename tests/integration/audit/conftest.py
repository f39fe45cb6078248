"""A small event store with checkpoints, which are signed with a key of its own."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.checkpoint_signer import checkpoint_create
from apps.audit.models import Leaf
from apps.audit.write_archive import Partition
from apps.events.models import OutboxRow, StoredEvent
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated


def checkpoint_all(key: Ed25519PrivateKey) -> str:
    """Creates checkpoints until no settled event is pending, and returns the last note."""
    deadline, note = time.monotonic() + 20, ""
    while StoredEvent.objects.exclude(event_id__in=Leaf.objects.values("event_id")).exists():
        assert time.monotonic() < deadline, "a transaction stays open"
        checkpoint = checkpoint_create(key=key, now=timezone.now())
        note = checkpoint.note if checkpoint else note
    return note


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def users() -> list[UUID]:
    """Three users with four events each, all of them delivered."""
    ids = [uuid4() for _ in range(3)]
    for _ in range(4):
        for user_id in ids:
            with transaction.atomic():
                publish(UserUpdated(user_id=user_id, changed=("name",)), now=timezone.now())
    OutboxRow.objects.all().delete()
    return ids


@pytest.fixture
def this_month() -> Iterator[Partition]:
    """The month of the test's events, as a partition to archive. It is recreated afterwards."""
    name = timezone.now().astimezone(UTC).strftime("event_%Y_%m")
    yield Partition(name, datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM events.event")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("SELECT events.ensure_partitions()")


@pytest.fixture
def checkpointed(users: list[UUID], key: Ed25519PrivateKey) -> list[UUID]:
    checkpoint_all(key)
    return users


@pytest.fixture
def _as_superuser() -> Iterator[None]:
    """A superuser, who can disable triggers. Checkpoints expose what such an attacker changes."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = origin")
