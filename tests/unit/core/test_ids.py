"""Ids are UUIDv7: unique, and sortable by time."""

import time

from apps.core.ids import new_id


def test_ids_have_the_version_and_variant_of_rfc_9562() -> None:
    identifier = new_id()
    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")


def test_later_ids_sort_behind_earlier_ones() -> None:
    first = new_id()
    time.sleep(0.000_01)
    assert first < new_id()


def test_ids_carry_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= new_id().int >> 80 <= time.time_ns() // 1_000_000


def test_ids_do_not_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
