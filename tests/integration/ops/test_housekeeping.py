"""Housekeeping: each task in its turn, whatever becomes of the others; one process at a time; problems are told."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone
from kafka.admin import ConfigResource, ConfigResourceType
from prometheus_client import REGISTRY

from apps.accounts.models import EmailChange, LockoutCounter, UserSession
from apps.core.models import MachineKey, MachineKeyUse
from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.topology import kafka
from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from apps.messages.topics import Topic
from apps.ops.housekeeping.keeper import FIRST_RETRY_SECONDS, LEASE_SECONDS, Keeper
from apps.ops.housekeeping.partitions import partitions_ensure
from apps.ops.housekeeping.task import HousekeepingProblem, Lane, Task
from apps.ops.housekeeping.tasks import TASKS
from apps.ops.housekeeping.topics import topics_check
from tests.factories.accounts import UserServiceClient, make_user
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Chore:
    """A task that does what it is told, and counts."""

    def __init__(self, name: str, *, interval: float = 60.0) -> None:
        self.calls: list[datetime] = []
        self.left = 0
        self.error: Exception | None = None
        self.task = Task(name, Lane.TABLES, timedelta(seconds=interval), self._run)

    def _run(self, now: datetime) -> int:
        self.calls.append(now)
        if self.error is not None:
            raise self.error
        self.left -= 1
        return max(0, self.left + 1)


@pytest.fixture(autouse=True)
def _beats_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.0)
    heartbeats._written.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Iterator[Callable[..., Keeper]]:
    made: list[Keeper] = []

    def keeper(*chores: Chore) -> Keeper:
        made.append(Keeper(Lane.TABLES, [chore.task for chore in chores], clock=clock, now=lambda: NOW))
        return made[-1]

    yield keeper
    for each in made:
        each.close()


def _run(keeper: Keeper, steps: int = 10) -> None:
    for _ in range(steps):
        keeper.step()


def _beat() -> tuple[str, str]:
    row = ProcessHeartbeat.objects.get(name="housekeeping.tables")
    return row.state, row.detail


def _metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_each_task_runs_until_nothing_is_left_and_then_at_its_interval(
    make: Callable[..., Keeper], clock: Clock
) -> None:
    often, seldom = Chore("often", interval=10), Chore("seldom", interval=3600)
    seldom.left = 2
    keeper = make(often, seldom)
    _run(keeper)
    assert (often.calls, seldom.calls) == ([NOW], [NOW] * 3)

    clock.seconds += 11
    _run(keeper)

    assert (len(often.calls), len(seldom.calls)) == (2, 3)
    assert _beat() == ("up", "")
    assert _metric("housekeeping_items_total", task="seldom") == 3.0


def test_a_task_that_fails_keeps_no_other_from_running_and_is_told_until_it_works(
    make: Callable[..., Keeper], clock: Clock
) -> None:
    broken, refused, sound = Chore("broken"), Chore("refused"), Chore("sound")
    broken.error = ValueError("card 4111 1111 1111 1111")
    refused.error = HousekeepingProblem("The disk is full: empty it.")
    keeper = make(broken, refused, sound)

    _run(keeper)

    assert [len(each.calls) for each in (broken, refused, sound)] == [1, 1, 1]
    assert _beat() == ("down", "broken: ValueError, see the log. refused: The disk is full: empty it.")
    assert _metric("housekeeping_failing", task="broken") == 1.0
    assert _metric("housekeeping_runs_total", task="broken", outcome="failed") == 1.0

    broken.error = refused.error = None
    clock.seconds += FIRST_RETRY_SECONDS + 1
    keeper._leases.take()
    _run(keeper)

    assert [len(each.calls) for each in (broken, refused, sound)] == [2, 2, 1]
    assert _beat() == ("up", "")
    assert _metric("housekeeping_failing", task="broken") == 0.0


def test_a_task_that_the_database_fails_lets_the_loop_wait_and_the_next_task_run(make: Callable[..., Keeper]) -> None:
    locked, sound = Chore("locked"), Chore("sound")
    locked.error = OperationalError("canceling statement due to lock timeout")
    keeper = make(locked, sound)

    with pytest.raises(OperationalError):
        _run(keeper)
    _run(keeper)

    assert (len(locked.calls), len(sound.calls)) == (1, 1)


def test_of_two_processes_one_works_until_its_lease_ends(make: Callable[..., Keeper], clock: Clock) -> None:
    mine, theirs = Chore("mine"), Chore("theirs")
    first, second = make(mine), make(theirs)
    first.step()
    assert second.step() > 0
    assert (len(mine.calls), len(theirs.calls)) == (1, 0)

    first.close()
    clock.seconds += LEASE_SECONDS / 2
    second.step()

    assert len(theirs.calls) == 1


def test_a_process_that_could_not_renew_its_lease_does_nothing(make: Callable[..., Keeper], clock: Clock) -> None:
    mine, theirs = Chore("mine", interval=1), Chore("theirs")
    first, second = make(mine), make(theirs)
    first.step()
    with connection.cursor() as cursor:  # as after it hung for longer
        cursor.execute("UPDATE events.lease SET expires_at = now()")
    second.step()
    clock.seconds += LEASE_SECONDS

    first.step()

    assert (len(mine.calls), len(theirs.calls)) == (1, 1)


def test_every_task_of_the_platform_runs_and_runs_again_with_nothing_left() -> None:
    with admin_client() as admin:
        kafka.declare(admin)
    user = make_user()
    old = UserServiceClient(user)
    now = timezone.now()
    UserSession.objects.filter(pk=old.session_id).update(expires_at=now - timedelta(days=31))
    UserServiceClient(user)
    for subject, ends_at in ((b"x", now - timedelta(seconds=1)), (b"y", now + timedelta(minutes=1))):
        LockoutCounter.objects.create(kind="account", subject=subject * 32, window_ends_at=ends_at)
    ended, good = (
        MachineKey.objects.create(
            user_id=user.id, name="k", hint="h", digest=uuid4().bytes * 2, scopes=["read"], created_at=now, **ending
        )
        for ending in ({"revoked_at": now - timedelta(days=31), "revoked_reason": "revoked_by_user"}, {})
    )
    for key in (ended, good):
        MachineKeyUse.objects.create(key_id=key.id, network="192.0.2.1/32", first_used_at=now, last_used_at=now)
    EmailChange.objects.create(
        user=user, old_email="a@b.example", new_email="c@d.example", state="changed", requested_at=now,
        confirm_expires_at=now, revert_expires_at=now - timedelta(days=31),
    )  # fmt: skip
    ProcessHeartbeat.objects.create(  # of a process of an earlier release
        name="accounts", host="old", pid=1, state="up", detail="", beat_at=now - timedelta(minutes=11)
    )

    for _ in range(2):
        call_command("run_housekeeping", "--once")

    assert UserSession.objects.count() == 1
    assert bytes(LockoutCounter.objects.get().subject) == b"y" * 32
    assert MachineKeyUse.objects.get().key_id == good.id
    assert not EmailChange.objects.exists()
    assert not ProcessHeartbeat.objects.exists()


def test_a_task_that_fails_is_the_commands_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Chore("sound")

    def refuse(now: datetime) -> int:
        raise BrokerUnavailable("Kafka does not answer.")

    tasks = (Task("topics", Lane.CALLS, timedelta(hours=1), refuse), sound.task)
    monkeypatch.setattr("apps.ops.management.commands.run_housekeeping.TASKS", tasks)

    with pytest.raises(CommandError, match=r"topics: Kafka does not answer\."):
        call_command("run_housekeeping", "--once")
    assert len(sound.calls) == 1


def test_no_two_tasks_have_one_name() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS)


def test_a_month_that_cannot_be_made_is_told() -> None:
    assert partitions_ensure(timezone.now()) == 0
    with pytest.raises(HousekeepingProblem, match="The event store has no partition event_2041_01, event_2041_02"):
        partitions_ensure(datetime(2041, 1, 31, tzinfo=UTC))


@pytest.fixture
def topic() -> Iterator[Topic]:
    made = Topic(f"test.{token_hex(6)}", partitions=1)
    with admin_client() as admin:
        kafka.declare(admin, (made,))
        yield made
        admin.delete_topics([made.name], raise_errors=False)


def test_a_topic_that_keeps_events_for_less_than_ninety_days_is_told(topic: Topic) -> None:
    assert topics_check((topic,)) == 0
    with admin_client() as admin:
        changed = {"retention.ms": "3600000"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, changed)])

    def told() -> str:
        try:
            topics_check((topic,))
        except HousekeepingProblem as problem:
            return problem.message
        return ""

    eventually(told, seconds=10, what="what the broker says")
    assert f"topic {topic.name}: retention.ms is 3600000, should be 7776000000. Events could be gone" in told()
