"""Random kills, freezes and cuts while events, commands and status messages are written: none lost, none inverted."""

import pytest

from tests.chaos.rounds import Tally, has_backlog, play, seeds
from tests.chaos.stack import Stack

SHORT_RUNS = 2
LONG_RUNS = 200
ROUNDS_BETWEEN_PROOFS = 25

# Beyond what the first rounds needed, before it counts as growth.
SPARE_MEMORY_MIB = 60.0
SPARE_THREADS = 6
SPARE_FILES = 25


@pytest.mark.timeout(600)
def test_a_few_rounds(stack: Stack) -> None:
    survive(stack, SHORT_RUNS)


@pytest.mark.chaos
@pytest.mark.timeout(6 * 3600)
def test_many_rounds(stack: Stack) -> None:
    survive(stack, LONG_RUNS)


def survive(stack: Stack, runs: int) -> None:
    """Plays every round, whatever the ones before have shown, and fails with all that was wrong."""
    wanted = seeds(runs)
    tally = Tally()
    print()
    for number, seed in enumerate(wanted, 1):
        round_ = play(stack, seed, has_backlog=has_backlog(number, len(wanted)))
        tally.rounds.append(round_)
        tally.measure(stack.fleet.sizes())
        print(round_.line(number, len(wanted)), flush=True)
        for problem in round_.findings.problems:
            print(f"        {problem}", flush=True)
        if number % ROUNDS_BETWEEN_PROOFS == 0 or number == len(wanted):
            stack.manage("run_checkpointer", "--once", SERVICE="staff")
            stack.manage("audit_verify", SERVICE="staff")
    print(tally.summary(), flush=True)
    broken = [each for each in tally.rounds if each.findings.problems]
    assert not broken, "\n".join(
        f"seed {each.seed} ({each.story}): {'; '.join(each.findings.problems)}" for each in broken
    )
    assert tally.growth(memory_mib=SPARE_MEMORY_MIB, threads=SPARE_THREADS, files=SPARE_FILES) == []
