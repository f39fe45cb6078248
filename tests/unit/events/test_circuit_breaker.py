"""One bad event is set aside; a fault of all events opens the breaker."""

from apps.events.process.circuit_breaker import CircuitBreaker


def _give_up(breaker: CircuitBreaker, count: int = 1, of: int = 1) -> bool:
    allowed = breaker.may_give_up(count, of=of)
    if allowed:
        breaker.gave_up(count)
    return allowed


def test_a_single_bad_event_may_be_given_up() -> None:
    breaker = CircuitBreaker()
    assert _give_up(breaker)
    assert not breaker.is_open


def test_the_tenth_in_a_row_opens_the_breaker() -> None:
    breaker = CircuitBreaker()
    assert [_give_up(breaker) for _ in range(10)] == [True] * 9 + [False]
    assert breaker.is_open


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = CircuitBreaker()
    for _ in range(30):
        breaker.succeeded(2)
        assert _give_up(breaker)


def test_more_than_half_of_a_batch_is_too_much() -> None:
    assert not _give_up(CircuitBreaker(max_consecutive=1000), 51, of=100)
    assert _give_up(CircuitBreaker(max_consecutive=1000), 50, of=100)


def test_of_a_few_events_a_part_says_nothing() -> None:
    assert _give_up(CircuitBreaker(), 3, of=3)


def test_a_success_closes_an_open_breaker() -> None:
    breaker = CircuitBreaker()
    for _ in range(10):
        _give_up(breaker)
    assert breaker.is_open

    breaker.succeeded()

    assert not breaker.is_open


def test_old_failures_are_forgotten() -> None:
    breaker = CircuitBreaker(max_consecutive=1000)
    breaker.gave_up(45)
    breaker.succeeded(100)
    assert _give_up(breaker, 45, of=100)
