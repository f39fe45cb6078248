"""What every test shares: the database made as in production, and the event store emptied where a test commits."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from apps.ops import database


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Roles and grants on top of the migrated tables. At the end nobody is left who keeps the database from going."""
    with django_db_blocker.unblock():
        database.ensure_schemas_and_roles()
        database.apply_grants()
        database.ensure_partitions()
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture(autouse=True)
def _empty_event_store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests that commit leave events behind, and the table refuses to be emptied: go round the trigger."""
    yield
    marker: Any = request.node.get_closest_marker("django_db")
    if marker and marker.kwargs.get("transaction"):
        request.getfixturevalue("django_db_blocker")
        with request.getfixturevalue("django_db_blocker").unblock(), connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("DELETE FROM events.event; DELETE FROM events.outbox; DELETE FROM events.stream")
            cursor.execute("SET session_replication_role = origin")
