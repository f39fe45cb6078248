"""A disabled user's bots send no order; enabled again, they may."""

import time
from contextlib import closing
from datetime import timedelta
from importlib import import_module
from io import StringIO
from uuid import UUID, uuid4

import pytest
import structlog
from django.apps import apps
from django.core.management import call_command
from django.utils import timezone

from apps.accounts.services.staff import user_update_by_staff
from apps.core.identity.principal import Role
from apps.events.consumers.delivery import deliver
from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import load_consumers
from apps.events.outbox.relay.relay import Relay
from apps.events.store.selectors import stream_list
from apps.risk.consumers import HALTS, USER_DISABLED
from apps.risk.models.halts import Halt, HaltLevel, HaltScope
from apps.risk.selectors import halt_strictest
from apps.trading.errors import OrderBarred
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.services.orders.lifecycle import intent_mark_sending
from tests.factories.accounts import make_user
from tests.factories.risk import halted
from tests.factories.trading import NOW, fake_exchange, planned_order

pytestmark = pytest.mark.django_db

log = structlog.get_logger(__name__)

load_consumers()


def set_active(user_id: UUID, is_active: bool) -> None:
    user_update_by_staff(
        user_id=user_id,
        changes={"is_active": is_active},
        staff_id=uuid4(),
        staff_roles=frozenset({Role.ADMIN}),
        now=timezone.now(),
    )


def deliver_all(user_id: UUID) -> None:
    for envelope in stream_list(aggregate_type="user", aggregate_id=user_id):
        if envelope.event_type in ("user.disabled", "user.enabled"):
            deliver(envelope, group=HALTS)


def halt_of(user_id: UUID) -> Halt | None:
    return halt_strictest(bot_id=uuid4(), credential_id=uuid4(), user_id=user_id)


def test_disabling_an_account_halts_its_bots_and_enabling_lifts_that() -> None:
    user = make_user()
    set_active(user.id, False)
    deliver_all(user.id)

    halt = halt_of(user.id)
    assert halt is not None
    assert (halt.level, halt.code, halt.reason) == (HaltLevel.HALTED, USER_DISABLED, "The account is disabled.")

    set_active(user.id, True)
    deliver_all(user.id)
    assert halt_of(user.id) is None


def test_enabling_an_account_leaves_what_others_halted() -> None:
    user = make_user()
    other = halted(HaltScope.USER, user.id, now=NOW - timedelta(hours=1))
    set_active(user.id, False)
    set_active(user.id, True)
    deliver_all(user.id)
    assert halt_of(user.id) == other


def test_a_change_of_anything_else_halts_nothing() -> None:
    user = make_user()
    user_update_by_staff(
        user_id=user.id, changes={"name": "Ada"}, staff_id=uuid4(), staff_roles=frozenset({Role.ADMIN}), now=NOW
    )
    deliver_all(user.id)
    assert not Halt.objects.exists()


def halt_disabled_users() -> None:
    migration = import_module("apps.risk.migrations.0007_halts_of_disabled_users")
    migration.halt_disabled_users(apps, None)


def test_an_account_that_was_disabled_before_there_were_halts_gets_its_halt_once() -> None:
    disabled, active = make_user(is_active=False), make_user()
    halt_disabled_users()
    halt_disabled_users()

    halt = Halt.objects.get()
    assert (halt.subject_id, halt.user_id, halt.level) == (disabled.id, disabled.id, HaltLevel.HALTED)
    assert halt_of(active.id) is None

    set_active(disabled.id, True)
    deliver_all(disabled.id)
    assert halt_of(disabled.id) is None


def test_an_account_whose_disabling_was_told_gets_no_second_halt() -> None:
    user = make_user()
    set_active(user.id, False)
    deliver_all(user.id)
    told = Halt.objects.get()
    halt_disabled_users()
    assert Halt.objects.get() == told


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(120)
def test_disabling_reaches_the_bots_through_kafka_and_no_entry_is_marked_after_it() -> None:
    call_command("declare_topology", "--only", "kafka", stdout=StringIO())
    planned = planned_order(fake_exchange())
    user = make_user(id=planned.run.user_id)
    with closing(Relay(lease_seconds=3.0)) as relay, closing(GroupConsumer(HALTS)) as consumer:
        _warm_up(relay, consumer)

        disabled_at = time.monotonic()
        set_active(user.id, False)
        _step_until_halted(user.id, relay, consumer)
        log.info("user_halted_through_kafka", seconds=round(time.monotonic() - disabled_at, 2))

    with pytest.raises(OrderBarred, match="The account is disabled"):
        intent_mark_sending(lease=planned.lease, intent_id=planned.intent.id, now=timezone.now())
    assert OrderIntent.objects.get().state == IntentState.PLANNED


def _warm_up(relay: Relay, consumer: GroupConsumer) -> None:
    """Leases taken and partitions assigned, as in processes that run."""
    other = make_user()
    set_active(other.id, False)
    _step_until_halted(other.id, relay, consumer)


def _step_until_halted(user_id: UUID, relay: Relay, consumer: GroupConsumer) -> None:
    deadline = time.monotonic() + 60
    while halt_of(user_id) is None:
        assert time.monotonic() < deadline, "no halt within 60 s"
        time.sleep(min(relay.step(), consumer.step(), 0.05))
