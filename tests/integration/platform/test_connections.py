"""What tells a connection to PostgreSQL that works from one that has ended."""

import psycopg2
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_connection_that_works_is_not_asked_by_a_query() -> None:
    connection.ensure_connection()

    with CaptureQueriesContext(connection) as captured:
        assert connection.is_usable()

    assert len(captured) == 0


def test_one_that_the_server_has_ended_is_noticed() -> None:
    connection.ensure_connection()
    with psycopg2.connect(**connection.get_connection_params()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.get_backend_pid()])

    assert not connection.is_usable()
    connection.close()


def test_one_with_a_message_to_read_is_asked_and_goes_on() -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN something")
    with psycopg2.connect(**connection.get_connection_params()) as other, other.cursor() as cursor:
        cursor.execute("NOTIFY something")
        other.commit()

    assert connection.is_usable()
