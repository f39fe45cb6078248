"""Each service can do in the database what it must, and nothing else: tried by logging in as its role."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker

from apps.ops import database
from apps.ops.database_roles import ROLES

pytestmark = pytest.mark.usefixtures("django_db_setup")

APPEND = (
    "SELECT events.append_event(%s, 'user.updated', 1, 'user', %s, now(), NULL, %s, NULL, 'x', 'x', 'kafka', "
    "'user.events', 1)"
)


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


@pytest.mark.parametrize("role", ["user_service", "relay", "dispatcher", "sealer", "verifier", "paper_exchange"])
def test_a_credential_is_out_of_reach(login: Callable[[str], Any], role: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute("SELECT * FROM kraken.vault_credential")


def test_the_bot_service_reads_ciphertext_and_nothing_else_of_a_credential(login: Callable[[str], Any]) -> None:
    cursor = login("bot_service")
    cursor.execute("SELECT id, ciphertext FROM kraken.vault_credential")
    for refused in ("SELECT label FROM kraken.vault_credential", "UPDATE kraken.vault_credential SET mode = 'live'"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(refused)
        cursor.connection.rollback()


@pytest.mark.parametrize("role", sorted(ROLES))
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events.event SET event_type = 'x'",
        "DELETE FROM events.event",
        "TRUNCATE events.event",
        "INSERT INTO events.event SELECT * FROM events.event",
        "UPDATE events.stream SET last_seq = 0",
        "DROP TABLE events.event",
    ],
)
def test_no_role_can_touch_the_event_store(login: Callable[[str], Any], role: str, statement: str) -> None:
    with pytest.raises(psycopg2.Error) as refused:
        login(role).execute(statement)
    assert isinstance(refused.value, psycopg2.errors.InsufficientPrivilege)


@pytest.mark.parametrize("role", sorted(name for name, role in ROLES.items() if role.publishes))
def test_a_publishing_role_appends_through_the_function(login: Callable[[str], Any], role: str) -> None:
    cursor = login(role)
    cursor.execute(APPEND, [str(uuid4()), str(uuid4()), str(uuid4())])
    assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("role", sorted(name for name, role in ROLES.items() if not role.publishes))
def test_a_role_that_does_not_publish_cannot_append(login: Callable[[str], Any], role: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute(APPEND, [str(uuid4()), str(uuid4()), str(uuid4())])


@pytest.mark.parametrize(
    ("role", "table"),
    [
        ("user_service", "kraken.bot"),
        ("kraken_service", "users.user_account"),
        ("kraken_service", "bots.bot_run"),
        ("bot_service", "users.user_account"),
        ("bot_service", "kraken.bot"),
        ("paper_exchange", "kraken.vault_credential"),
        ("paper_exchange", "events.event"),
    ],
)
def test_a_service_does_not_read_another_domain(login: Callable[[str], Any], role: str, table: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute(f"SELECT count(*) FROM {table}")


def test_setting_up_the_database_again_never_takes_a_right_from_a_service_that_is_at_work(
    login: Callable[[str], Any], django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = login("bot_service")
    at_work.connection.autocommit = True
    looks = 0

    def look_and_apply(*arguments: Any) -> None:
        nonlocal looks
        at_work.execute("SELECT id, ciphertext FROM kraken.vault_credential")
        looks += 1
        apply_grant(*arguments)

    apply_grant = database._apply_grant
    monkeypatch.setattr(database, "_apply_grant", look_and_apply)
    with django_db_blocker.unblock():
        database.apply_grants()

    assert looks > len(ROLES)
