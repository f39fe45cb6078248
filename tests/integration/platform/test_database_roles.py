"""Each service can do in the database what it must, and nothing else: tried by logging in as its role."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from apps.ops import database
from apps.ops.database_roles import ROLES

pytestmark = pytest.mark.django_db

APPEND = (
    "SELECT events.append_event(%s, 'user.updated', 1, 'user', %s, now(), NULL, %s, NULL, 'x', 'x', 'kafka', "
    "'user.events', 1)"
)


@pytest.mark.parametrize("role", ["user_service", "relay", "dispatcher", "sealer", "verifier", "paper_exchange"])
def test_a_credential_is_out_of_reach(login: Callable[[str], Any], role: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute("SELECT * FROM kraken.vault_credential")


@pytest.mark.parametrize("role", ["kraken_service", "bot_service", "relay", "dispatcher", "sealer", "verifier"])
def test_addresses_of_callers_are_added_by_publishers_and_read_by_the_user_service_alone(
    login: Callable[[str], Any], role: str
) -> None:
    keep = "SELECT events.keep_client(%s, 's', '192.0.2.1', 'Firefox', NULL)"
    if ROLES[role].publishes:
        login(role).execute(keep, [b"of the role"])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute("SELECT * FROM events.client_record")
    cursor = login("user_service")
    cursor.execute(keep, [b"of the user service"])
    cursor.execute("DELETE FROM events.client_record")
    assert cursor.rowcount == 1
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("UPDATE events.client_record SET address = '192.0.2.2'")


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


@pytest.mark.django_db(transaction=True)
def test_setting_up_the_database_again_never_takes_a_right_from_a_service_that_is_at_work(
    login: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
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
    database.apply_grants()

    assert looks > len(ROLES)


@pytest.mark.parametrize("role", ["staff_site", "user_service"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET user_id = NULL"])
def test_no_role_changes_or_deletes_the_staff_site_s_log(login: Callable[[str], Any], role: str, change: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        login(role).execute(change.format("users.django_admin_log"))


def test_the_staff_site_adds_to_its_log(login: Callable[[str], Any]) -> None:
    cursor = login("staff_site")
    cursor.execute(
        "INSERT INTO users.user_account (id, password, email, name, time_zone, roles, is_active, created_at) "
        "VALUES (gen_random_uuid(), '', 'log@example.com', '', 'UTC', '{}', true, now()) RETURNING id"
    )
    cursor.execute(
        "INSERT INTO users.django_admin_log (action_time, object_repr, action_flag, change_message, user_id) "
        "VALUES (now(), 'x', 1, '', %s) RETURNING id",
        cursor.fetchone(),
    )
    assert cursor.fetchone()[0] > 0
