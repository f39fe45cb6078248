"""Shards: relay I of N sends the slots whose number modulo N is I."""

from dataclasses import dataclass

from apps.messages.base import SLOTS


@dataclass(frozen=True)
class Shard:
    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of <= SLOTS:
            raise ValueError(
                f"There is no shard {self.number} of {self.of}: choose 0 to {self.of - 1}, of up to {SLOTS}."
            )

    @property
    def slots(self) -> list[int]:
        return list(range(self.number, SLOTS, self.of))

    @property
    def process_name(self) -> str:
        """The name of the relay's heartbeat."""
        return "relay" if self.of == 1 else f"relay.{self.number}"
