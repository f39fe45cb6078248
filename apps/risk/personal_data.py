"""What limits a user's trading, and the sub-ledgers of the user's exchange accounts, for the export."""

from collections.abc import Iterator
from uuid import UUID

from apps.core.batches import in_batches
from apps.core.personal_data import Row, Rows, register_exports
from apps.risk.models import AccountAsset, AccountMovement, Allocation, Cap, Halt, HaltSource


def register() -> None:
    """Registers the sections, which the kraken service exports."""
    sections: dict[str, Rows] = {
        "halts": halt_rows,
        "caps": cap_rows,
        "balances": balance_rows,
        "movements": movement_rows,
        "allocations": allocation_rows,
    }
    register_exports("kraken", sections)


def halt_rows(user_id: UUID) -> Iterator[Row]:
    """Who set and lifted a halt is told by name only where it was the user."""
    fields = ("id", "scope", "subject_id", "level", "source", "code", "reason", "set_by", "since", "lifted_at",
              "lifted_by", "lifted_because")  # fmt: skip
    for halt in in_batches(Halt.objects.filter(user_id=user_id), *fields, key=("id",)):
        set_by = halt["set_by"] if halt["source"] != HaltSource.STAFF.value else "staff"
        lifted_by = halt["lifted_by"] if halt["lifted_by"] in ("", str(user_id)) else "platform or staff"
        yield {**halt, "set_by": set_by, "lifted_by": lifted_by}


def cap_rows(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "bot_id", "asset", "largest_order", "largest_position", "largest_budget", "changed_at")
    return in_batches(Cap.objects.filter(user_id=user_id), *fields, key=("id",))


def balance_rows(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "account_id", "asset", "booked", "dust", "drift_since", "drift_expected", "drift_found")
    return in_batches(AccountAsset.objects.filter(account__user_id=user_id), *fields, key=("id",))


def movement_rows(user_id: UUID) -> Iterator[Row]:
    """Without the reason of an accepted difference, which names a member of staff."""
    fields = ("id", "account_id", "entry_id", "kind", "asset", "amount", "moved_at", "recorded_at")
    return in_batches(AccountMovement.objects.filter(account__user_id=user_id), *fields, key=("id",))


def allocation_rows(user_id: UUID) -> Iterator[Row]:
    fields = ("bot_id", "account_id", "pair", "quote_budget", "quote_amount", "base_amount")
    return in_batches(Allocation.objects.filter(account__user_id=user_id), *fields, key=("bot_id",))
