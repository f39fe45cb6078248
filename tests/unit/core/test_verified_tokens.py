"""Tokens that a process remembers as verified."""

from itertools import count

import pytest

from apps.core.identity.verified_tokens import VerifiedTokens


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("apps.core.memory.time.monotonic", lambda: now[0])
    return now


def test_a_token_is_verified_once(clock: list[float]) -> None:
    tokens, times = VerifiedTokens(), count(1)

    assert [tokens.get(b"token", lambda: next(times)) for _ in range(3)] == [1, 1, 1]


def test_it_is_verified_again_after_half_a_minute_so_that_a_withdrawn_key_is_noticed(clock: list[float]) -> None:
    tokens = VerifiedTokens()
    tokens.get(b"token", lambda: "first")
    clock[0] += 30

    assert tokens.get(b"token", lambda: "again") == "again"


def test_another_token_is_not_taken_for_it(clock: list[float]) -> None:
    tokens = VerifiedTokens()
    tokens.get(b"token", lambda: "mine")

    assert tokens.get(b"tokem", lambda: "other") == "other"


def test_what_was_refused_is_not_remembered(clock: list[float]) -> None:
    tokens = VerifiedTokens()

    def refuse() -> str:
        raise ValueError("refused")

    for _ in range(2):
        with pytest.raises(ValueError, match="refused"):
            tokens.get(b"token", refuse)
    assert tokens.get(b"token", lambda: "now it is good") == "now it is good"


def test_memory_is_bounded(clock: list[float]) -> None:
    tokens = VerifiedTokens()
    for number in range(10_001):
        tokens.get(str(number).encode(), lambda: "claims")

    assert tokens.get(b"0", lambda: "verified again") == "verified again"
    assert tokens.get(b"10000", lambda: "verified again") == "claims"
