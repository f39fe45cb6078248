"""What every test shares: the database made as in production, and emptied after each test that commits."""

import os
import signal
from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import settings
from pytest_django import DjangoDbBlocker

import apps.accounts.staff_sessions  # noqa: F401  (as the staff site does: who logs in has a session)
from apps.ops import database

# Fixtures that tests of several folders use. Plugins import each other, so all are rewritten from the start.
pytest_plugins = [
    "tests.support.client_versions",
    "tests.support.consumers",
    "tests.support.dispatching",
    "tests.support.kafka",
    "tests.support.machine_keys",
    "tests.support.market",
    "tests.support.platform",
    "tests.support.rabbitmq",
]
pytest.register_assert_rewrite(*pytest_plugins, "tests.support.transactions", "tests.support.waiting")

# How long an example takes says nothing on a shared machine.
settings.register_profile("muckard", deadline=None, max_examples=50)
# `make unit`: a first look while one writes.
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("muckard")

# A hash that is safe takes a tenth of a second. Tests of the real one name it.
django_settings.PASSWORD_HASHERS = ["tests.factories.accounts.QuickArgon2idHasher"]
# Static files are found when they are asked for: to list them all takes each new test client longer than its request.
django_settings.WHITENOISE_AUTOREFRESH = True

# A session that a script starts in the background ignores Ctrl-C, and so would the programs at which tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whole platforms that tests start: one worker process of each web process comes up sooner, also on many cores.
os.environ.setdefault("MUCKARD_WEB_WORKERS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-pictures", action="store_true", help="write the pictures of the documents anew")


MADE_BY_MIGRATING = {"django_content_type", "auth_permission"}
EVENT_STORE = {"event", "outbox", "stream"}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Roles and grants on top of the migrated tables. At the end nobody is left who keeps the database from going."""
    # pytest-django makes the database for tests that are marked, not for those that ask for this fixture alone.
    assert connection.settings_dict["NAME"].startswith("test_"), "mark the test: pytest.mark.django_db"
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


@pytest.fixture(scope="session", autouse=True)
def _quick_ends_of_tests_that_commit() -> Iterator[None]:
    """Django empties all tables by TRUNCATE and makes its permissions anew, which takes longer than most tests; and the
    event store refuses to be emptied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: _delete_everything())
        yield


def _delete_everything() -> None:
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    deletions = "; ".join(f'DELETE FROM "{table}"' for table in tables - MADE_BY_MIGRATING | EVENT_STORE)
    with connection.cursor() as cursor:
        # Neither triggers nor foreign keys.
        cursor.execute(f"SET session_replication_role = replica; {deletions}; SET session_replication_role = origin")
