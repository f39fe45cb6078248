"""Ended sessions in memory: read every few seconds, and no token is accepted where they cannot be read."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.core.identity.revocations import OVERLAP, READ_EVERY, STALE_AFTER, RevocationsUnknown, RevokedSessions

NOW = timezone.now()


class Table:
    """The table, its clock and its failures."""

    def __init__(self) -> None:
        self.rows: list[tuple[UUID, datetime, datetime]] = []
        self.time = 1000.0
        self.reads: list[datetime | None] = []
        self.is_down = False

    def end(self, session_id: UUID, *, recorded_at: datetime = NOW, lasts: timedelta = timedelta(minutes=11)) -> None:
        self.rows.append((session_id, NOW + lasts, recorded_at))

    def read(self, recorded_until: datetime | None) -> Any:
        self.reads.append(recorded_until)
        if self.is_down:
            raise OperationalError
        return [row for row in self.rows if recorded_until is None or row[2] > recorded_until - OVERLAP]

    def wait(self, time: timedelta) -> None:
        self.time += time.total_seconds()


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def sessions(table: Table) -> RevokedSessions:
    return RevokedSessions(table.read, clock=lambda: table.time)


def test_a_session_that_ended_is_known_after_the_next_read(table: Table, sessions: RevokedSessions) -> None:
    session = uuid4()
    assert not sessions.contains(session)
    table.end(session)
    assert not sessions.contains(session)

    table.wait(READ_EVERY)

    assert sessions.contains(session)
    assert not sessions.contains(uuid4())


def test_between_two_reads_the_table_is_left_alone(table: Table, sessions: RevokedSessions) -> None:
    for _ in range(100):
        sessions.contains(uuid4())
    assert table.reads == [None]


def test_a_row_that_became_visible_late_is_not_missed(table: Table, sessions: RevokedSessions) -> None:
    late = uuid4()
    table.end(uuid4(), recorded_at=NOW)
    sessions.contains(late)
    table.end(late, recorded_at=NOW - timedelta(seconds=30))  # its transaction was open for longer

    table.wait(READ_EVERY)

    assert sessions.contains(late)
    assert table.reads == [None, NOW]


def test_while_the_table_cannot_be_read_what_is_known_holds_for_a_while(
    table: Table, sessions: RevokedSessions
) -> None:
    ended = uuid4()
    table.end(ended)
    assert sessions.contains(ended)
    table.is_down = True

    table.wait(READ_EVERY)

    assert sessions.contains(ended)
    assert not sessions.contains(uuid4())
    assert sessions.unread_seconds() == READ_EVERY.total_seconds()


def test_after_too_long_without_a_read_no_token_is_accepted_until_one_succeeds(
    table: Table, sessions: RevokedSessions
) -> None:
    sessions.contains(uuid4())
    table.is_down = True
    table.wait(STALE_AFTER)
    for _ in range(2):
        with pytest.raises(RevocationsUnknown):
            sessions.contains(uuid4())

    table.is_down = False

    assert not sessions.contains(uuid4())
    assert sessions.unread_seconds() is None


def test_a_process_that_was_never_able_to_read_accepts_nothing(table: Table, sessions: RevokedSessions) -> None:
    table.is_down = True
    with pytest.raises(RevocationsUnknown):
        sessions.contains(uuid4())


def test_a_process_without_requests_reads_before_it_answers_again(table: Table, sessions: RevokedSessions) -> None:
    session = uuid4()
    sessions.contains(session)
    table.end(session)
    table.wait(timedelta(hours=1))

    assert sessions.contains(session)


def test_sessions_whose_tokens_have_expired_are_forgotten(table: Table, sessions: RevokedSessions) -> None:
    session = uuid4()
    table.end(session, lasts=timedelta(seconds=-1))
    sessions.contains(session)
    table.rows.clear()
    table.wait(READ_EVERY)

    assert not sessions.contains(session)


def test_all_of_it_is_known_well_within_a_minute() -> None:
    assert timedelta(seconds=60) >= READ_EVERY + STALE_AFTER
