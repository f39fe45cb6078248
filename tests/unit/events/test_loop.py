from apps.events.loop import Stop, run_until_stopped


def test_the_loop_ends_by_the_stop_it_was_given() -> None:
    stop = Stop()
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        assert steps < 10, "the loop does not look at the stop that it was given"
        if steps == 3:
            stop.request()
        return 0.0

    run_until_stopped(step, stop=stop)

    assert steps == 3
    stop.close()
