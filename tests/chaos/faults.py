"""What goes wrong in a round, drawn from a seed: each fault begins, lasts, and is over."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.chaos.stack import Stack

BROKERS = ("kafka", "rabbitmq", "redis")
SERVERS = (*BROKERS, "postgres")
SENDERS = ("relay-1", "relay-2", "dispatcher")
READERS = ("router", "consumer", "status")

# kind: how often, of what, and for how long it may last, in seconds
KINDS: dict[str, tuple[float, tuple[str, ...], tuple[float, float]]] = {
    "kill": (9, (*SENDERS, *SENDERS, *READERS, "worker"), (0, 0)),
    "kill child": (3, ("worker",), (0, 0)),
    # Longer than a lease: somebody else has taken over when it goes on.
    "freeze process": (4, (*SENDERS, *READERS), (1.0, 4.5)),
    "freeze": (5, BROKERS, (1.0, 3.0)),
    "refuse": (3, SERVERS, (0.5, 2.0)),
    "silence": (3, SERVERS, (0.5, 2.0)),
    "slow": (2, BROKERS, (0.5, 2.0)),
    "cut": (4, SERVERS, (0, 0)),
    "terminate sessions": (2, ("postgres",), (0, 0)),
    "restart": (0.8, ("postgres", "postgres", "postgres", "redis", "kafka", "rabbitmq"), (0.2, 1.0)),
    "crash": (0.5, ("postgres", "postgres", "redis", "kafka", "rabbitmq"), (0.2, 1.0)),
}
SLOW_BYTES_PER_SECOND = 2048


@dataclass(frozen=True)
class Fault:
    """`at` and `seconds` count from the beginning of the round."""

    at: float
    seconds: float
    kind: str
    target: str

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:.1f} s {self.kind} {self.target}{lasting}"

    @property
    def may_repeat_a_batch(self) -> bool:
        """Whether the relay may lose sight of what it has sent."""
        is_on_the_way = self.target in {"kafka", "postgres"}
        return is_on_the_way or self.target.startswith("relay")

    def begin(self, stack: Stack) -> Callable[[], None]:
        """Returns what ends it."""
        servers, target = stack.servers, self.target
        ends: Callable[[], None] = _nothing
        match self.kind:
            case "kill":
                stack.fleet.kill(target)
            case "kill child":
                stack.fleet.kill_child(target)
            case "freeze process":
                ends = stack.fleet.freeze(target)
            case "freeze":
                servers.freeze(target)
                ends = partial(servers.thaw, target)
            case "refuse":
                servers.links[target].refuse()
                ends = servers.links[target].heal
            case "silence":
                servers.links[target].silence()
                ends = servers.links[target].heal
            case "slow":
                servers.links[target].slow(SLOW_BYTES_PER_SECOND)
                ends = servers.links[target].heal
            case "cut":
                servers.links[target].cut()
            case "terminate sessions":
                stack.evidence.cut_connections()
            case "restart":
                servers.stop(target)
                ends = partial(servers.start, target)
            case "crash":
                servers.stop(target, first=signal.SIGKILL)
                ends = partial(servers.start, target)
            case _:
                raise ValueError(self.kind)
        return ends


def _nothing() -> None:
    """What is over at once needs no ending."""


def draw(seed: int, *, seconds: float) -> list[Fault]:
    """The faults of a round, in the order in which they begin. No two at once hit the same target."""
    dice = random.Random(seed)
    kinds, weights = list(KINDS), [weight for weight, _, _ in KINDS.values()]
    faults: list[Fault] = []
    for _ in range(dice.choice((1, 2, 2, 3, 3, 4))):
        kind = dice.choices(kinds, weights)[0]
        _, targets, (least, most) = KINDS[kind]
        target = dice.choice(targets)
        if kind in {"terminate sessions"} and any(each.target == "postgres" for each in faults):
            continue
        if any(each.target == target for each in faults):
            continue
        faults.append(Fault(dice.uniform(0.2, seconds), dice.uniform(least, most), kind, target))
    return sorted(faults, key=lambda fault: fault.at)
