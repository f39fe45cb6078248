"""The delay between attempts doubles up to a cap, and starts again after a success."""

from apps.events.process.backoff import Backoff, delay_seconds


def test_the_delay_doubles_up_to_the_cap() -> None:
    backoff = Backoff(first_seconds=0.5, max_seconds=5.0)

    assert [backoff.failed() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_success_starts_again_from_the_first_delay_and_tells_how_many_attempts_failed() -> None:
    backoff = Backoff(first_seconds=1.0, max_seconds=10.0)
    backoff.failed()
    backoff.failed()

    assert backoff.succeeded() == 2
    assert backoff.succeeded() == 0
    assert backoff.failed() == 1.0


def test_an_outage_of_days_does_not_overflow() -> None:
    assert delay_seconds(1_000_000, first_seconds=0.5, max_seconds=5.0) == 5.0


def test_a_first_delay_above_the_cap_is_capped() -> None:
    assert Backoff(first_seconds=9.0, max_seconds=5.0).failed() == 5.0
