"""The reconciler's keys are independent: one that is frozen or fails delays no other."""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from apps.trading.models.orders import OrderIntent
from apps.trading.reconciler import Reconciler
from tests.factories.trading import NOW, fake_exchange, planned_order
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


class Rounds:
    """Stands where the rounds of keys would be; counts them by key."""

    def __init__(self) -> None:
        self.begun: Counter[UUID] = Counter()
        self.frozen: set[UUID] = set()
        self.broken: set[UUID] = set()
        self.thaw = threading.Event()

    def __call__(self, key: UUID, **_: Any) -> int:
        self.begun[key] += 1
        if key in self.frozen:
            self.thaw.wait(30)
        if key in self.broken:
            raise RuntimeError("unforeseen")
        return 1


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    rounds = Rounds()
    yield rounds
    rounds.thaw.set()


def due_keys(number: int) -> list[UUID]:
    """Keys with an order each that has been due since the beginning of the year."""
    keys = [planned_order(fake_exchange()).intent.credential_id for _ in range(number)]
    OrderIntent.objects.update(next_check_at=NOW)
    return keys


def test_a_frozen_key_delays_no_other_and_has_one_round(rounds: Rounds) -> None:
    frozen, *others = due_keys(4)
    rounds.frozen = {frozen}
    reconciler = Reconciler(reconcile=rounds)

    def served() -> bool:
        reconciler.step()
        return all(rounds.begun[key] >= 3 for key in others)

    eventually(served, what="rounds of the other keys")
    assert rounds.begun[frozen] == 1
    rounds.thaw.set()
    reconciler.close()


def test_a_key_that_fails_waits_and_the_others_go_on(rounds: Rounds) -> None:
    broken, other = due_keys(2)
    rounds.broken = {broken}
    now = [100.0]
    reconciler = Reconciler(reconcile=rounds, monotonic=lambda: now[0])

    def begun(key: UUID, times: int) -> bool:
        reconciler.step()
        return rounds.begun[key] >= times

    eventually(lambda: begun(other, 5), what="rounds of the other key")
    assert rounds.begun[broken] == 1
    now[0] += 61
    eventually(lambda: begun(broken, 2), what="the next round of the key that failed")
    reconciler.close()
