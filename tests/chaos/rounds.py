"""One round: write, break, heal, wait until all is caught up, and judge."""

import heapq
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from tests.chaos.backlogs import DRAIN_SECONDS, STANDING_STILL, Backlog, draw_backlog, fill, standing_still
from tests.chaos.evidence import Findings
from tests.chaos.faults import Fault, draw
from tests.chaos.fleet import Size
from tests.chaos.stack import BATCH_ROWS, Stack
from tests.chaos.writer import Order
from tests.support.waiting import comes_true

WRITE_SECONDS = 2.5
KEYS = 12
# Work resumes within this time of the servers' return.
RECOVERY_SECONDS = 30.0

# Offsets are committed, and heartbeats written, so long after the last message at most.
SETTLE_SECONDS = 20.0

RUNS_VARIABLE = "CHAOS_RUNS"
SEED_VARIABLE = "CHAOS_SEED"
BACKLOG_VARIABLE = "CHAOS_BACKLOG_EVERY"
RUNS_OF_ONE_SEED = 10
# A backlog takes several times as long as another round.
ROUNDS_BETWEEN_BACKLOGS = 25


@dataclass(frozen=True)
class Round:
    seed: int
    faults: list[Fault]
    findings: Findings
    recovery_seconds: float
    seconds: float
    backlog: Backlog | None = None

    def line(self, number: int, of: int) -> str:
        found = self.findings
        outcome = f"{len(found.problems)} PROBLEMS" if found.problems else "ok"
        return (
            f"  {number:>4}/{of}  {outcome}  seed {self.seed:<10}  {found.events:>4} in Kafka  "
            f"{found.commands:>3} commands  {found.statuses:>3} statuses  {found.duplicates:>3} twice  "
            f"{found.stuck} stuck  caught up in {self.recovery_seconds:>4.1f} s ({self.seconds:>4.1f} s)  "
            f"{self.story}"
        )

    @property
    def story(self) -> str:
        parts = [*([self.backlog] if self.backlog else []), *self.faults]
        return "; ".join(map(str, parts)) or "no fault"


@dataclass
class Tally:
    """Of all rounds of a session."""

    rounds: list[Round] = field(default_factory=list)
    looks: dict[tuple[str, int], list[Size]] = field(default_factory=dict)

    def measure(self, sizes: dict[str, Size]) -> None:
        """First and last look at each process, as long as it is the same one."""
        for name, size in sizes.items():
            self.looks.setdefault((name, size.pid), []).append(size)

    def growth(self, *, memory_mib: float, threads: int, files: int) -> list[str]:
        """Processes that hold more than so much more than at their second look: at the first they may be starting."""
        found = []
        for (name, pid), looks in self.looks.items():
            settled, last = looks[min(1, len(looks) - 1)], looks[-1]
            if (
                last.memory_mib > settled.memory_mib + memory_mib
                or last.threads > settled.threads + threads
                or last.files > settled.files + files
            ):
                found.append(f"{name} ({pid}): {settled} → {last} in {len(looks)} rounds")
        return found

    def summary(self) -> str:
        rounds = self.rounds
        kinds = Counter(fault.kind for each in rounds for fault in each.faults)
        slowest = max(rounds, key=lambda each: each.recovery_seconds)
        lines = [
            f"  {len(rounds)} rounds, {sum(kinds.values())} faults: "
            + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
            f"  {sum(each.findings.events for each in rounds)} messages in Kafka, "
            f"{sum(each.findings.commands for each in rounds)} commands, "
            f"{sum(each.findings.statuses for each in rounds)} statuses; "
            f"{sum(each.findings.duplicates for each in rounds)} of them twice, "
            f"at most {max(each.findings.duplicates for each in rounds)} in a round",
            f"  slowest to catch up: {slowest.recovery_seconds:.1f} s, seed {slowest.seed}",
        ]
        for (name, _), looks in sorted(self._longest_lived().items()):
            first, last = looks[min(1, len(looks) - 1)], looks[-1]
            lines.append(
                f"  {name:<12} over {len(looks):>3} rounds: {first.memory_mib:>4.0f} → {last.memory_mib:>4.0f} MiB  "
                f"{first.threads:>3} → {last.threads:>3} threads  {first.files:>3} → {last.files:>3} files"
            )
        return "\n".join(lines)

    def _longest_lived(self) -> dict[tuple[str, int], list[Size]]:
        """Of each name, the process that lived through the most rounds."""
        longest: dict[str, int] = {}
        for (name, pid), looks in self.looks.items():
            if name not in longest or len(looks) > len(self.looks[name, longest[name]]):
                longest[name] = pid
        return {(name, pid): self.looks[name, pid] for name, pid in longest.items()}


