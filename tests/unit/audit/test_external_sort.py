"""Lines are sorted with any amount of memory, and runs are read incrementally."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.audit.external_sort import external_sort


@given(st.lists(st.binary(max_size=20)), st.integers(1, 200))
def test_lines_come_in_the_order_of_their_bytes(texts: list[bytes], memory: int) -> None:
    lines = [text.replace(b"\n", b"") + b"\n" for text in texts]

    assert list(external_sort(lines, memory=memory)) == sorted(lines)


@pytest.mark.parametrize("is_sorted", [True, False])
def test_lines_longer_than_what_is_read_at_once_stay_whole(is_sorted: bool) -> None:
    numbers = list(range(300))
    if not is_sorted:
        random.Random(7).shuffle(numbers)
    lines = [b"%09d" % number + b"x" * 9_000 + b"\n" for number in numbers]

    assert list(external_sort(iter(lines), memory=20_000)) == sorted(lines)


def test_nothing_to_sort_is_nothing() -> None:
    assert list(external_sort(())) == []
