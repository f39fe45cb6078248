"""Commits, and rolls back, what the platform has to deliver. A process of its own:

python -m tests.chaos.writer        one order a line on standard input, one journal a line on standard output
"""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"

import hashlib
import json
import random
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

THREADS = 4
ROWS_AT_ONCE = 200
FAR_AWAY = timedelta(days=3650)


@dataclass
class Journal:
    """What the writers know: event id to the payload's digest. `unknown`: the connection ended with the commit."""

    number: int = 0
    committed: dict[str, str] = field(default_factory=dict)
    rolled_back: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Share:
    """So many messages of one kind about one aggregate."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class Order:
    """Write for so long, about these aggregates. The same seed decides the same things. `number` is the journal's.

    A burst is written first, all of it and as fast as can be.
    """

    seed: int
    seconds: float
    keys: tuple[str, ...]
    pause_seconds: float = 0.02
    number: int = 0
    # In the writer, as JSON has them: the fields of a Share each.
    burst: tuple[Any, ...] = ()


class RolledBack(Exception):
    """As a refusal in the middle of a request."""


def message(dice: random.Random, key: UUID):  # type: ignore[no-untyped-def]  # any class of the catalogue
    # An aggregate is a bot or an account, so that transactions which lock keys in order never wait crosswise.
    of_bots = dice.choices(("skipped", "stop", "trigger", "started", "error"), (50, 12, 8, 16, 14))[0]
    return message_of("trade" if key.int & 1 else of_bots, dice, key)


def message_of(kind: str, dice: random.Random, key: UUID):  # type: ignore[no-untyped-def]  # as above
    from apps.core.ids import new_id
    from apps.messages import bots, trading

    now = datetime.now(UTC)
    user = UUID(int=key.int ^ 1)
    match kind:
        case "skipped":
            return trading.BotTradeSkipped(
                bot_id=key, run_id=user, user_id=user, pair="XBT/USD", side="buy", code="too_small",
                message="x" * dice.randrange(400), skipped_at=now,
            )  # fmt: skip
        case "trade":
            amount = Decimal(dice.randrange(1, 10**6)) / 100
            return trading.TradeExecuted(
                credential_id=key, user_id=user, trade_id=new_id(), order_id=new_id(), exchange_trade_id="T",
                bot_id=key, mode="paper", pair="XBT/USD", base_asset="XBT", quote_asset="USD", side="sell",
                price=amount, volume=amount, cost=amount, fee=amount, executed_at=now,
            )  # fmt: skip
        case "stop":
            return bots.StopBot(
                command_id=new_id(), bot_id=key, user_id=user, requested_at=now, expires_at=now + FAR_AWAY
            )
        case "trigger":
            return bots.TriggerTrade(
                command_id=new_id(), bot_id=key, user_id=user, requested_at=now, expires_at=now + FAR_AWAY
            )
        case "started":
            return bots.BotStarted(bot_id=key, user_id=user, run_id=user, config_version=1, started_at=now)
        case _:
            return bots.BotError(
                bot_id=key, user_id=user, code="x", message="y" * dice.randrange(100), is_final=False, failed_at=now
            )


class Writer:
    """One thread: transaction after transaction until its time is over."""

    def __init__(self, order: Order, number: int) -> None:
        self.journal = Journal()
        self._order = order
        self._dice = random.Random(f"{order.seed}/{number}")
        self._shares = [Share(**share) for share in order.burst[number::THREADS]]
        self._deadline = time.monotonic() + order.seconds

    def run(self) -> None:
        from django.db import DatabaseError, InterfaceError, connection

        for share in self._shares:
            self._write(share)
        while time.monotonic() < self._deadline:
            written: dict[str, str] = {}
            undone: dict[str, str] = {}
            commits: list[bool] = []
            try:
                self._transaction(written, undone, commits)
            except (DatabaseError, InterfaceError):
                # Without an answer to COMMIT nobody knows. A new connection at the next try.
                self.journal.unknown |= written
                connection.close()
                time.sleep(0.1)
            except RolledBack:
                self.journal.rolled_back |= written
            else:
                # Django rolls back without a word where the connection went with a savepoint whose error was caught.
                self._note(written, committed=bool(commits))
            self.journal.rolled_back |= undone
            time.sleep(self._dice.uniform(0, 2 * self._order.pause_seconds))
        connection.close()

    def _write(self, share: Share) -> None:
        """Some hundred in a transaction. Nothing is broken meanwhile: an error ends the test."""
        from django.db import transaction

        written = 0
        while written < share.count:
            notes: dict[str, str] = {}
            with transaction.atomic():
                for _ in range(min(ROWS_AT_ONCE, share.count - written)):
                    self._post(message_of(share.kind, self._dice, UUID(share.key)), notes)
            self.journal.committed |= notes
            written += len(notes)

    def _note(self, written: dict[str, str], *, committed: bool) -> None:
        notes = self.journal.committed if committed else self.journal.rolled_back
        notes.update(written)

    def _transaction(self, written: dict[str, str], undone: dict[str, str], commits: list[bool]) -> None:
        from django.db import transaction

        dice = self._dice
        # In one order, so that two transactions never wait for each other crosswise.
        keys = sorted(dice.choices(self._order.keys, k=dice.choice((1, 1, 2, 4))))
        with transaction.atomic():
            transaction.on_commit(lambda: commits.append(True))
            for key in keys:
                if dice.random() < 0.1:
                    try:
                        with transaction.atomic():
                            self._publish(UUID(key), undone)
                            raise RolledBack
                    except RolledBack:
                        pass
                else:
                    self._publish(UUID(key), written)
            if dice.random() < 0.05:
                time.sleep(0.1)
            if dice.random() < 0.15:
                raise RolledBack

    def _publish(self, key: UUID, notes: dict[str, str]) -> None:
        self._post(message(self._dice, key), notes)

    def _post(self, announced, notes: dict[str, str]) -> None:  # type: ignore[no-untyped-def]  # as above
        from django.utils import timezone

        from apps.events.store.publish import dispatch, publish
        from apps.messages.base import Command

        post = dispatch if isinstance(announced, Command) else publish
        event_id = post(announced, now=timezone.now())
        notes[str(event_id)] = hashlib.sha256(announced.canonical_bytes()).hexdigest()


def carry_out(order: Order) -> Journal:
    writers = [Writer(order, number) for number in range(THREADS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Journal(number=order.number)
    for writer in writers:
        whole.committed |= writer.journal.committed
        whole.rolled_back |= writer.journal.rolled_back
        whole.unknown |= writer.journal.unknown
    return whole


def main() -> None:
    import django

    django.setup()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = Order(**json.loads(line))
        sys.stdout.write(json.dumps(asdict(carry_out(order))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
