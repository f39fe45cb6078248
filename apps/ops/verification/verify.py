"""All checks, in the order in which a person would look."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from apps.ops.verification.certificates import certificates
from apps.ops.verification.clocks import clocks
from apps.ops.verification.dependencies import dependencies, gateway
from apps.ops.verification.outcome import Outcome, problem
from apps.ops.verification.processes import processes
from apps.ops.verification.round_trips import round_trips
from apps.ops.verification.topology import topology


def verify(*, gateway_url: str, now: datetime, seconds: float) -> Iterator[Outcome]:
    """Each outcome as soon as it is there. `seconds` is what a round trip may take. A check that fails by itself is a
    problem, and the others run."""
    checks: dict[str, Callable[[], Iterable[Outcome]]] = {
        "dependencies": dependencies,
        "gateway": lambda: [gateway(gateway_url)],
        "processes": lambda: processes(now),
        "topology": topology,
        "clocks": clocks,
        "certificates": lambda: certificates(gateway_url, now),
        "round trips": lambda: round_trips(now, seconds=seconds),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except Exception as error:
            yield problem(name, f"The check failed: {type(error).__name__}: {error}", "Please report this.")
