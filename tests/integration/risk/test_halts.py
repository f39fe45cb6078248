"""Halts: one in force for each cause, the strictest holds, and each is announced when it is set and lifted."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.events.store.selectors import stream_list
from apps.messages.risk import HaltLifted, HaltSet
from apps.risk.models.halts import PLATFORM_ID, Halt, HaltLevel, HaltScope, HaltSource
from apps.risk.selectors import halt_sentence, halt_strictest, halts_covering
from apps.risk.services.halts import halt_lift, halt_lift_by_id
from tests.factories.risk import halted

pytestmark = pytest.mark.django_db

BOT, KEY, USER = uuid4(), uuid4(), uuid4()
SUBJECTS = {HaltScope.BOT: BOT, HaltScope.KEY: KEY, HaltScope.USER: USER, HaltScope.PLATFORM: PLATFORM_ID}


def strictest() -> Halt | None:
    return halt_strictest(bot_id=BOT, credential_id=KEY, user_id=USER)


@pytest.mark.parametrize("scope", HaltScope)
def test_a_halt_covers_the_bots_of_its_subject_only(scope: HaltScope) -> None:
    halt = halted(scope, SUBJECTS[scope])

    assert strictest() == halt
    others = halts_covering(bot_id=uuid4(), credential_id=uuid4(), user_id=uuid4())
    assert list(others) == ([halt] if scope == HaltScope.PLATFORM else [])


def test_the_strictest_of_several_halts_holds() -> None:
    now = timezone.now()
    halted(HaltScope.PLATFORM, level=HaltLevel.REDUCING, now=now - timedelta(hours=1))
    strict = halted(HaltScope.KEY, KEY, level=HaltLevel.HALTED, now=now)
    halted(HaltScope.BOT, BOT, level=HaltLevel.REDUCING, now=now - timedelta(hours=2))

    assert strictest() == strict
    assert halt_sentence(strict) == (
        f"Every bot of this exchange key is halted since {now:%Y-%m-%d %H:%M} UTC: Something is to be looked at."
    )


def test_setting_the_same_halt_again_is_one_halt_and_one_event() -> None:
    halt = halted(HaltScope.BOT, BOT)
    assert halted(HaltScope.BOT, BOT) == halt

    assert Halt.objects.count() == 1
    assert told(halt.id) == [HaltSet.declaration.name]


def test_another_level_of_the_same_cause_replaces_the_halt_and_keeps_its_history() -> None:
    first = halted(HaltScope.BOT, BOT, level=HaltLevel.REDUCING)
    second = halted(HaltScope.BOT, BOT, level=HaltLevel.HALTED)

    first.refresh_from_db()
    assert (first.is_in_force, first.lifted_because) == (False, "replaced")
    assert strictest() == second


def test_lifting_one_cause_leaves_the_other() -> None:
    now = timezone.now()
    halted(HaltScope.BOT, BOT, code="account_drift")
    other = halted(HaltScope.BOT, BOT, code="key_suspended")

    lifted = halt_lift(
        scope=HaltScope.BOT, subject_id=BOT, source=HaltSource.SYSTEM, code="account_drift",
        lifted_by="reconciler", because="the balances agree", now=now,
    )  # fmt: skip

    assert lifted is not None
    assert strictest() == other
    assert told(lifted.id) == [HaltSet.declaration.name, HaltLifted.declaration.name]


def test_lifting_twice_is_told_once() -> None:
    halt = halted(HaltScope.USER, USER)
    for _ in range(2):
        halt_lift_by_id(halt_id=halt.id, lifted_by="staff", because="all is well", now=timezone.now())

    assert strictest() is None
    assert told(halt.id) == [HaltSet.declaration.name, HaltLifted.declaration.name]


def test_a_second_halt_of_one_cause_is_refused_by_the_database() -> None:
    halt = halted(HaltScope.BOT, BOT)
    with pytest.raises(IntegrityError), transaction.atomic():
        Halt.objects.create(
            scope=halt.scope, subject_id=halt.subject_id, user_id=halt.user_id, level=halt.level, source=halt.source,
            code=halt.code, reason="again", set_by="someone else", since=halt.since,
        )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"scope": "planet"}, {"level": "rather"}, {"source": "nobody"}, {"user_id": None}, {"lifted_at": timezone.now()}],
)
def test_a_halt_that_makes_no_sense_is_refused_by_the_database(wrong: dict[str, object]) -> None:
    halt = halted(HaltScope.BOT, BOT)
    with pytest.raises(IntegrityError), transaction.atomic():
        Halt.objects.filter(id=halt.id).update(**wrong)


def told(halt_id: UUID) -> list[str]:
    return [each.event_type for each in stream_list(aggregate_type="halt", aggregate_id=halt_id)]
