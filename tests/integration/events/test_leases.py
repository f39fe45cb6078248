"""Leases: one owner at a time, a fencing token that only grows, and an owner that stops before the lease expires."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.events.models import Lease
from apps.events.process.leases import LeaseSet

pytestmark = pytest.mark.django_db(transaction=True)


def _leases(seconds: float = 30.0, slots: int = 4) -> LeaseSet:
    return LeaseSet("test", range(slots), seconds=seconds)


def test_the_first_owner_takes_all_and_the_second_gets_nothing() -> None:
    first, second = _leases(), _leases()

    assert first.take() == {0, 1, 2, 3}
    assert second.take() == frozenset()
    assert [first.fence(slot) for slot in range(4)] == [1, 1, 1, 1]


def test_renewing_keeps_the_epoch() -> None:
    leases = _leases()
    leases.take()
    leases.renew()
    assert leases.fence(0) == 1


def test_an_expired_lease_goes_to_the_next_owner_with_a_higher_epoch() -> None:
    first, second = _leases(), _leases()
    first.take()
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert second.take() == {0, 1, 2, 3}
    assert second.fence(0) == 2
    assert first.take() == frozenset()


def test_an_owner_whose_own_lease_expired_gets_a_new_epoch() -> None:
    leases = _leases()
    leases.take()
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    leases.take()
    assert leases.fence(0) == 2


def test_released_leases_are_free_at_once_and_the_epoch_does_not_go_back() -> None:
    first, second = _leases(), _leases()
    first.take()

    first.release()

    assert first.held() == frozenset()
    assert second.take() == {0, 1, 2, 3}
    assert second.fence(0) == 2


def test_an_owner_stops_relying_on_a_lease_before_it_ends() -> None:
    leases = _leases(seconds=1.0)
    leases.take()
    assert leases.held() == {0, 1, 2, 3}

    time.sleep(0.85)

    assert leases.held() == frozenset()
    assert Lease.objects.filter(expires_at__gt=timezone.now()).exists()


def test_keep_asks_the_database_only_when_a_renewal_is_due() -> None:
    leases = _leases(seconds=1.0)
    leases.keep()
    expires_at = Lease.objects.get(name="test:00").expires_at
    leases.keep()
    assert Lease.objects.get(name="test:00").expires_at == expires_at
    time.sleep(0.35)
    leases.keep()
    assert Lease.objects.get(name="test:00").expires_at > expires_at


def test_many_who_ask_at_once_get_disjoint_leases_and_no_deadlock() -> None:
    def compete(_: int) -> frozenset[int]:
        try:
            return LeaseSet("test", range(64), seconds=30).take()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(compete, range(8)))

    assert sum(map(len, taken)) == 64
    assert frozenset().union(*taken) == frozenset(range(64))


class TestAClockThatWasSetBack:
    """The lease of an owner that died an hour ahead ends an hour late. One that lives renews it."""

    def test_the_lease_of_a_dead_owner_is_taken_after_its_own_duration(self) -> None:
        dead = _leases()
        dead.take()
        Lease.objects.update(expires_at=timezone.now() + timedelta(hours=1))
        passed = 0.0
        standby = LeaseSet("test", range(4), seconds=30.0, clock=lambda: passed)

        assert standby.take() == frozenset()
        passed = 29.0
        assert standby.take() == frozenset()
        passed = 30.0
        standby.take()
        assert standby.take() == {0, 1, 2, 3}
        assert standby.fence(0) == 2

    def test_the_lease_of_a_living_owner_is_not(self) -> None:
        owner = _leases()
        owner.take()
        passed = 0.0
        standby = LeaseSet("test", range(4), seconds=30.0, clock=lambda: passed)
        for hours_ahead in (1, 0.99, 0.98, 0.97):
            Lease.objects.update(expires_at=timezone.now() + timedelta(hours=hours_ahead))
            passed += 29.0
            assert standby.take() == frozenset()
        owner.take()
        passed += 60.0
        assert standby.take() == frozenset()
