"""Connections to the test database under the services' own roles."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.db import connection

from apps.ops.database_roles import ROLES


@pytest.fixture
def login() -> Iterator[Callable[[str], Any]]:
    """Opens a connection as a role, with its own password. What it does is rolled back."""
    opened = []

    def as_role(name: str) -> Any:
        database = connection.settings_dict
        session = psycopg2.connect(
            host=database["HOST"],
            port=database["PORT"],
            dbname=database["NAME"],
            user=name,
            password=settings.ENVIRONMENT.secret(f"db_password_{name}", needed_for="this test"),
            options=f"-c search_path={','.join(ROLES[name].search_path)}",
        )
        opened.append(session)
        return session.cursor()

    yield as_role
    for session in opened:
        session.close()
