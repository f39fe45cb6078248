"""A disabled user's bots send no order; enabled again, they may."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from apps.accounts.services.staff import user_update_by_staff
from apps.core.principal import Role
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import load_consumers
from apps.events.store.selectors import stream_list
from apps.risk.consumers import HALTS, USER_DISABLED
from apps.risk.models.halts import Halt, HaltLevel, HaltScope
from apps.risk.selectors import halt_strictest
from tests.factories.accounts import make_user
from tests.factories.risk import halted
from tests.factories.trading import NOW

pytestmark = pytest.mark.django_db

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