def seeds(default_runs: int) -> list[int]:
    """Those to run: CHAOS_RUNS of them, fresh ones or the one that CHAOS_SEED names, again and again.

    A seed decides what is written and what breaks when; what happens between the processes is new each time. Fresh
    seeds of rounds with a backlog are such that everybody stands still in turn.
    """
    given = os.environ.get(SEED_VARIABLE)
    runs = int(os.environ.get(RUNS_VARIABLE) or (RUNS_OF_ONE_SEED if given else default_runs))
    if given:
        return [int(given)] * runs
    turns = itertools.cycle(STANDING_STILL)
    return [_seed(next(turns) if has_backlog(number, runs) else None) for number in range(1, runs + 1)]


def _seed(whose: str | None) -> int:
    fresh = random.SystemRandom()
    while True:
        seed = fresh.randrange(10**9)
        if whose is None or draw_backlog(seed).whose == whose:
            return seed


def has_backlog(number: int, of: int) -> bool:
    """Whether round `number` of so many is one of the rounds with a backlog: the last of every so many, and of all."""
    every = int(os.environ.get(BACKLOG_VARIABLE) or ROUNDS_BETWEEN_BACKLOGS)
    return number % min(every, of) == 0


def play(stack: Stack, seed: int, *, has_backlog: bool = False) -> Round:
    """Whatever is found is in the round's findings; servers and network are whole afterwards."""
    began = time.monotonic()
    faults = draw(seed, seconds=WRITE_SECONDS)
    keys = fresh_keys()
    marks = stack.evidence.marks()
    kills = Counter(stack.fleet.kills)
    backlog, failures = draw_backlog(seed) if has_backlog else None, None
    if backlog is None:
        stack.write(Order(seed=seed, seconds=WRITE_SECONDS, keys=keys))
    else:
        with standing_still(stack, backlog):
            failures = fill(stack, seed, keys, backlog)
    try:
        _act(stack, faults)
    finally:
        stack.servers.heal()
    healed = time.monotonic()
    journal = stack.journal(seconds=60)
    patience = RECOVERY_SECONDS if backlog is None else DRAIN_SECONDS
    is_caught_up = comes_true(lambda: stack.evidence.is_caught_up(keys), seconds=patience)
    recovery_seconds = time.monotonic() - healed
    waiting = stack.evidence.waiting(keys)
    findings = stack.evidence.judge(keys, journal, marks)
    if not is_caught_up:
        rows, unseen, undone = waiting
        findings.problems.append(
            f"not caught up after {patience:g} s: {rows} in the outbox, {unseen} not seen, {undone} not done"
        )
    if failures is not None:
        comes_true(failures.are_settled, seconds=RECOVERY_SECONDS)
        findings.expect_none("failed messages that no router put away", failures.lost())
    if not comes_true(lambda: not stack.leftovers.found(), seconds=SETTLE_SECONDS):
        stuck = stack.leftovers.found()
        findings.stuck = len(stuck)
        findings.expect_none("stuck", stuck)
    most = BATCH_ROWS * sum(fault.may_repeat_a_batch for fault in faults)
    if backlog is not None:
        # Each relay that is killed, or overtaken while it stands still, may leave a batch that is sent again.
        most += BATCH_ROWS * sum(1 + stack.fleet.kills[name] - kills[name] for name in STANDING_STILL["relay"])
    if findings.duplicates > most:
        findings.problems.append(f"{findings.duplicates} events were sent twice, at most {most} may be")
    findings.problems += stack.fleet.unexpected_ends
    stack.fleet.unexpected_ends = []
    return Round(seed, faults, findings, recovery_seconds, time.monotonic() - began, backlog)


def _act(stack: Stack, faults: list[Fault]) -> None:
    """Begins and ends the faults on time, or as soon after as can be."""
    began = time.monotonic()
    order = itertools.count()
    due: list[tuple[float, int, Fault, Callable[[], None] | None]] = [
        (fault.at, next(order), fault, None) for fault in faults
    ]
    heapq.heapify(due)
    while due:
        at, _, fault, end = heapq.heappop(due)
        time.sleep(max(0.0, began + at - time.monotonic()))
        if end is not None:
            end()
        else:
            ends = fault.begin(stack)
            heapq.heappush(due, (time.monotonic() - began + fault.seconds, next(order), fault, ends))


def fresh_keys() -> tuple[str, ...]:
    """Half of them bots, half of them accounts; never the same ones again."""
    return tuple(str(UUID(int=uuid4().int & ~1 | number % 2)) for number in range(KEYS))
