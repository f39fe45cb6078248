"""When a partition's next record is due, on a clock of the test's own."""

from uuid import uuid4

from apps.events.consumers.inbound import InboundRecord
from apps.events.consumers.partition import HALT_SECONDS, RETRY_DELAYS_SECONDS, Partition


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(offset: int) -> InboundRecord:
    return InboundRecord(
        topic="t", partition=0, offset=offset, key=uuid4(), event_id=uuid4(), event_type="t", envelope=None,
        problem="unreadable", raw=None,
    )  # fmt: skip


def partition(clock: Clock, *offsets: int) -> Partition:
    made = Partition(clock)
    made.pending.extend(record(offset) for offset in offsets)
    return made


def test_a_record_that_failed_is_due_after_each_delay_and_the_last_delay_stays() -> None:
    clock = Clock()
    work = partition(clock, 0)
    for delay in (*RETRY_DELAYS_SECONDS, RETRY_DELAYS_SECONDS[-1]):
        work.failed()
        assert not work.is_due
        assert work.seconds_until_due == delay
        clock.now += delay
        assert work.is_due


def test_a_handled_record_clears_the_delay_and_moves_the_position() -> None:
    clock = Clock()
    work = partition(clock, 7, 8)
    work.failed()
    work.done()
    assert (work.position, work.attempts, work.is_due) == (8, 0, True)
    assert work.needs_commit


def test_a_halt_counts_no_attempt() -> None:
    clock = Clock()
    work = partition(clock, 0)
    work.halt()
    assert (work.attempts, work.seconds_until_due) == (0, HALT_SECONDS)


def test_an_empty_partition_is_never_due() -> None:
    assert not Partition(Clock()).is_due
