"""Setting a platform up: one at a time, and somebody can log in to the staff site afterwards."""

import threading
from io import StringIO
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from pydantic import SecretStr

from apps.accounts.models import User
from apps.core.identity.principal import Role
from apps.ops import database
from apps.ops.management.commands import setup_platform
from tests.factories.accounts import FAST_HASHERS, PASSWORD, make_user
from tests.support.waiting import eventually


@pytest.mark.django_db(transaction=True)
def test_two_set_ups_of_one_database_run_one_after_the_other() -> None:
    order: list[str] = []

    def second() -> None:
        with database.alone(order.append):
            order.append("second")
        connection.close()

    thread = threading.Thread(target=second)
    with database.alone(order.append):
        thread.start()
        eventually(lambda: len(order) == 1, what="the second one waits")
        # Longer than lock_timeout would let it wait is not tested: it is off for this lock.
        order.append("first")
    thread.join(10)

    assert order == ["Another set-up of this database is under way; waiting for its end.", "first", "second"]


@pytest.mark.django_db(transaction=True)
def test_one_that_dies_leaves_no_lock() -> None:
    with psycopg2.connect(**connection.get_connection_params()) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [database._WHOLE_SETUP_LOCK])
    other.close()

    said: list[str] = []
    with database.alone(said.append):
        assert said == []


@pytest.fixture
def run(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, with the three others noted instead of run; they have tests of their own."""
    settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"admin_password": SecretStr(PASSWORD)})
    called: list[str] = []
    monkeypatch.setattr(setup_platform, "call_command", lambda name, *_, **__: called.append(name))

    def command() -> tuple[str, list[str]]:
        output = StringIO()
        called.clear()
        call_command("setup_platform", stdout=output)
        return output.getvalue(), called

    return command


@pytest.mark.django_db
def test_brokers_come_before_the_database_and_the_first_admin_last(run: Any) -> None:
    output, called = run()

    assert called == ["declare_topology", "setup_database", "restart_market"]
    admin = User.objects.get(email=settings.ENVIRONMENT.admin_email)
    assert admin.roles == [Role.ADMIN]
    assert admin.check_password(PASSWORD)
    assert PASSWORD not in output


@pytest.mark.django_db
def test_an_account_that_is_there_keeps_its_password_and_roles(run: Any) -> None:
    admin = make_user(email=settings.ENVIRONMENT.admin_email, roles=["support"])

    run()

    before = admin.password
    admin.refresh_from_db()
    assert (admin.password, admin.roles) == (before, ["support"])


@pytest.mark.django_db
def test_topology_that_is_refused_ends_it_before_the_database_is_touched(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def refuse(name: str, *_: Any, **__: Any) -> None:
        called.append(name)
        raise RuntimeError

    monkeypatch.setattr(setup_platform, "call_command", refuse)

    with pytest.raises(RuntimeError):
        call_command("setup_platform")

    assert called == ["declare_topology"]
    assert not User.objects.exists()
