"""The checkpointer is down if settled events stay pending, whatever its own checkpoints claim."""

from datetime import timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.backlog import checkpointer_backlog
from apps.audit.models import SignedCheckpoint
from apps.events.process.progress import Progress
from apps.events.store.publish import publish
from apps.messages.user import UserUpdated
from tests.integration.audit.conftest import checkpoint_all
from tests.support.database_roles import as_role
from tests.support.relaying import another_session
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def test_nothing_waits_where_everything_is_sealed(checkpointed: list[UUID]) -> None:
    assert checkpointer_backlog().count == 0


def test_events_wait_until_they_are_sealed(users: list[UUID], key: Ed25519PrivateKey) -> None:
    with as_role("sealer"):
        eventually(lambda: checkpointer_backlog().count == 12, what="the events to settle")
    assert "The oldest is" in checkpointer_backlog().reason
    checkpoint_all(key)
    assert checkpointer_backlog().count == 0


def test_a_sealer_that_takes_its_own_notes_for_the_truth_is_found_out(
    checkpointed: list[UUID], key: Ed25519PrivateKey
) -> None:
    """A checkpoint that is dated in the future makes it skip every event."""
    SignedCheckpoint.objects.update(settled_until=timezone.now() + timedelta(days=365))
    with transaction.atomic():
        publish(UserUpdated(user_id=checkpointed[0], changed=("name",)), now=timezone.now())
    eventually(lambda: checkpointer_backlog().count == 1, what="the event to settle")
    progress = Progress("checkpointer", what="event", done="sealed")
    for now, state in ((0.0, "up"), (29.0, "up"), (30.0, "down")):
        backlog = checkpointer_backlog()
        health = progress.observe(backlog=backlog.count, marker=backlog.marker, now=now, reason=backlog.reason)
        assert health.state == state
    assert health.detail.startswith("No event was sealed for 30 s; waiting: 1. The oldest is ")


def test_an_event_that_has_not_settled_does_not_wait(checkpointed: list[UUID]) -> None:
    with another_session() as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        with transaction.atomic():
            publish(UserUpdated(user_id=checkpointed[0], changed=("name",)), now=timezone.now())
        assert checkpointer_backlog().count == 0
        session.rollback()
    eventually(lambda: checkpointer_backlog().count == 1, what="the event to settle")


def test_each_checkpoint_changes_the_marker(users: list[UUID], key: Ed25519PrivateKey) -> None:
    before = checkpointer_backlog().marker
    checkpoint_all(key)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(seal_no) FROM audit.audit_leaf")
        assert cursor.fetchone() == (checkpointer_backlog().marker,)
    assert checkpointer_backlog().marker != before
