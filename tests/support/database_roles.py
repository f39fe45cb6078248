"""The rights of the services' database roles, for code that a test runs on its own connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def as_role(name: str) -> Iterator[None]:
    """The block runs with the PostgreSQL rights of this role."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {name}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
