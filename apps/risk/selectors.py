"""Reads of halts, switches and allocations."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet, Sum

from apps.core.terms import Side
from apps.exchange.types import ZERO
from apps.risk.models.accounts import Allocation
from apps.risk.models.halts import PLATFORM_ID, Halt, HaltLevel, HaltScope

_OF = {
    HaltScope.BOT: "This bot is",
    HaltScope.KEY: "Every bot of this exchange key is",
    HaltScope.USER: "Every bot of this account is",
    HaltScope.PLATFORM: "Every bot of the platform is",
}
_HOW = {
    HaltLevel.REDUCING: "limited to exits",
    HaltLevel.HALTED: "halted",
}


# Asked three times for each order: one statement, and whether a halt covers the bot at all.
_BARS = f"""
SELECT EXISTS (SELECT FROM risk_halt WHERE lifted_at IS NULL AND (
           (scope = '{HaltScope.BOT.value}' AND subject_id = %(bot_id)s)
           OR (scope = '{HaltScope.KEY.value}' AND subject_id = %(credential_id)s)
           OR (scope = '{HaltScope.USER.value}' AND subject_id = %(user_id)s)
           OR (scope = '{HaltScope.PLATFORM.value}' AND subject_id = '{PLATFORM_ID}'))),
       switch.stop_requested_at, switch.deleted_at
  FROM (SELECT) AS once LEFT JOIN risk_bot_switch AS switch ON switch.bot_id = %(bot_id)s
"""  # noqa: S608 (constants)  # nosec B608


@dataclass(frozen=True, slots=True)
class OrderBar:
    """Why an order may not be sent: a code and a sentence. `halt` is the halt, or None where a stop was requested."""

    code: str
    message: str
    halt: Halt | None = None


def halts_covering(*, bot_id: UUID, credential_id: UUID, user_id: UUID) -> QuerySet[Halt]:
    """The halts in force that cover the bot, by itself or by its key, its user or the platform."""
    subjects = (
        Q(scope=HaltScope.BOT, subject_id=bot_id)
        | Q(scope=HaltScope.KEY, subject_id=credential_id)
        | Q(scope=HaltScope.USER, subject_id=user_id)
        | Q(scope=HaltScope.PLATFORM, subject_id=PLATFORM_ID)
    )
    return Halt.objects.filter(subjects, lifted_at=None)


def halt_strictest(*, bot_id: UUID, credential_id: UUID, user_id: UUID) -> Halt | None:
    """The strictest halt in force that covers the bot; of equal ones the oldest."""
    covering = halts_covering(bot_id=bot_id, credential_id=credential_id, user_id=user_id).order_by("since", "id")
    return min(covering, key=lambda halt: halt.level != HaltLevel.HALTED, default=None)


def halt_sentence(halt: Halt) -> str:
    """The halt in a sentence for people."""
    said = f"{_OF[HaltScope(halt.scope)]} {_HOW[HaltLevel(halt.level)]} since {halt.since:%Y-%m-%d %H:%M} UTC"
    return f"{said}: {halt.reason}"


def order_bar(
    *, bot_id: UUID, credential_id: UUID, user_id: UUID, side: str, requested_at: datetime, is_flatten: bool
) -> OrderBar | None:
    """Why a run's order may not be sent now, or None. `requested_at` is when the run was requested.

    A flatten's sale is barred by a halt at level `halted` only: the stop that asked for it is no bar.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BARS, {"bot_id": bot_id, "credential_id": credential_id, "user_id": user_id})
        is_halted, stop_requested_at, deleted_at = cursor.fetchone()
    if is_halted:
        halt = halt_strictest(bot_id=bot_id, credential_id=credential_id, user_id=user_id)
        if halt is not None and (halt.level == HaltLevel.HALTED or side == Side.BUY):
            return OrderBar("halted", halt_sentence(halt), halt)
    if is_flatten and side == Side.SELL:
        return None
    if deleted_at is not None:
        return OrderBar("bot_deleted", "The bot was deleted.")
    if stop_requested_at is not None and stop_requested_at >= requested_at:
        return OrderBar("stop_requested", "The bot was told to stop. Start it again for it to trade.")
    return None


def allocated(credential_id: UUID, asset: str, *, except_bot: UUID | None = None) -> Decimal:
    """What bots have of an asset of the account: cash, and coins."""
    allocations = Allocation.objects.filter(account_id=credential_id)
    if except_bot is not None:
        allocations = allocations.exclude(bot_id=except_bot)
    cash = allocations.filter(quote_asset=asset).aggregate(sum=Sum("quote_amount"))["sum"]
    coins = allocations.filter(base_asset=asset).aggregate(sum=Sum("base_amount"))["sum"]
    return (cash or ZERO) + (coins or ZERO)


def bots_with_budget(bot_ids: Collection[UUID]) -> set[UUID]:
    """Those of the bots that have a budget allocated, as a bot has from its start to its stop."""
    found = Allocation.objects.filter(bot_id__in=bot_ids, quote_budget__isnull=False)
    return set(found.values_list("bot_id", flat=True))
